"""V2 REST bodies to InferRequest, InferResponse to V2 REST bodies; pure functions.

DESIGN: three ways in, by what arrives; each later one takes all that the earlier ones leave.
1. Plain JSON of flat numbers, nothing but `id` beside `inputs`: msgspec with types, which refuses
   strings and Booleans among the numbers on its own. 2.4 us for 30 floats.
2. JSON before binary tensors: the JSON of one client is the same bytes on each request, so what it
   means is remembered by its bytes (bounded, 2 KiB at most each). 1.4 us.
3. Everything else: orjson to a dict, each field checked by hand. 13 us.
Way 1 leaves every error to way 3, which knows how to say it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import inf, prod
from typing import Final, NamedTuple

import msgspec
import orjson
from msgspec import UNSET

from gateway.core.clock import Clock
from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput, TooLarge, Unsupported
from gateway.core.messages import (
    NO_PARAMETERS,
    InferRequest,
    InferResponse,
    Lease,
    RequestedOutput,
)
from gateway.core.tensor import MAX_RANK, Buffer, Tensor
from gateway.frontends.content_types import (
    BASE64,
    CONTENT_TYPE,
    InputTypes,
    OutputTypes,
    check_inputs,
    read_types,
    tensor_type,
)
from gateway.frontends.parameters import (
    PLAIN,
    RequestParameters,
    read_flag,
    read_output_parameters,
    read_parameters,
)
from gateway.frontends.v2_rest.binary import Slot, check_header_length, fill_slots, read_slot
from gateway.frontends.v2_rest.content_types import binary_label, dump_labelled, from_base64
from gateway.frontends.v2_rest.document import check_keys, load
from gateway.frontends.v2_rest.elements import (
    dump_elements,
    layout,
    pack_elements,
    read_layout,
    small_unpacker,
)
from gateway.frontends.v2_rest.forms import Form, PlainRequest

_CACHED_HEADERS = 1024
_CACHED_HEADER_BYTES = 2048


ALL_JSON = Form()
_ALL_BINARY = Form(all_binary=True)


class Target(NamedTuple):
    """What the URL and the settings say of a request; `version` 0 is the latest, a text a label."""

    model: str
    version: int | str
    max_json_bytes: int = 64 << 20


# An answer's body, and its JSON's length where binary tensors follow (else None): a plain tuple,
# because making a NamedTuple takes 0.25 us of the 2.
Encoded = tuple[bytes | tuple[Buffer, ...], int | None]


class _Parsed(NamedTuple):
    """The JSON of a request, understood; `form` is how to answer, `types` None where none is said."""

    id: str
    places: tuple[Tensor | Slot, ...]
    outputs: tuple[RequestedOutput, ...]
    parameters: RequestParameters
    form: Form
    types: InputTypes | None


_decode_plain: Final = msgspec.json.Decoder(PlainRequest).decode
_headers: dict[bytes, _Parsed] = {}


def decode(
    target: Target, header_length: int | None, body: Buffer, lease: Lease | None, clock: Clock
) -> tuple[InferRequest, Form]:
    """The request in `body`, and how to answer it; raises GatewayError, leaving `lease` to the caller.

    `header_length`: the JSON's size where binary tensors follow, else None. Tensors are views of
    `body` where that is cheaper than a copy. On success `lease` belongs to the request.
    """
    if header_length is None:
        text = body if type(body) is bytes else bytes(body)
        _check_json_size(target, len(text))
        plain = _plain_inputs(text)
        if plain is not None:
            return InferRequest(target.model, target.version, plain[0], plain[1], lease=lease), ALL_JSON
        parsed = _parse(text)
        places = fill_slots(target.model, parsed.places, b"", 0)
    else:
        check_header_length(header_length, len(body))
        _check_json_size(target, header_length)
        parsed = _parse_header(bytes(body[:header_length]))
        places = fill_slots(target.model, parsed.places, body, header_length)
    if parsed.types is not None:
        check_inputs(parsed.types, places)
    custom, timeout_s, _, priority = parsed.parameters
    request = InferRequest(
        target.model,
        target.version,
        places,
        parsed.id,
        parsed.outputs,
        custom,
        inf,
        "rest",
        lease,
        priority,
        inf if timeout_s == inf else clock() + timeout_s,
    )
    return request, parsed.form


def encode(form: Form, response: InferResponse) -> Encoded:
    """The body that answers with `response` as `form` asks; raises InvalidInput where JSON cannot."""
    outputs = response.outputs
    if form is ALL_JSON and len(outputs) == 1 and not response.id and not response.parameters:
        only = outputs[0]
        data = only.data
        short = _short_way(response.model, response.version, only.name, only.dtype, only.shape, len(data))
        if short is not None:
            text = orjson.dumps(short[1](data))
            # NaN and Infinity take the long way. `in` would try for a number first: 0.35 us for its error.
            if text.find(b"null") < 0:
                return b"%b%b}]}" % (short[0], text), None
    parts = [_opening(response.model, response.version)]
    labels = form.labels
    if response.id or response.parameters or labels is not None:
        parts.append(_extras(response, labels))
    mark = b'"outputs":['
    payload: list[Buffer] = []
    for output in outputs:
        parts += (mark, _described(output.name, output.dtype, output.shape))
        if form is not ALL_JSON and (form.all_binary or output.name in form.binary):
            data = output.data
            label = b"" if labels is None else binary_label(labels, output)
            parts.append(b'"parameters":{%b"binary_data_size":%d}}' % (label, len(data)))
            if len(data):
                payload.append(data)
        elif labels is not None:
            parts.append(dump_labelled(labels, output))
        else:
            parts += (b'"data":', dump_elements(output), b"}")
        mark = b","
    parts.append(b"]}" if outputs else b'"outputs":[]}')
    head = b"".join(parts)
    return ((head, *payload), len(head)) if payload else (head, None)


# ---- in -----------------------------------------------------------------------------------------


def _plain_inputs(text: bytes) -> tuple[tuple[Tensor, ...], str] | None:
    """Tensors and id of a request of the plainest form; None for any other, right or wrong."""
    try:
        plain = _decode_plain(text)
        tensors = []
        for given in plain.inputs:
            shape, data = given.shape, given.data
            if len(shape) > MAX_RANK:
                return None
            dtype, dims, count, pack = layout(given.datatype, shape)
            if pack is None or count != len(data):
                return None
            tensors.append(Tensor(given.name, dtype, dims, pack(*data)))
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
        InvalidInput,
        struct.error,
        OverflowError,
    ):
        return None
    # "inputs", and of each input four keys and two strings; more quotation marks mean a key was
    # dropped because it came twice (or one is escaped), see document.py.
    quotes = 2 + 12 * len(tensors)
    if plain.id is UNSET:
        return (tuple(tensors), "") if text.count(b'"') == quotes else None
    return (tuple(tensors), plain.id) if text.count(b'"') == quotes + 4 else None


def _check_json_size(target: Target, size: int) -> None:
    if size > target.max_json_bytes:
        raise TooLarge(f"the request JSON is larger than {target.max_json_bytes} bytes")


def _parse_header(text: bytes) -> _Parsed:
    """What the JSON before binary tensors says; remembered where it holds no tensor itself."""
    found = _headers.get(text)
    if found is None:
        found = _parse(text)
        if len(text) <= _CACHED_HEADER_BYTES and all(type(place) is Slot for place in found.places):
            if len(_headers) >= _CACHED_HEADERS:
                _headers.clear()
            _headers[text] = found
    return found


def _parse(text: bytes) -> _Parsed:
    document = load(text)
    if not isinstance(document, dict):
        raise InvalidInput("the request must be a JSON object")
    inputs = _objects("input", document, "inputs")
    if inputs is None:
        raise InvalidInput("the request has no 'inputs'")
    has_bools = b"true" in text or b"false" in text
    places = tuple([_place(given, has_bools=has_bools) for given in inputs])
    check_keys(text, document, _forget_data(inputs, places))
    parameters = _request_parameters(document)
    types = _types(inputs, parameters)
    outputs, form = _requested(
        _objects("output", document, "outputs"), parameters, "" if types is None else types.request
    )
    identity = document.get("id", "")
    if not isinstance(identity, str):
        raise InvalidInput("'id' must be a string")
    return _Parsed(_text("id", identity), places, outputs, parameters, form, types)


def _objects(what: str, document: dict[str, object], key: str) -> list[dict[str, object]] | None:
    """The array of objects at `key`, each with a name; None where there is none."""
    found = document.get(key)
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise InvalidInput(f"'{key}' must be an array of objects")
    for entry in found:
        if not isinstance(entry.get("name"), str):
            raise InvalidInput(f"every {what} must have a string 'name'")
        _text("name", entry["name"])
    return found


def _place(given: dict[str, object], *, has_bools: bool) -> Tensor | Slot:
    """One input: its tensor where the data are here, else where they will be."""
    name = str(given["name"])
    dtype, shape, count, _ = plan = read_layout(name, given.get("datatype"), given.get("shape"))
    parameters = _parameters(f"input '{name}'", given)
    if "shared_memory_region" in parameters:
        raise Unsupported(f"input '{name}': client shared memory is disabled")
    if ("data" in given) == ("binary_data_size" in parameters):
        raise InvalidInput(
            f"Input must set only one of the following fields: 'data', 'binary_data_size' in "
            f"'parameters', 'shared_memory_region' in 'parameters'. But found "
            f"{'both' if 'data' in given else 'none'} for input '{name}'"
        )
    if "data" not in given:
        return read_slot(name, dtype, shape, count, parameters["binary_data_size"])
    data = pack_elements(name, plan, given["data"], has_bools=has_bools)
    if parameters.get(CONTENT_TYPE) == BASE64:
        data = from_base64(name, dtype, data)
    return Tensor(name, dtype, shape, data)


def _forget_data(inputs: list[dict[str, object]], places: tuple[Tensor | Slot, ...]) -> int:
    """Drops the inputs' data, by now packed, from their JSON; tells how many strings were in them."""
    strings = 0
    for given, place in zip(inputs, places, strict=True):
        if type(place) is Tensor:
            given["data"] = None
            strings += prod(place.shape) if place.dtype is DType.BYTES else 0
    return strings


