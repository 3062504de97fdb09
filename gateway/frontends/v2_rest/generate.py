"""generate and generate_stream: one plain JSON object in, one plain JSON object out.

A key that is an input's name is that tensor: the value's nesting is its last dimensions, those in
front (the batch's too) are 1, so a single value becomes one element. `id` is the request's id, and
`parameters` and every other key are parameters. An answer has an output's elements under its name, a
single one without an array around it.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf, prod
from typing import Final

import orjson

from gateway.core.clock import Clock
from gateway.core.errors import InvalidInput, TooLarge
from gateway.core.messages import InferRequest, InferResponse, Lease
from gateway.core.model import ModelSpec
from gateway.core.tensor import Buffer, Tensor
from gateway.core.tensor_spec import TensorSpec
from gateway.frontends.content_types import CONTENT_TYPE, check_inputs, read_types
from gateway.frontends.parameters import is_text, read_parameters
from gateway.frontends.v2_rest.codec import Target
from gateway.frontends.v2_rest.elements import dump_elements, layout, pack_elements
from gateway.frontends.v2_rest.errors import JSON
from gateway.frontends.v2_rest.post import Document, read_object
from gateway.wire.exchange import Headers

_JSON: Headers = (JSON,)
_OWN_KEYS: Final = frozenset({"id", "model_name", "model_version"})


def decode_generate(
    spec: ModelSpec, target: Target, body: Buffer, lease: Lease | None, clock: Clock
) -> InferRequest:
    """The request that the JSON object `body` means to a model; raises GatewayError."""
    if len(body) > target.max_json_bytes:
        raise TooLarge(f"the request JSON is larger than {target.max_json_bytes} bytes")
    document = read_object(bytes(body))
    tensors = tuple([
        _tensor(spec, wanted, document.pop(wanted.name)) for wanted in spec.inputs if wanted.name in document
    ])
    identity = document.pop("id", "")
    if not isinstance(identity, str) or not is_text(identity):
        raise InvalidInput("'id' must be a Unicode string")
    custom, timeout_s, _, priority = read_parameters(_parameters(document).items())
    if CONTENT_TYPE in custom and (types := read_types(custom[CONTENT_TYPE], ())) is not None:
        check_inputs(types, tensors)
    timeout_at = inf if timeout_s == inf else clock() + timeout_s
    return InferRequest(
        *(target.model, target.version, tensors, identity, (), custom, inf, "rest", lease),
        priority=priority,
        timeout_at=timeout_at,
    )


def encode_generate(response: InferResponse) -> tuple[bytes, Headers]:
    """The answer as one JSON object."""
    return _object(response), _JSON


def encode_event(response: InferResponse) -> bytes:
    """The answer as an event of a stream."""
    return b"data: %b\n\n" % _object(response)


def _tensor(spec: ModelSpec, wanted: TensorSpec, value: object) -> Tensor:
    dims = _dims(value)
    missing = len(wanted.shape) + (spec.max_batch_size > 0) - len(dims)
    if missing < 0:
        raise InvalidInput(f"input '{wanted.name}': its value has more dimensions than the tensor")
    for _ in range(missing):
        value = [value]
    shape = (1,) * missing + dims
    # A tensor without dimensions is one value, which is what an array of one is taken for.
    data = value if shape else [value]
    packed = pack_elements(wanted.name, layout(wanted.dtype.name, shape), data)
    return Tensor(wanted.name, wanted.dtype, shape, packed)


def _dims(value: object) -> tuple[int, ...]:
    """How `value` is nested, as its first elements tell."""
    dims = []
    while isinstance(value, list):
        dims.append(len(value))
        value = value[0] if value else None
    return tuple(dims)


def _parameters(document: Document) -> Document:
    given = document.pop("parameters", {})
    if not isinstance(given, dict):
        raise InvalidInput("'parameters' must be an object")
    for key in given:
        if key in document:
            raise InvalidInput(f"parameter '{key}' is given twice")
    return document | given


def _object(response: InferResponse) -> bytes:
    outputs = response.outputs
    names = _names(response.model, response.version, tuple([output.name for output in outputs]))
    if names is None or response.parameters:
        return _any_object(response)
    pieces = [b'{"id":%b,' % orjson.dumps(response.id) if response.id else b"{", names[0]]
    for name, output in zip(names[1:], outputs, strict=True):
        pieces += (name, _value(output))
    pieces.append(b"}")
    return b"".join(pieces)


@lru_cache(1024)
def _names(model: str, version: int, outputs: tuple[str, ...]) -> tuple[bytes, ...] | None:
    """What is the same in every answer of one model: what stands first, and before each output's value.

    None where a key would be there twice.
    """
    if len({*_OWN_KEYS, *outputs}) < len(_OWN_KEYS) + len(outputs):
        return None
    first = b'"model_name":%b,"model_version":"%d"' % (orjson.dumps(model), version)
    return (first, *(b",%b:" % orjson.dumps(name) for name in outputs))


def _value(output: Tensor) -> bytes:
    text = dump_elements(output)
    return text[1:-1] if prod(output.shape) == 1 else text


def _any_object(response: InferResponse) -> bytes:
    """With parameters, or where one of several equal keys must win."""
    fields: dict[str, bytes] = {}
    if response.id:
        fields["id"] = orjson.dumps(response.id)
    fields["model_name"] = orjson.dumps(response.model)
    fields["model_version"] = b'"%d"' % response.version
    for key, value in response.parameters.items():
        fields[key] = orjson.dumps(value)
    for output in response.outputs:
        fields[output.name] = _value(output)
    return b"{%b}" % b",".join([b"%b:%b" % (orjson.dumps(key), text) for key, text in fields.items()])
