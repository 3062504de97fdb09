from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.errors import Reason
from gateway.workers import call_frames, frames
from gateway.workers.call_frames import Answered, Asked, Ended, FrameTooLarge, Piece, Refused
from gateway.workers.frames import HEADER, HEADER_BYTES, Header, Kind, ProtocolViolation, Region, Table

GENERATION = 7
DTYPES = [(DType.FP32, 4), (DType.UINT8, 1), (DType.INT64, 8), (DType.BF16, 2)]
names = st.text(max_size=8)
parameters = st.dictionaries(
    names, st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), names)
)


@st.composite
def pieces(draw: st.DrawFn) -> list[Piece]:
    made = []
    for _ in range(draw(st.integers(0, 4))):
        dtype, size = draw(st.sampled_from(DTYPES))
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
        count = 1
        for dim in shape:
            count *= dim
        made.append(Piece(dtype, shape, draw(st.binary(min_size=count * size, max_size=count * size))))
    return made


def header(frame: bytes) -> Header:
    return frames.unpack_header(frame, len(frame), GENERATION)


def pack(kind: Kind, head: object, some: list[Piece] = [], shared: bool = False) -> bytes:  # ruff: ignore[mutable-argument-default]
    raw = call_frames.encode_head(head)
    places = [(index + 1, 64) if shared else None for index in range(len(some))]
    return call_frames.pack(kind, GENERATION, 5, raw, some, places)


@settings(max_examples=50)
@given(st.data(), pieces(), st.booleans(), parameters)
def test_what_is_asked_arrives(data: st.DataObject, some: list[Piece], shared: bool, given_: dict) -> None:
    named = tuple(f"{index}{data.draw(names)}" for index in range(len(some)))
    asked = Asked(9, data.draw(names), data.draw(st.integers(-1, 2**63)), named, ("Y",), True, "i", 3, given_)
    frame = pack(Kind.CALL, asked, some, shared)
    found, regions = call_frames.unpack_asked(header(frame), memoryview(frame))
    assert call_frames.encode_head(found) == call_frames.encode_head(asked)
    assert header(frame).batch == 5
    for index, (piece, region) in enumerate(zip(some, regions, strict=True), 1):
        assert (region.ordinal, region.dtype, region.shape) == (index, piece.dtype, piece.shape)
        if shared:
            assert (region.segment, region.offset, region.size) == (index, 64, len(piece.data))
        else:
            assert frame[region.offset : region.offset + region.size] == piece.data


@pytest.mark.parametrize("head", [Answered((), False), Ended(), Refused(Reason.NOT_FOUND, "who?")])
def test_what_is_answered_arrives(head: call_frames.ToWorker) -> None:
    frame = pack(Kind.ANSWER, head)
    assert call_frames.unpack_answer(header(frame), memoryview(frame)) == (head, ())


@settings(max_examples=120)
@given(st.data(), pieces(), st.sampled_from([Kind.CALL, Kind.ANSWER]))
def test_a_damaged_frame_is_a_violation_or_another_frame(
    data: st.DataObject, some: list[Piece], kind: Kind
) -> None:
    named = tuple(str(index) for index in range(len(some)))
    head = Asked(1, "m", 0, named) if kind is Kind.CALL else Answered(named, True)
    frame = bytearray(pack(kind, head, some))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    unpack = call_frames.unpack_asked if kind is Kind.CALL else call_frames.unpack_answer
    try:
        _, regions = unpack(header(bytes(frame)), memoryview(frame))
    except ProtocolViolation:
        return
    assert all(region.segment or region.offset + region.size <= len(frame) for region in regions)


def lying(*regions: Region, rows: int = 0, outputs: tuple[int, ...] = (), head: bytes = b"") -> bytes:
    """A CALL with this table; everything else in order."""
    table = frames.pack_table(Table(rows, regions, outputs))
    payload = HEADER_BYTES + len(table)
    total = payload + len(head)
    word = frames.header_word(Kind.CALL, GENERATION)
    return HEADER.pack(word, 1, total, payload, 0, 0, 0, 0, 0) + table + head


def region(ordinal: int = 0, dtype: DType = DType.UINT8, size: int = 4, segment: int = 0) -> Region:
    at = HEADER_BYTES + frames.table_bytes([1], 0)
    return Region(ordinal, dtype, (size,), segment, 0 if segment else at, size)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (lying(), "without a head"),
        (lying(region(size=0), rows=1), "with rows or outputs"),
        (lying(region(size=0), outputs=(0,)), "an inline tensor out of place"),
        (lying(region(), head=b"\xc1abc"), "a head that is none"),
        (lying(region(dtype=DType.INT8), head=b"abcd"), "whose head is no text"),
        (lying(region(segment=1)), "whose head is no text"),
        (lying(region(ordinal=1), head=b"abcd"), "out of order"),
        (pack(Kind.CALL, Asked(1, "m", 0, ("X",))), "1 names of 0 tensors"),
        (pack(Kind.CALL, Asked(1, "m", 0, ("X", "X")), [Piece(DType.INT8, (0,), b"")] * 2), "twice"),
        (pack(Kind.CALL, Ended()), "a head that is none"),
    ],
)
def test_lies_are_told_apart(frame: bytes, text: str) -> None:
    with pytest.raises(ProtocolViolation, match=text):
        call_frames.unpack_asked(header(frame), memoryview(frame))


def test_an_answer_is_no_call_and_keeps_the_header_plain() -> None:
    frame = pack(Kind.ANSWER, Asked(1, "m", 0, ()))
    with pytest.raises(ProtocolViolation, match="a head that is none"):
        call_frames.unpack_answer(header(frame), memoryview(frame))
    ended = pack(Kind.ANSWER, Ended())
    with pytest.raises(ProtocolViolation, match="malformed"):
        call_frames.unpack_answer(header(ended)._replace(detail=1), memoryview(ended))


def test_what_no_frame_holds_is_refused() -> None:
    with pytest.raises(FrameTooLarge, match="too much for one call"):
        pack(Kind.CALL, Asked(1, "m" * frames.MAX_FRAME_BYTES, 0, ()))
    empty = [Piece(DType.INT8, (0,), b"")] * frames.MAX_TENSORS
    with pytest.raises(FrameTooLarge, match="512 tensors, the most is 511"):
        pack(Kind.CALL, Asked(1, "m", 0, ()), empty)


def test_large_tensors_do_not_travel_inline() -> None:
    large, small = bytes(frames.MAX_FRAME_BYTES), bytes(100)
    some = [Piece(DType.UINT8, (len(data),), data) for data in (large, small)]
    assert call_frames.choose_inline(b"head", some) == (False, True)
    assert call_frames.choose_inline(b"head", some[1:]) == (True,)
