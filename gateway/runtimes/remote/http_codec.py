"""V2 over REST as a client speaks it: requests to bytes, bytes to arrays. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from gateway.core.dtypes import NUMPY, DType
from gateway.core.tensor import element_count
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, BadInput, LoadError
from gateway.runtimes.remote.description import (
    MAX_BATCH,
    Described,
    RemoteTensor,
    check_tensors,
    remote_tensor,
)
from gateway.runtimes.remote.faults import Fault, Kind
from gateway.runtimes.remote.tensors import (
    MAX_OUTPUTS,
    Sent,
    check_dtype,
    from_bytes,
    in_order,
    shape_of,
    to_bytes,
    unsound,
)

BINARY = "binary_tensor_data"
_FLOATS = frozenset({DType.FP16, DType.FP32, DType.FP64})
_INTEGERS = "iu"
_MAX_TEXT = 300


class Body(NamedTuple):
    """A request's body; `json_bytes` 0 where all of it is JSON."""

    data: bytes
    json_bytes: int


# ---- requests -----------------------------------------------------------------------------------


def encode(sent: Sent, *, is_binary: bool) -> Body:
    """The body of an infer request; raises BadInput for what JSON cannot carry."""
    if not is_binary:
        inputs = [_as_json(spec, array) for spec, array in sent.inputs]
        return Body(
            orjson.dumps({"inputs": inputs, "outputs": [{"name": one.name} for one in sent.outputs]}), 0
        )
    raws = [to_bytes(array, spec.dtype) for spec, array in sent.inputs]
    head = orjson.dumps({
        "inputs": [
            {**_head(spec, array), "parameters": {"binary_data_size": len(raw)}}
            for (spec, array), raw in zip(sent.inputs, raws, strict=True)
        ],
        "outputs": [{"name": one.name, "parameters": {"binary_data": True}} for one in sent.outputs],
    })
    return Body(b"".join([head, *raws]), len(head))


def _head(spec: TensorSpec, array: Array) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.dtype.name, "shape": list(array.shape)}


def _as_json(spec: TensorSpec, array: Array) -> dict[str, Any]:
    if spec.dtype is DType.BYTES:
        return {**_head(spec, array), "data": [_text(spec.name, one) for one in array.ravel().tolist()]}
    if spec.dtype in _FLOATS and not np.isfinite(array).all():
        raise BadInput(
            f"input '{spec.name}' has infinite values or NaN, which its upstream's JSON cannot have"
        )
    return {**_head(spec, array), "data": array.ravel().tolist()}


def _text(name: str, element: bytes) -> str:
    try:
        return bytes(element).decode()
    except UnicodeDecodeError:
        raise BadInput(f"input '{name}' is not UTF-8, and the upstream's JSON carries nothing else") from None


# ---- answers ------------------------------------------------------------------------------------


def decode(body: bytes, json_bytes: int | None, wanted: Sequence[TensorSpec]) -> list[Array]:
    """The wanted outputs; `json_bytes` is what its header says, None without one. Raises Fault."""
    if json_bytes is not None and not 0 <= json_bytes <= len(body):
        raise unsound("its Inference-Header-Content-Length is beyond its end")
    document = _document(body if json_bytes is None else body[:json_bytes])
    outputs = document.get("outputs")
    if not isinstance(outputs, list) or len(outputs) > MAX_OUTPUTS:
        raise unsound("it has no proper list of outputs")
    rest = memoryview(body)[len(body) if json_bytes is None else json_bytes :]
    by_name = {spec.name: spec for spec in wanted}
    found: dict[str, Array] = {}
    at = 0
    for output in outputs:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name in found:
            raise unsound("it has an output without a name of its own")
        size = _binary_size(output)
        if size is not None and size > len(rest) - at:
            raise unsound("its outputs run past its end")
        if name in by_name:
            data = None if size is None else rest[at : at + size]
            found[name] = _output(by_name[name], output, data)
        at += size or 0
    if at != len(rest):
        raise unsound("it is longer than its outputs")
    return in_order(found, wanted)


