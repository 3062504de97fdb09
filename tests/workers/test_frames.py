from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.dtypes import ITEM_SIZE, DType
from gateway.workers import frames
from gateway.workers.frames import (
    HEADER,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    Failure,
    Kind,
    ProtocolViolation,
    Region,
    Table,
)

dims = st.lists(st.integers(0, 5), max_size=4).map(tuple)


@st.composite
def tables(draw: st.DrawFn) -> tuple[Table, int]:
    """A well-formed table and the total length of its frame."""
    wanted = draw(st.lists(st.tuples(st.sampled_from(DType), dims, st.booleans()), max_size=5))
    outputs = tuple(draw(st.lists(st.integers(0, 65535), max_size=5)))
    sizes = []
    for dtype, shape, _ in wanted:
        count = 1
        for dim in shape:
            count *= dim
        extra = draw(st.integers(0, 9)) if count else 0
        sizes.append(count * ITEM_SIZE[dtype] if ITEM_SIZE[dtype] else 4 * count + extra)
    payload = HEADER_BYTES + frames.table_bytes([len(shape) for _, shape, _ in wanted], len(outputs))
    inline = [size for size, (_, _, shared) in zip(sizes, wanted, strict=True) if not shared]
    offsets, total = frames.lay_out(payload, inline)
    following = iter(offsets)
    regions = []
    for i, (size, (dtype, shape, shared)) in enumerate(zip(sizes, wanted, strict=True)):
        segment, offset = (draw(st.integers(1, 1 << 31)), draw(st.integers(0, 1 << 40))) if shared else (0, 0)
        regions.append(Region(i, dtype, shape, segment, offset if shared else next(following), size))
    return Table(draw(st.integers(0, 1 << 31)), tuple(regions), outputs), total


@settings(deadline=None)
@given(tables())
def test_a_table_comes_back_as_it_was(made: tuple[Table, int]) -> None:
    table, total = made
    raw = frames.pack_table(table)
    assert frames.unpack_table(raw, total) == table
    assert len(raw) == frames.table_bytes([len(one.shape) for one in table.tensors], len(table.outputs))
    assert (HEADER_BYTES + len(raw)) % frames.ALIGNMENT == 0


@settings(max_examples=500, deadline=None)
@given(tables(), st.data())
def test_a_damaged_table_is_refused_or_means_what_it_says(
    made: tuple[Table, int], data: st.DataObject
) -> None:
    table, total = made
    raw = bytearray(frames.pack_table(table))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(raw), len(raw), data.draw(st.integers(0, len(raw)))]))
    try:
        found = frames.unpack_table(bytes(raw[:cut]), total)
    except ProtocolViolation:
        return
    # What was accepted is well-formed: it packs to a table that is read as the same thing.
    assert frames.unpack_table(frames.pack_table(found), total) == found


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused(raw: bytes) -> None:
    try:
        header = frames.unpack_header(raw, len(raw), 7)
        frames.unpack_table(raw[HEADER_BYTES : header.payload], header.total)
    except ProtocolViolation:
        pass


def header(**changes: int) -> bytes:
    fields = {
        "word": frames.header_word(Kind.REPLY, 7),
        "batch": 1,
        "total": HEADER_BYTES,
        "payload": HEADER_BYTES,
        "a": 0,
        "b": 0,
        "c": 0,
        "detail": 0,
        "zero": 0,
    } | changes
    return HEADER.pack(*fields.values())


@pytest.mark.parametrize(
    ("raw", "size"),
    [
        (header(), HEADER_BYTES - 1),
        (header(), HEADER_BYTES + 1),
        (header(zero=1), HEADER_BYTES),
        (header(payload=HEADER_BYTES + 1), HEADER_BYTES),
        (header(payload=HEADER_BYTES - 1), HEADER_BYTES),
        (header(word=frames.header_word(Kind.REPLY, 8)), HEADER_BYTES),
        (header(word=frames.header_word(Kind.REPLY, 7) | 1 << 24), HEADER_BYTES),
        (header(word=frames.header_word(Kind.REPLY, 7) ^ 1), HEADER_BYTES),
        (header(word=frames.MAGIC | 99 << 16 | 7 << 32), HEADER_BYTES),
    ],
)
def test_a_header_out_of_place_is_refused(raw: bytes, size: int) -> None:
    with pytest.raises(ProtocolViolation):
        frames.unpack_header(raw, size, 7)


def test_headers_say_what_was_packed() -> None:
    raw = frames.pack_control(Kind.SEGMENT, 7, segment=3, size=1 << 40)
    found = frames.unpack_header(raw, len(raw), 7)
    frames.check_control(found)
    assert (found.kind, found.detail, found.a) == (Kind.SEGMENT, 3, 1 << 40)
    raw = frames.pack_control(Kind.FORGET, 7, segment=0)
    nameless = frames.unpack_header(raw, len(raw), 7)
    with pytest.raises(ProtocolViolation, match="malformed FORGET"):
        frames.check_control(nameless)


