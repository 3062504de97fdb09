"""The binary layout of the data channel between a front and a worker.

DESIGN: one SOCK_SEQPACKET packet is one frame, so a reader never holds half of one. A frame is a
fixed header of 48 bytes, a *table* that says which tensors come with it, and the inline tensors:

    header   u64 word      magic u16, kind u8, flags u8 (0), generation u32
             u64 batch     the sender's number of the batch
             u32 total     length of the packet        u32 payload  where the inline tensors begin
             u64 a         REPLY, END: ns in the engine SEGMENT: its size   CREDIT: bytes
                           LIMIT: ns that are left      ERROR: ms to wait before asking again
             u32 b, c      REPLY: ns before and after the engine
             u32 detail    ERROR, FAULT: Failure        SEGMENT, FORGET, RELEASE: its number
             u32 zero
    table    u32 rows, u16 tensors, u16 outputs; a descriptor per tensor: u16 index in the model's
             signature, u8 dtype, u8 rank, u8 place, pad, u32 segment, pad, u64 offset, u64 size,
             i64 x rank; u16 x outputs (indices wanted of a RUN); zeros up to a multiple of 16
    payload  inline tensors in the table's order, each at the next multiple of 16

What varies from batch to batch stands in the header, what repeats stands in the table: both ends
remember the tables they have checked by their bytes and check each only once. Everything is little
endian. Whatever is not exactly this layout is a ProtocolViolation, which costs the sender the link.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from gateway.core.dtypes import ITEM_SIZE, DType
from gateway.core.tensor import MAX_RANK, Buffer

MAGIC = 0x474D
# 68 KiB of a packet lie in pages, the rest in one kernel allocation; above this the socket costs more
# than a copy into shared memory does (measured: 64 KiB 8 us, 128 KiB 11 us).
MAX_FRAME_BYTES = 128 << 10
MAX_TENSORS = 512
MAX_TEXT_BYTES = 512
ALIGNMENT = 16

HEADER = struct.Struct("<QQIIQIIII")
HEADER_BYTES = HEADER.size
BATCH = struct.Struct("<Q")
_COUNTS = struct.Struct("<IHH")
_DESCRIPTOR = struct.Struct("<HBBB3xI4xQQ")
_DTYPES: dict[int, DType] = {int(member): member for member in DType}
_MAX_ELEMENTS = 1 << 48
_INLINE, _SHARED = 0, 1

# What a worker may send of one batch's PARTs before the first CREDIT, by `part_cost`: enough that the
# two sides need not take turns, little enough for every stream of a front to lie in its memory.
STREAM_WINDOW_BYTES = 256 << 10
_PART_COST = 512


class ProtocolViolation(Exception):
    """The other end sent what it must never send; the text says what, without any of its bytes."""


class Kind(enum.IntEnum):
    """What a frame is."""

    RUN = 1  # front to worker: a batch
    REPLY = 2  # worker to front: its outputs
    ERROR = 3  # worker to front: why there are none
    ANNOUNCE = 4  # the next packet is a SEGMENT: readers need ancillary space only then
    SEGMENT = 5  # carries the descriptor of a segment of shared memory
    FORGET = 6  # the segment is gone: unmap it
    RELEASE = 7  # front to worker: nothing reads this output segment any more
    PART = 8  # worker to front: like a REPLY, and more follows for the same batch
    END = 9  # worker to front: nothing more follows
    CREDIT = 10  # front to worker: so many more bytes of PARTs may come
    CANCEL = 11  # front to worker: nobody waits any more; the batch ends as soon as it can
    CALLS = 12  # front to worker: the next packet carries the worker's end of a channel for calls
    CALL = 13  # on that channel, see call_frames: a model asks for another one's answer
    ANSWER = 14  # its answer, or that there is none
    LIMIT = 15  # front to worker: the time that the batch of the next frame has
    FAULT = 16  # worker to front: like an ERROR in place of one PART, and more follows
    STATE = 17  # worker to front: why its model cannot answer now; without a text it can


class Failure(enum.IntEnum):
    """Why a batch has no outputs."""

    BAD_INPUT = 1
    MODEL_FAILED = 2
    FATAL = 3  # the worker cannot go on and exits after this frame
    NO_MEMORY = 4  # no shared memory left for the outputs
    UNAVAILABLE = 5  # what the model depends on does not answer; another time it may
    TIMED_OUT = 6  # no answer in the time there was
    UPSTREAM_FAILED = 7  # as MODEL_FAILED, but nothing is run again to find out which member is to blame


class Region(NamedTuple):
    """Where a tensor lies; `ordinal` is its place in the model's signature.

    `segment` 0 is the frame itself: `offset` then counts from the frame's start.
    """

    ordinal: int
    dtype: DType
    shape: tuple[int, ...]
    segment: int
    offset: int
    size: int


class Table(NamedTuple):
    """What a RUN or REPLY frame carries; `outputs` are the indices a RUN asks for."""

    rows: int
    tensors: tuple[Region, ...]
    outputs: tuple[int, ...]


class Header(NamedTuple):
    """A frame's header, checked; `a`, `b`, `c` and `detail` mean what the kind says."""

    kind: Kind
    batch: int
    total: int
    payload: int
    a: int
    b: int
    c: int
    detail: int


