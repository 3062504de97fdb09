"""A model's endpoints as an OpenAPI 3.1 document, made from its tensors."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.core.dtypes import ITEM_SIZE, DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.pipeline.service import ModelDescription

_Schema = dict[str, object]

_FLOATS = frozenset({DType.FP16, DType.FP32, DType.FP64, DType.BF16})
_SCALAR: _Schema = {"type": ["boolean", "integer", "number", "string"]}
_PARAMETERS: _Schema = {"type": "object", "additionalProperties": _SCALAR}
_ERROR: _Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "code": {"type": "string"}},
}


def openapi(gateway_version: str, version: int | str, description: ModelDescription) -> bytes:
    """The document; its paths name the model, and `version` (or label) unless that is 0, the latest."""
    spec = description.spec
    path = f"/v2/models/{spec.name}" + (f"/versions/{version}" if version else "")
    failure: _Schema = {"description": "Why it was not answered.", "content": _json(_ref("Error"))}
    return orjson.dumps({
        "openapi": "3.1.0",
        "info": {"title": f"{spec.name}, version {spec.version}", "version": gateway_version},
        "paths": {
            path: {"get": _operation("The model's metadata.", _json({"type": "object"}), failure)},
            f"{path}/ready": {"get": _operation("It can be called.", _json(_ref("Ready")), failure)},
            f"{path}/config": {
                "get": _operation("Its configuration, complete.", _json({"type": "object"}), failure)
            },
            f"{path}/stats": {
                "get": _operation("What was counted of it.", _json({"type": "object"}), failure)
            },
            f"{path}/infer": {
                "post": _operation("Its outputs.", _json(_ref("Response")), failure, _ref("Request"))
            },
            f"{path}/generate": {
                "post": _operation(
                    "Its outputs by name.", _json({"type": "object"}), failure, _ref("Generate")
                )
            },
        },
        "components": {"schemas": _schemas(spec)},
    })


def _schemas(spec: ModelSpec) -> dict[str, _Schema]:
    batch = (-1,) if spec.max_batch_size else ()
    elements = {tensor.dtype for tensor in (*spec.inputs, *spec.outputs)}
    needed = [one.name for one in spec.inputs if not one.is_optional]
    return {
        "Request": _object(
            {
                "id": {"type": "string"},
                "parameters": _PARAMETERS,
                "inputs": _tensors(spec.inputs, batch, len(needed)),
                "outputs": {
                    "type": "array",
                    "items": _object(
                        {"name": {"enum": [one.name for one in spec.outputs]}, "parameters": _PARAMETERS},
                        "name",
                    ),
                },
            },
            "inputs",
        ),
        "Response": _object(
            {
                "id": {"type": "string"},
                "model_name": {"const": spec.name},
                "model_version": {"type": "string"},
                "parameters": _PARAMETERS,
                "outputs": _tensors(spec.outputs, batch, 0),
            },
            "model_name",
            "outputs",
        ),
        "Generate": _object(
            {
                **{one.name: _nested(one.dtype) for one in spec.inputs},
                "parameters": _PARAMETERS,
            },
            *needed,
        ),
        "Ready": _object({"name": {"type": "string"}, "ready": {"type": "boolean"}}, "ready"),
        "Error": _ERROR,
        **{f"{dtype.name}Elements": {"type": "array", "items": _nested(dtype)} for dtype in sorted(elements)},
    }


def _tensors(tensors: Sequence[TensorSpec], batch: tuple[int, ...], least: int) -> _Schema:
    return {
        "type": "array",
        "minItems": least,
        "maxItems": len(tensors),
        "items": {"oneOf": [_tensor(one, batch + one.shape) for one in tensors]},
    }


def _tensor(one: TensorSpec, shape: tuple[int, ...]) -> _Schema:
    dims = [{"type": "integer", "minimum": 0} if dim < 0 else {"const": dim} for dim in shape]
    return _object(
        {
            "name": {"const": one.name},
            "datatype": {"const": one.dtype.name},
            "shape": {"type": "array", "prefixItems": dims, "minItems": len(dims), "maxItems": len(dims)},
            "parameters": _PARAMETERS,
            "data": _ref(f"{one.dtype.name}Elements"),
        },
        "name",
        "datatype",
        "shape",
    )


def _nested(dtype: DType) -> _Schema:
    """One element, or an array of them, however deep: data may be flat or nested as the shape says."""
    return {"anyOf": [_element(dtype), _ref(f"{dtype.name}Elements")]}


def _element(dtype: DType) -> _Schema:
    if dtype is DType.BYTES:
        return {"type": "string"}
    if dtype is DType.BOOL:
        return {"type": "boolean"}
    if dtype in _FLOATS:
        return {"type": "number"}
    bits = ITEM_SIZE[dtype] * 8
    if dtype.name.startswith("U"):
        return {"type": "integer", "minimum": 0, "maximum": 2**bits - 1}
    return {"type": "integer", "minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1}


def _operation(told: str, content: _Schema, failure: _Schema, body: _Schema | None = None) -> _Schema:
    operation: _Schema = {
        "responses": {"200": {"description": told, "content": content}, "default": failure},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    return operation


def _object(properties: _Schema, *required: str) -> _Schema:
    return {"type": "object", "properties": properties, "required": list(required)}


def _json(schema: _Schema) -> _Schema:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}
