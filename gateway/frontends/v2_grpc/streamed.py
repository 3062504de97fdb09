"""A ModelStreamInferResponse of an answer, put together out of the bytes of a ModelInferResponse.

An answer of few elements costs a few microseconds, of which protobuf alone would take as many again.
Of the answers to one request mostly nothing but the elements differs: so the bytes around those of
the last answer are kept, and used again while the next one is of the same form.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.dtypes import DType
from gateway.core.messages import InferResponse
from gateway.core.tensor import Buffer, Tensor
from gateway.frontends.v2_grpc.codec import encode
from gateway.frontends.v2_grpc.framing import PREFIX, PREFIX_BYTES
from gateway.generated import open_inference_pb2 as pb

_FINAL = "triton_final_response"
_INFER_RESPONSE = b"\x12"  # field 2 of ModelStreamInferResponse, length-delimited
_RAW = b"\x32"  # field 6 of ModelInferResponse, length-delimited

Form = tuple[tuple[str, DType, tuple[int, ...], int], ...]


def streamed(response: InferResponse, *, is_last: bool) -> tuple[Buffer, ...]:
    """A ModelStreamInferResponse of `response` with its length prefix."""
    encoded = encode(response)
    parts = encoded if isinstance(encoded, tuple) else (encoded,)
    tail = _LAST if is_last else _NOT_LAST
    size = sum(map(len, parts)) - PREFIX_BYTES + len(tail)
    head = _INFER_RESPONSE + _varint(size)
    prefix = PREFIX.pack(0, len(head) + size)
    first = parts[0][PREFIX_BYTES:]
    if len(parts) == 1:
        return (b"".join((prefix, head, first, tail)),)
    return (b"".join((prefix, head, first)), *parts[1:], tail)


class Repeated:
    """Messages with answers to one request that are not the last.

    Invariant: `_around` are the bytes before, between and after the elements in every answer of the form
    `_form`; None: of no form yet. Identity, model and version are those of the request: they never change.
    """

    __slots__ = ("_around", "_form")

    def __init__(self) -> None:
        self._form: Form | None = None
        self._around: list[bytes] = []

    def message(self, response: InferResponse) -> tuple[Buffer, ...]:
        """As `streamed`."""
        outputs = response.outputs
        form = tuple([(one.name, one.dtype, one.shape, len(one.data)) for one in outputs])
        if form != self._form or response.parameters:
            return self._first(response, form)
        around = self._around
        if len(outputs) == 1:
            return (b"".join((around[0], outputs[0].data, around[1])),)
        pieces: list[Buffer] = [around[0]]
        for output, after in zip(outputs, around[1:], strict=True):
            pieces += (output.data, after)
        return (b"".join(pieces),)

    def _first(self, response: InferResponse, form: Form) -> tuple[Buffer, ...]:
        parts = streamed(response, is_last=False)
        if len(parts) == 1 and not response.parameters:
            self._form = form
            self._around = _around(bytes(parts[0]), response.outputs)
        return parts


def _around(message: bytes, outputs: Sequence[Tensor]) -> list[bytes]:
    """What of `message` stands before, between and after the elements of `outputs`.

    Between are only the tags of those that follow; after the last is nothing but the tail.
    """
    found = [_NOT_LAST]
    end = len(message) - len(_NOT_LAST)
    for output in outputs[:0:-1]:
        tag = _RAW + _varint(len(output.data))
        found.append(tag)
        end -= len(tag) + len(output.data)
    if outputs:
        found.append(message[: end - len(outputs[0].data)])
    else:
        found[0] = message
    return found[::-1]


def _final_field(*, is_last: bool) -> bytes:
    message = pb.ModelInferResponse()
    message.parameters[_FINAL].bool_param = is_last
    return message.SerializeToString()


def _varint(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


# Fields of a message may stand in any order: these are put behind the others.
_LAST = _final_field(is_last=True)
_NOT_LAST = _final_field(is_last=False)
