"""The bytes of a channel for calls: what a worker's model asks other models, and their answers.

DESIGN: a channel of its own beside each data channel of a model in Python, with the same frames and the
same rules. The data channel is read by one thread, which is executing while its model calls, and its
readers are the hottest of the house; on a second socket the model's threads may write and wait as they
like, and whoever calls nothing pays one descriptor. Rejected: calls amid the data channel's frames
(whoever waits for an answer would have to keep the batches that come before it), a socket per call.

A CALL or ANSWER is a header whose `batch` is the call's number, a table, and its inline tensors. The
first of them, UINT8 and never shared, is the *head*: msgpack of the types below, for all that a table
cannot say; the names in it are those of the tensors after it. CANCEL and CREDIT (what of an answer's
bytes has been taken) go from worker to front here. A SEGMENT needs no ANNOUNCE: this channel's readers
always have room for a descriptor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from gateway.core.dtypes import DType
from gateway.core.errors import Reason
from gateway.core.messages import Parameter
from gateway.core.tensor import Buffer
from gateway.workers import frames
from gateway.workers.frames import (
    HEADER,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    MAX_TENSORS,
    Header,
    Kind,
    ProtocolViolation,
    Region,
    Table,
)

Place = tuple[int, int]


class FrameTooLarge(Exception):
    """So many tensors, or so long names and parameters, that no frame holds their description."""


class Asked(msgspec.Struct, frozen=True, tag="call"):
    """A call's head. `batch` is the one whose execution asks; see runtimes.calls.Question for the rest."""

    batch: int
    model: str
    version: int | str
    names: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    several: bool = False
    id: str = ""
    timeout_us: int = 0
    parameters: dict[str, Parameter] = {}


class Answered(msgspec.Struct, frozen=True, tag="answer"):
    """An answer's head; no more comes after `is_last`."""

    names: tuple[str, ...]
    is_last: bool


class Ended(msgspec.Struct, frozen=True, tag="end"):
    """No more answers come."""


class Refused(msgspec.Struct, frozen=True, tag="error"):
    """No more answers come, because of an error."""

    reason: Reason
    text: str


ToWorker = Answered | Ended | Refused

encode_head = msgspec.msgpack.Encoder().encode
_asked = msgspec.msgpack.Decoder(Asked).decode
_to_worker = msgspec.msgpack.Decoder(ToWorker).decode


def encode_asked(asked: Asked) -> bytes:
    """A CALL's head, which a front will take; raises what msgspec does for values that `Asked` cannot have.

    Encoding alone goes by the values, whatever types were promised, and the values are a model's.
    """
    head = encode_head(asked)
    _asked(head)
    return head


class Piece(NamedTuple):
    """A tensor to be sent; `data` counts in bytes."""

    dtype: DType
    shape: tuple[int, ...]
    data: Buffer


def choose_inline(head: bytes, pieces: Sequence[Piece]) -> tuple[bool, ...]:
    """Which tensors travel inside the frame; the others must be in shared memory."""
    begin = HEADER_BYTES + _table_bytes(pieces) + len(head)
    return frames.choose_inline([len(piece.data) for piece in pieces], begin)


def pack(
    kind: Kind,
    generation: int,
    number: int,
    head: bytes,
    pieces: Sequence[Piece] = (),
    places: Sequence[Place | None] = (),
) -> bytes:
    """A CALL or ANSWER frame with `pieces` inline (None) or at (segment, offset); raises FrameTooLarge."""
    if len(pieces) >= MAX_TENSORS:
        raise FrameTooLarge(f"{len(pieces)} tensors, the most is {MAX_TENSORS - 1}")
    inline: list[Buffer] = [head]
    inline += [piece.data for piece, place in zip(pieces, places, strict=True) if place is None]
    payload = HEADER_BYTES + _table_bytes(pieces)
    offsets, total = frames.lay_out(payload, [len(data) for data in inline])
    if total > MAX_FRAME_BYTES:
        raise FrameTooLarge("the names, parameters and shapes are too much for one call")
    following = iter(offsets)
    regions = [Region(0, DType.UINT8, (len(head),), 0, next(following), len(head))]
    regions += [
        Region(index, piece.dtype, piece.shape, *(place or (0, next(following))), len(piece.data))
        for index, (piece, place) in enumerate(zip(pieces, places, strict=True), 1)
    ]
    word = frames.header_word(kind, generation)
    parts: list[Buffer] = [HEADER.pack(word, number, total, payload, 0, 0, 0, 0, 0)]
    parts.append(frames.pack_table(Table(0, tuple(regions), ())))
    pads = frames.pads(payload, [len(data) for data in inline])
    for data, pad in zip(inline, pads, strict=True):
        parts += (data, pad)
    return b"".join(parts)


def _table_bytes(pieces: Iterable[Piece]) -> int:
    return frames.table_bytes([1, *(len(piece.shape) for piece in pieces)], 0)


def unpack_asked(header: Header, frame: memoryview) -> tuple[Asked, tuple[Region, ...]]:
    """A CALL's head and tensors; raises ProtocolViolation for anything out of place."""
    raw, regions = _unpack(header, frame)
    try:
        head = _asked(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ProtocolViolation("a CALL with a head that is none") from None
    _check_names(head.names, regions)
    return head, regions


def unpack_answer(header: Header, frame: memoryview) -> tuple[ToWorker, tuple[Region, ...]]:
    """An ANSWER's head and tensors; raises ProtocolViolation for anything out of place."""
    raw, regions = _unpack(header, frame)
    try:
        head = _to_worker(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ProtocolViolation("an ANSWER with a head that is none") from None
    _check_names(head.names if isinstance(head, Answered) else (), regions)
    return head, regions


def _unpack(header: Header, frame: memoryview) -> tuple[bytes, tuple[Region, ...]]:
    table = frames.unpack_table(bytes(frame[HEADER_BYTES : header.payload]), header.total)
    if table.rows or table.outputs or not table.tensors:
        raise ProtocolViolation(f"a {header.kind.name} with rows or outputs, or without a head")
    if header.a or header.b or header.c or header.detail:
        raise ProtocolViolation(f"a malformed {header.kind.name} frame")
    head, *rest = table.tensors
    if head.segment or head.dtype is not DType.UINT8 or len(head.shape) != 1:
        raise ProtocolViolation(f"a {header.kind.name} whose head is no text")
    if [region.ordinal for region in table.tensors] != list(range(len(table.tensors))):
        raise ProtocolViolation(f"the tensors of a {header.kind.name} are out of order")
    return bytes(frame[head.offset : head.offset + head.size]), tuple(rest)


def _check_names(names: tuple[str, ...], regions: tuple[Region, ...]) -> None:
    if len(names) != len(regions) or len(set(names)) != len(names):
        raise ProtocolViolation(f"{len(names)} names of {len(regions)} tensors, or one of them twice")