@settings(deadline=None)
@given(st.text(max_size=2000), st.sampled_from(Failure))
def test_an_error_is_one_line_that_fits(text: str, failure: Failure) -> None:
    raw = frames.pack_error(7, 5, failure, text)
    found = frames.unpack_header(raw, len(raw), 7)
    fault = frames.pack_fault(7, 5, failure, text)
    assert frames.unpack_header(fault, len(fault), 7) == found._replace(kind=Kind.FAULT)
    assert frames.unpack_error(found, memoryview(raw))[0] is failure
    assert "\n" not in frames.unpack_error(found, memoryview(raw))[1]
    assert len(raw) <= HEADER_BYTES + frames.MAX_TEXT_BYTES


def test_an_error_says_when_to_ask_again() -> None:
    raw = frames.pack_error(7, 5, Failure.UNAVAILABLE, "down", 2500)
    found = frames.unpack_header(raw, len(raw), 7)
    assert (found.batch, found.a) == (5, 2500)
    assert frames.unpack_error(found, memoryview(raw)) == (Failure.UNAVAILABLE, "down")


@settings(deadline=None)
@given(st.text(max_size=2000))
def test_a_state_is_one_line_that_fits(text: str) -> None:
    raw = frames.pack_state(7, text)
    found = frames.unpack_header(raw, len(raw), 7)
    assert found.kind is Kind.STATE
    assert "\n" not in frames.unpack_text(found, memoryview(raw))
    assert len(raw) <= HEADER_BYTES + frames.MAX_TEXT_BYTES


def test_a_state_of_the_wrong_size_is_refused() -> None:
    raw = header(word=frames.header_word(Kind.STATE, 7), total=HEADER_BYTES + 600) + bytes(600)
    found = frames.unpack_header(raw, len(raw), 7)
    with pytest.raises(ProtocolViolation, match="STATE"):
        frames.unpack_text(found, memoryview(raw))


def test_an_unknown_failure_is_refused() -> None:
    raw = header(word=frames.header_word(Kind.ERROR, 7), detail=77)
    with pytest.raises(ProtocolViolation):
        frames.unpack_error(frames.unpack_header(raw, len(raw), 7), memoryview(raw))


def test_tables_that_lie_about_sizes_are_refused() -> None:
    payload = HEADER_BYTES + frames.table_bytes([2], 0)
    good = Region(0, DType.FP32, (2, 3), 0, payload, 24)
    lies = [
        good._replace(size=25),
        good._replace(shape=(2, -3)),
        good._replace(shape=(1 << 40, 1 << 40), size=0),
        good._replace(offset=payload + 16),
        good._replace(dtype=DType.BYTES, size=20),
        good._replace(segment=1, offset=1 << 63),
    ]
    assert frames.unpack_table(frames.pack_table(Table(2, (good,), ())), payload + 24).tensors == (good,)
    for lie in lies:
        with pytest.raises(ProtocolViolation):
            frames.unpack_table(frames.pack_table(Table(2, (lie,), ())), payload + 24)
    with pytest.raises(ProtocolViolation):
        frames.unpack_table(struct.pack("<IHH", 1, 60_000, 0), HEADER_BYTES + 8)


def test_what_fits_travels_inline() -> None:
    assert frames.choose_inline([10, 20], 128) == (True, True)
    assert frames.choose_inline([MAX_FRAME_BYTES, 20], 128) == (False, True)
    assert frames.choose_inline([4096] * 40 + [0], 128) == (False,) * 40 + (True,)


@settings(deadline=None)
@given(st.integers(0, 1000).map(lambda n: n * 16), st.lists(st.integers(0, 100), max_size=6))
def test_pads_lead_from_each_tensor_to_the_next(payload: int, sizes: list[int]) -> None:
    offsets, end = frames.lay_out(payload, sizes)
    at = payload
    for offset, size, pad in zip(offsets, sizes, frames.pads(payload, sizes), strict=True):
        assert at == offset
        at += size + len(pad)
    assert at == end


@given(
    st.sampled_from([Kind.END, Kind.CREDIT, Kind.CANCEL]),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
)
def test_frames_about_streams_are_their_headers(kind: Kind, batch: int, amount: int) -> None:
    raw = frames.pack_stream(kind, 7, batch, amount)
    found = frames.unpack_header(raw, len(raw), 7)
    frames.check_stream(found)
    assert (found.kind, found.batch, found.a) == (kind, batch, amount)


@pytest.mark.parametrize("change", [{"b": 1}, {"c": 1}, {"detail": 1}, {"total": HEADER_BYTES + 16}])
def test_and_nothing_more(change: dict[str, int]) -> None:
    raw = frames.pack_stream(Kind.CREDIT, 7, 1, 1)
    with pytest.raises(ProtocolViolation, match="a malformed CREDIT frame"):
        frames.check_stream(frames.unpack_header(raw, len(raw), 7)._replace(**change))


def test_a_part_without_bytes_costs_something_too() -> None:
    assert frames.part_cost(0) > 0
    assert frames.part_cost(100) == frames.part_cost(0) + 100