def header_word(kind: Kind, generation: int) -> int:
    """The first eight bytes of every frame of `kind` on this link, as an integer."""
    return MAGIC | kind << 16 | generation << 32


def align(offset: int) -> int:
    """The next place for an inline tensor at or after `offset`."""
    return (offset + ALIGNMENT - 1) & -ALIGNMENT


# ---- headers ------------------------------------------------------------------------------------


def unpack_header(frame: Buffer, size: int, generation: int) -> Header:
    """The header of the packet of `size` bytes in `frame`; raises ProtocolViolation."""
    if size < HEADER_BYTES:
        raise ProtocolViolation(f"a frame of {size} bytes has no whole header")
    word, batch, total, payload, a, b, c, detail, zero = HEADER.unpack_from(frame)
    if word & 0xFFFF != MAGIC or word >> 24 & 0xFF or zero:
        raise ProtocolViolation("not a frame of this protocol")
    if word >> 32 != generation:
        raise ProtocolViolation(f"generation {word >> 32} on a link of generation {generation}")
    if total != size or not HEADER_BYTES <= payload <= total:
        raise ProtocolViolation(f"lengths {total} and {payload} in a packet of {size} bytes")
    try:
        kind = Kind(word >> 16 & 0xFF)
    except ValueError:
        raise ProtocolViolation(f"unknown kind {word >> 16 & 0xFF}") from None
    return Header(kind, batch, total, payload, a, b, c, detail)


def pack_control(kind: Kind, generation: int, segment: int, size: int = 0) -> bytes:
    """An ANNOUNCE, SEGMENT, FORGET or RELEASE frame about `segment`."""
    word = header_word(kind, generation)
    return HEADER.pack(word, 0, HEADER_BYTES, HEADER_BYTES, size, 0, 0, segment, 0)


def pack_error(generation: int, batch: int, failure: Failure, text: str, retry_after_ms: int = 0) -> bytes:
    """An ERROR frame; `text` is cut to what fits."""
    raw = text.encode(errors="replace")[:MAX_TEXT_BYTES]
    word, total = header_word(Kind.ERROR, generation), HEADER_BYTES + len(raw)
    return HEADER.pack(word, batch, total, HEADER_BYTES, retry_after_ms, 0, 0, failure, 0) + raw


def unpack_error(header: Header, frame: memoryview) -> tuple[Failure, str]:
    """Failure and one line of text of an ERROR or FAULT frame; raises ProtocolViolation."""
    text = unpack_text(header, frame)
    try:
        failure = Failure(header.detail)
    except ValueError:
        raise ProtocolViolation(f"unknown failure {header.detail}") from None
    return failure, text


def pack_state(generation: int, trouble: str) -> bytes:
    """A STATE frame; `trouble` is cut to what fits."""
    raw = trouble.encode(errors="replace")[:MAX_TEXT_BYTES]
    word, total = header_word(Kind.STATE, generation), HEADER_BYTES + len(raw)
    return HEADER.pack(word, 0, total, HEADER_BYTES, 0, 0, 0, 0, 0) + raw


def unpack_text(header: Header, frame: memoryview) -> str:
    """The one line of text of an ERROR, FAULT or STATE frame; raises ProtocolViolation."""
    raw = bytes(frame[header.payload : header.total])
    if header.payload != HEADER_BYTES or len(raw) > MAX_TEXT_BYTES:
        raise ProtocolViolation(f"an {header.kind.name} frame of the wrong size")
    return " ".join(raw.decode(errors="replace").split())


def pack_fault(generation: int, batch: int, failure: Failure, text: str) -> bytes:
    """A FAULT frame: an ERROR frame but for its kind."""
    frame = pack_error(generation, batch, failure, text)
    return BATCH.pack(header_word(Kind.FAULT, generation)) + frame[BATCH.size :]


def pack_stream(kind: Kind, generation: int, batch: int, amount: int = 0) -> bytes:
    """An END, CREDIT, CANCEL or LIMIT frame of `batch`; `amount` is what the kind counts."""
    word = header_word(kind, generation)
    return HEADER.pack(word, batch, HEADER_BYTES, HEADER_BYTES, amount, 0, 0, 0, 0)


def check_stream(header: Header) -> None:
    """Raises ProtocolViolation unless an END, CREDIT, CANCEL or LIMIT frame is its header alone."""
    if header.total != HEADER_BYTES or header.b or header.c or header.detail:
        raise ProtocolViolation(f"a malformed {header.kind.name} frame")


def part_cost(tensor_bytes: int) -> int:
    """What a PART with so many bytes of tensors takes of its stream's window, on both sides."""
    return _PART_COST + tensor_bytes


def check_control(header: Header) -> None:
    """Raises ProtocolViolation unless a frame about a segment is its header and names one."""
    if header.total != HEADER_BYTES or header.detail == 0:
        raise ProtocolViolation(f"a malformed {header.kind.name} frame")


# ---- tables -------------------------------------------------------------------------------------