def _parameters(where: str, owner: dict[str, object]) -> dict[str, object]:
    found = owner.get("parameters")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidInput(f"{where}: 'parameters' must be an object")
    return found


def _request_parameters(document: dict[str, object]) -> RequestParameters:
    found = _parameters("request", document)
    return read_parameters(found.items()) if found else PLAIN


def _types(inputs: list[dict[str, object]], parameters: RequestParameters) -> InputTypes | None:
    own = []
    for given in inputs:
        found = given.get("parameters")
        if isinstance(found, dict) and CONTENT_TYPE in found:
            own.append((str(given["name"]), found[CONTENT_TYPE]))
    return read_types(parameters.custom.get(CONTENT_TYPE), own)


def _requested(
    outputs: list[dict[str, object]] | None, parameters: RequestParameters, request_type: str
) -> tuple[tuple[RequestedOutput, ...], Form]:
    """The outputs asked for. `binary_data_output` counts only where none is named, as in Triton."""
    if not outputs:
        if request_type:
            return (), Form(all_binary=parameters.binary_data_output, labels=OutputTypes(request_type, {}))
        return (), _ALL_BINARY if parameters.binary_data_output else ALL_JSON
    requested: dict[str, RequestedOutput] = {}
    binary: set[str] = set()
    asked: dict[str, str] = {}
    for given in outputs:
        name = str(given["name"])
        if name in requested:
            raise InvalidInput(f"output '{name}' is requested more than once")
        found = read_output_parameters(name, _parameters(f"output '{name}'", given).items())
        if read_flag(f"output '{name}'", "binary_data", found.pop("binary_data", False)):
            binary.add(name)
        content_type = tensor_type(f"output '{name}'", found[CONTENT_TYPE]) if CONTENT_TYPE in found else ""
        # Bytes as they are spell nothing.
        if content_type and (content_type != BASE64 or name not in binary):
            asked[name] = content_type
        requested[name] = RequestedOutput(name, found or NO_PARAMETERS)
    labels = OutputTypes(request_type, asked) if request_type or asked else None
    form = Form(frozenset(binary), labels=labels) if binary or labels is not None else ALL_JSON
    return tuple(requested.values()), form


