from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.workers import frames
from gateway.workers.execution import check_inputs
from gateway.workers.frames import BATCH, HEADER_BYTES, Kind, ProtocolViolation, Region, Table
from gateway.workers.plans import JOIN_BYTES, Misfit, RunPlan, Signature, check_sizes, fits

SPEC = ModelSpec(
    "m",
    1,
    "",
    "",
    (TensorSpec("A", DType.FP32, (3,)), TensorSpec("B", DType.INT8, (-1,))),
    (
        TensorSpec("P", DType.FP32, (2,)),
        TensorSpec("Q", DType.BYTES, (1,)),
        TensorSpec("R", DType.INT8, (-1,)),
    ),
    max_batch_size=8,
)
SIGNATURE = Signature(((DType.FP32, (3,)), (DType.INT8, (5,))), (2, 0))


def reply(*regions: tuple[int, DType, tuple[int, ...], int], rows: int = 4) -> tuple[bytes, int]:
    """A reply's table with inline outputs (ordinal, dtype, shape, size), and the frame's length."""
    payload = HEADER_BYTES + frames.table_bytes([len(shape) for _, _, shape, _ in regions], 0)
    offsets, total = frames.lay_out(payload, [size for *_, size in regions])
    made = tuple(
        Region(ordinal, dtype, shape, 0, offset, size)
        for (ordinal, dtype, shape, size), offset in zip(regions, offsets, strict=True)
    )
    return frames.pack_table(Table(rows, made, ())), total


R, P = (2, DType.INT8, (4, 9), 36), (0, DType.FP32, (4, 2), 32)


def test_the_prepared_frame_is_one_that_the_worker_takes() -> None:
    plan = RunPlan(SPEC, SIGNATURE, 4)
    word = BATCH.pack(frames.header_word(Kind.RUN, 7))
    frame = word + BATCH.pack(11) + plan.rest + b"a" * 48 + plan.pads[0] + b"b" * 20 + plan.pads[1]
    header = frames.unpack_header(frame, len(frame), 7)
    table = frames.unpack_table(frame[HEADER_BYTES : header.payload], header.total)
    check_inputs(SPEC, table)
    assert len(frame) == plan.total
    assert (header.kind, header.batch) == (Kind.RUN, 11)
    assert (table.rows, table.outputs) == (4, (2, 0))
    assert [one.shape for one in table.tensors] == [(4, 3), (4, 5)]


def test_an_input_that_is_left_out_is_in_no_frame() -> None:
    spec = msgspec.structs.replace(
        SPEC, inputs=(TensorSpec("A", DType.FP32, (3,), is_optional=True), SPEC.inputs[1])
    )
    plan = RunPlan(spec, Signature(((DType.INT8, (5,)),), (0,), (1,)), 4)
    frame = bytes(16) + plan.rest + b"b" * 20
    assert len(frame) == plan.total
    table = frames.unpack_table(frame[HEADER_BYTES:-20], plan.total)
    check_inputs(spec, table)
    assert [one.ordinal for one in table.tensors] == [1]
    with pytest.raises(ProtocolViolation, match="exactly the model's inputs"):
        check_inputs(SPEC, table)


def test_only_small_batches_of_fixed_size_are_prepared() -> None:
    assert RunPlan(SPEC, Signature(((DType.FP32, (3,)), (DType.INT8, (JOIN_BYTES,))), (0,)), 2).total == 0
    assert RunPlan(SPEC, Signature(((DType.BYTES, (3,)), (DType.INT8, (1,))), (0,)), 2).total == 0


def test_a_reply_as_promised_is_accepted_and_remembered() -> None:
    plan = RunPlan(SPEC, SIGNATURE, 4)
    raw, total = reply(R, P)
    slices = plan.accept(raw, total)
    assert [(one.name, one.shape, one.elements) for one in slices] == [("R", (4, 9), -1), ("P", (4, 2), -1)]
    assert plan.accepted[raw] == (total, slices)


def test_bytes_are_checked_each_time() -> None:
    plan = RunPlan(SPEC, Signature(SIGNATURE.inputs, (1,)), 4)
    (one,) = plan.accept(*reply((1, DType.BYTES, (4, 1), 30)))
    assert (one.elements, plan.accepted) == (4, {})


@pytest.mark.parametrize(
    "lie",
    [
        reply(R),
        reply(R, P, P),
        reply(P, R),
        reply(R, P, rows=3),
        reply(R, (0, DType.FP64, (4, 2), 64)),
        reply(R, (0, DType.FP32, (4, 3), 48)),
        reply(R, (0, DType.FP32, (3, 2), 24)),
        reply(R, (0, DType.FP32, (8,), 32)),
        reply((2, DType.INT8, (5, 9), 45), P),
    ],
)
def test_a_reply_against_the_signature_is_a_misfit(lie: tuple[bytes, int]) -> None:
    plan = RunPlan(SPEC, SIGNATURE, 4)
    with pytest.raises(Misfit):
        plan.accept(*lie)
    assert plan.accepted == {}


def test_a_reply_that_wants_outputs_is_a_misfit() -> None:
    payload = HEADER_BYTES + frames.table_bytes([], 1)
    with pytest.raises(Misfit):
        RunPlan(SPEC, SIGNATURE, 4).accept(frames.pack_table(Table(4, (), (1,))), payload)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_reply_is_refused_or_means_the_same(data: st.DataObject) -> None:
    plan = RunPlan(SPEC, Signature(SIGNATURE.inputs, (0,)), 4)
    raw, total = reply(P)
    good = plan.accept(raw, total)
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = plan.accept(bytes(damaged), total)
    except (ProtocolViolation, Misfit):
        return
    assert found == good


def test_a_model_without_a_batch_axis_has_its_shapes_as_they_are() -> None:
    spec = ModelSpec(
        "m", 1, "", "", (TensorSpec("A", DType.FP32, (2, 3)),), (TensorSpec("P", DType.FP32, ()),)
    )
    plan = RunPlan(spec, Signature(((DType.FP32, (2, 3)),), (0,)), 1)
    assert plan.shapes == [(2, 3)]
    assert plan.accept(*reply((0, DType.FP32, (), 4), rows=1))[0].shape == ()


def test_parts_that_do_not_fill_the_shapes_are_our_own_bug() -> None:
    plan = RunPlan(SPEC, SIGNATURE, 4)
    check_sizes(plan, [48, 20])
    with pytest.raises(ProtocolViolation):
        check_sizes(plan, [48, 21])


@pytest.mark.parametrize(
    ("shape", "promised", "answer"),
    [((), (), True), ((3,), (-1,), True), ((3,), (3,), True), ((3,), (4,), False), ((3,), (3, -1), False)],
)
def test_fits(shape: tuple[int, ...], promised: tuple[int, ...], answer: bool) -> None:
    assert fits(shape, promised) is answer