def table_bytes(ranks: Sequence[int], outputs: int) -> int:
    """Length of a table with tensors of these ranks and so many wanted outputs."""
    size = _COUNTS.size + sum(_DESCRIPTOR.size + 8 * rank for rank in ranks) + 2 * outputs
    return align(HEADER_BYTES + size) - HEADER_BYTES


def pack_table(table: Table) -> bytes:
    """The bytes of `table`; the regions' inline offsets must be those of `lay_out`."""
    parts = [_COUNTS.pack(table.rows, len(table.tensors), len(table.outputs))]
    for ordinal, dtype, shape, segment, offset, size in table.tensors:
        place = _SHARED if segment else _INLINE
        parts.append(_DESCRIPTOR.pack(ordinal, dtype, len(shape), place, segment, offset, size))
        parts.append(struct.pack(f"<{len(shape)}q", *shape))
    parts.append(struct.pack(f"<{len(table.outputs)}H", *table.outputs))
    raw = b"".join(parts)
    return raw.ljust(align(HEADER_BYTES + len(raw)) - HEADER_BYTES, b"\0")


def lay_out(payload: int, sizes: Sequence[int]) -> tuple[list[int], int]:
    """Offsets of inline tensors of `sizes` from `payload` on, and the frame's length."""
    offsets, end = [], payload
    for size in sizes:
        offsets.append(align(end))
        end = offsets[-1] + size
    return offsets, end


def pads(payload: int, sizes: Sequence[int]) -> tuple[bytes, ...]:
    """The zeros after each inline tensor of `sizes`; before the first there are none."""
    offsets, end = lay_out(payload, sizes)
    ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
    return tuple(b"\0" * (next_ - stop) for stop, next_ in zip(ends, [*offsets, end][1:], strict=True))


def unpack_table(raw: bytes, total: int) -> Table:
    """The table of a frame of `total` bytes; raises ProtocolViolation for anything out of place."""
    try:
        rows, tensor_count, output_count = _COUNTS.unpack_from(raw)
        if tensor_count > MAX_TENSORS or output_count > MAX_TENSORS:
            raise ProtocolViolation(f"{tensor_count} tensors and {output_count} outputs in a frame")
        at = _COUNTS.size
        tensors = []
        for _ in range(tensor_count):
            region, at = _unpack_region(raw, at)
            tensors.append(region)
        outputs = struct.unpack_from(f"<{output_count}H", raw, at)
    except struct.error:
        raise ProtocolViolation("a table longer than its frame") from None
    if HEADER_BYTES + len(raw) != align(HEADER_BYTES + at + 2 * output_count):
        raise ProtocolViolation("a table of the wrong length")
    _check_layout(tensors, HEADER_BYTES + len(raw), total)
    return Table(rows, tuple(tensors), outputs)


def _unpack_region(raw: bytes, at: int) -> tuple[Region, int]:
    ordinal, code, rank, place, segment, offset, size = _DESCRIPTOR.unpack_from(raw, at)
    if rank > MAX_RANK:
        raise ProtocolViolation(f"rank {rank}")
    dtype = _DTYPES.get(code)
    if dtype is None or place not in {_INLINE, _SHARED} or (place == _SHARED) != (segment != 0):
        raise ProtocolViolation("a descriptor of no known dtype or place")
    at += _DESCRIPTOR.size
    shape = struct.unpack_from(f"<{rank}q", raw, at)
    _check_size(dtype, shape, size)
    return Region(ordinal, dtype, shape, segment, offset, size), at + 8 * rank


def _check_size(dtype: DType, shape: tuple[int, ...], size: int) -> None:
    if any(dim < 0 for dim in shape) or prod(dim for dim in shape if dim) > _MAX_ELEMENTS:
        raise ProtocolViolation(f"shape {list(shape)}")
    count, item = prod(shape), ITEM_SIZE[dtype]
    # An element of BYTES takes its length's four bytes at the least.
    if size != count * item if item else size < 4 * count or (count == 0 and size):
        raise ProtocolViolation(f"{size} bytes for {dtype.name} {list(shape)}")


def _check_layout(tensors: Sequence[Region], payload: int, total: int) -> None:
    end = payload
    for region in tensors:
        if region.segment:
            if region.offset + region.size > 1 << 62:
                raise ProtocolViolation("a region beyond any segment")
        elif region.offset != align(end):
            raise ProtocolViolation("an inline tensor out of place")
        else:
            end = region.offset + region.size
    if end != total:
        raise ProtocolViolation(f"tensors end at {end} in a frame of {total} bytes")


def choose_inline(sizes: Sequence[int], payload: int) -> tuple[bool, ...]:
    """Which tensors travel inside the frame: all if they fit, else the small ones, else the empty ones."""
    if lay_out(payload, sizes)[1] <= MAX_FRAME_BYTES:
        return (True,) * len(sizes)
    small = tuple(size <= 4096 for size in sizes)
    if lay_out(payload, [size for size in sizes if size <= 4096])[1] <= MAX_FRAME_BYTES:
        return small
    return tuple(size == 0 for size in sizes)