def _text(what: str, text: str) -> str:
    """`text`, which must be UTF-8 on its way on: JSON can spell half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"'{what}' must be Unicode text") from None
    return text


# ---- out ----------------------------------------------------------------------------------------


@lru_cache(1024)
def _opening(model: str, version: int) -> bytes:
    return b'{"model_name":%b,"model_version":"%d",' % (orjson.dumps(model), version)


@lru_cache(4096)
def _short_way(
    model: str, version: int, name: str, dtype: DType, shape: tuple[int, ...], size: int
) -> tuple[bytes, Callable[[Buffer], Sequence[object]]] | None:
    """All of a plain answer of one small output up to its elements, and how to get those: 0.6 us of 1.5."""
    unpack = small_unpacker(dtype, size)
    if unpack is None:
        return None
    return b'%b"outputs":[%b"data":' % (_opening(model, version), _described(name, dtype, shape)), unpack


def _extras(response: InferResponse, labels: OutputTypes | None) -> bytes:
    """`id` and `parameters`, each only where there is one."""
    text = b'"id":%b,' % orjson.dumps(response.id) if response.id else b""
    parameters = response.parameters
    label = "" if labels is None else labels.of_answer(len(response.outputs))
    if label:
        parameters = {**parameters, CONTENT_TYPE: label}
    if parameters:
        text += b'"parameters":%b,' % orjson.dumps(dict(parameters))
    return text


@lru_cache(4096)
def _described(name: str, dtype: DType, shape: tuple[int, ...]) -> bytes:
    return b'{"name":%b,"datatype":"%b","shape":%b,' % (
        orjson.dumps(name),
        dtype.name.encode(),
        orjson.dumps(shape),
    )