def _document(text: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise unsound("it is no JSON") from None
    if not isinstance(document, dict):
        raise unsound("it is no JSON object")
    return document


def _binary_size(output: dict[str, Any]) -> int | None:
    parameters = output.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise unsound("an output's binary_data_size is no size")
    return size


def _output(spec: TensorSpec, output: dict[str, Any], data: memoryview | None) -> Array:
    check_dtype(spec, output.get("datatype"))
    shape = shape_of(spec.name, output.get("shape"))
    return _from_json(spec, shape, output.get("data")) if data is None else from_bytes(spec, shape, data)


def _from_json(spec: TensorSpec, shape: tuple[int, ...], data: object) -> Array:
    """An output whose values stand in the JSON, flat or nested."""
    flat: list[object] = []
    _flatten(spec.name, data, flat, 0)
    if len(flat) != element_count(spec.name, shape):
        raise unsound(f"output '{spec.name}' has {len(flat)} values for shape {list(shape)}")
    if spec.dtype is DType.BYTES:
        return _texts(spec.name, flat).reshape(shape)
    if spec.dtype is DType.BF16:
        raise unsound(f"output '{spec.name}' is BF16 in JSON")
    try:
        array: Array = np.array(flat) if flat else np.empty(0, NUMPY[spec.dtype])
        with np.errstate(all="ignore"):
            cast: Array = array.astype(NUMPY[spec.dtype])
    except (ValueError, TypeError, OverflowError):
        raise unsound(f"output '{spec.name}' has values that are not {spec.dtype.name}") from None
    if flat and not _is_kept(spec.dtype, array, cast):
        raise unsound(f"output '{spec.name}' has values that are not {spec.dtype.name}")
    return cast.reshape(shape)


def _flatten(name: str, data: object, into: list[object], depth: int) -> None:
    if not isinstance(data, list) or depth > 32:
        raise unsound(f"output '{name}' has no proper data")
    if data and isinstance(data[0], list):
        for item in data:
            _flatten(name, item, into, depth + 1)
    else:
        into.extend(data)


def _is_kept(dtype: DType, array: Array, cast: Array) -> bool:
    """True where the cast changed no value's meaning: no fraction cut, nothing out of range."""
    if dtype is DType.BOOL:
        return array.dtype.kind == "b"
    if dtype in _FLOATS:
        return array.dtype.kind in "iuf"
    return array.dtype.kind in _INTEGERS and bool((cast == array).all())


def _texts(name: str, flat: list[object]) -> Array:
    if not all(isinstance(one, str) for one in flat):
        raise unsound(f"output '{name}' has values that are no texts")
    array: Array = np.empty(len(flat), object)
    array[:] = [str(one).encode("utf-8", "surrogatepass") for one in flat]
    return array


def error_text(body: bytes, status: int) -> str:
    """What an error's body says, or its status where it says nothing: one line."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    text = told.get("error") or told.get("detail") if isinstance(told, dict) else None
    words = " ".join(text.split()) if isinstance(text, str) else ""
    return words[:_MAX_TEXT] or f"HTTP status {status}"


# ---- descriptions -------------------------------------------------------------------------------


def has_binary(body: bytes) -> bool:
    """Whether the server's metadata names the binary tensor extension; raises Fault."""
    extensions = _document(body).get("extensions")
    return isinstance(extensions, list) and BINARY in extensions


def described(metadata: bytes, config: bytes | None, *, is_binary: bool) -> Described:
    """From the model's metadata and, where the upstream has that extension, its configuration.

    Raises LoadError, Fault.
    """
    told = _document(metadata)
    size, is_decoupled = (None, False) if config is None else _configured(_document(config))
    return Described(
        _tensors("input", told.get("inputs")),
        _tensors("output", told.get("outputs")),
        size,
        is_decoupled,
        is_binary,
    )


def _tensors(kind: str, told: object) -> tuple[RemoteTensor, ...]:
    if not isinstance(told, list | None):
        raise LoadError(f"the upstream's metadata has {kind}s that are no array")
    found = [one if isinstance(one, dict) else {} for one in told or ()]
    tensors = [remote_tensor(kind, one.get("name"), one.get("datatype"), one.get("shape")) for one in found]
    return check_tensors(kind, tensors)


def _configured(config: dict[str, Any]) -> tuple[int, bool]:
    size = config.get("max_batch_size", 0)
    policy = config.get("model_transaction_policy")
    if type(size) is not int or not 0 <= size <= MAX_BATCH:
        raise Fault(Kind.UNSOUND, "its max_batch_size is no size")
    return size, isinstance(policy, dict) and policy.get("decoupled") is True
