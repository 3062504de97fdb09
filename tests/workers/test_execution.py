from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor import serialise_bytes_elements
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import ABSENT, BadInput
from gateway.workers import execution, frames
from gateway.workers.arena import Arena
from gateway.workers.execution import Executor, LargeOutputs, ModelMisbehaved, NoRoom, ServePlan
from gateway.workers.frames import HEADER_BYTES, ProtocolViolation, Region, Table
from gateway.workers.segments import ForeignSegments

MIB = 1 << 20
SPEC = ModelSpec(
    "m",
    1,
    "",
    "",
    (TensorSpec("A", DType.FP32, (3,)), TensorSpec("B", DType.BYTES, (-1,))),
    (TensorSpec("P", DType.FP32, (2,)), TensorSpec("Q", DType.BYTES, (1,))),
    max_batch_size=8,
)
THEIRS = ForeignSegments(1, 1)


class Model:
    """Only its signature matters here."""

    spec = SPEC

    def infer(self, *_: Any) -> Any:
        raise AssertionError

    def close(self) -> None:
        pass


def executor(a: np.ndarray[Any, Any], b: bytes, shape: tuple[int, ...]) -> tuple[Executor, ServePlan]:
    """With one batch of two rows in its buffer."""
    made = Executor(Model(), Arena(4 * MIB))
    payload = HEADER_BYTES + frames.table_bytes([2, 2], 1)
    (first, second), total = frames.lay_out(payload, [a.nbytes, len(b)])
    regions = (
        Region(0, DType.FP32, a.shape, 0, first, a.nbytes),
        Region(1, DType.BYTES, shape, 0, second, len(b)),
    )
    made.view[HEADER_BYTES:payload] = frames.pack_table(Table(2, regions, (1,)))
    made.view[first : first + a.nbytes] = a.tobytes()
    made.view[second : second + len(b)] = b
    return made, made.plan(total, payload)


def test_inputs_are_read_only_arrays_of_what_came() -> None:
    a = np.arange(6, dtype="f4").reshape(2, 3)
    made, plan = executor(a, serialise_bytes_elements([b"x", b"", b"yy", b"z"]), (2, 2))
    found_a, found_b = made.inputs(plan, THEIRS)
    np.testing.assert_array_equal(found_a, a)
    assert not found_a.flags.writeable
    assert found_b.tolist() == [[b"x", b""], [b"yy", b"z"]]
    assert (plan.rows, plan.outputs, plan.dtypes) == (2, (1,), (np.dtype(object),))


@pytest.mark.parametrize("raw", [b"\2\0\0\0xx" * 3, b"\1\0\0\0x" * 3 + b"\2\0\0\0x", b"\xff" * 20])
def test_malformed_bytes_are_the_callers_fault(raw: bytes) -> None:
    made, plan = executor(np.zeros((2, 3), "f4"), raw, (2, 2))
    with pytest.raises(BadInput):
        made.inputs(plan, THEIRS)


@pytest.mark.parametrize("is_text", [False, True])
def test_absent_stands_for_an_optional_input_that_was_left_out(is_text: bool) -> None:
    model = Model()
    model.spec = msgspec.structs.replace(
        SPEC, inputs=tuple(msgspec.structs.replace(one, is_optional=True) for one in SPEC.inputs)
    )
    made = Executor(model, Arena(4 * MIB))
    data = serialise_bytes_elements([b"x", b"yy"]) if is_text else np.ones((2, 3), "f4").tobytes()
    dtype, shape = (DType.BYTES, (2, 1)) if is_text else (DType.FP32, (2, 3))
    payload = HEADER_BYTES + frames.table_bytes([2], 1)
    (offset,), total = frames.lay_out(payload, [len(data)])
    region = Region(int(is_text), dtype, shape, 0, offset, len(data))
    made.view[HEADER_BYTES:payload] = frames.pack_table(Table(2, (region,), (0,)))
    made.view[offset : offset + len(data)] = data
    inputs = made.inputs(made.plan(total, payload), THEIRS)
    assert inputs[not is_text] is ABSENT
    assert inputs[is_text].tolist() == ([[b"x"], [b"yy"]] if is_text else [[1.0] * 3] * 2)


def table(**changes: Any) -> Table:
    a = Region(0, DType.FP32, (2, 3), 0, 160, 24)
    b = Region(1, DType.BYTES, (2, 1), 0, 192, 8)
    return Table(**{"rows": 2, "tensors": (a, b), "outputs": (0,)} | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 0},
        {"rows": 9},
        {"rows": 3},
        {"tensors": table().tensors[:1]},
        {"tensors": table().tensors[::-1]},
        {"tensors": (table().tensors[0]._replace(dtype=DType.INT32), table().tensors[1])},
        {"tensors": (table().tensors[0]._replace(shape=(2, 4)), table().tensors[1])},
        {"tensors": (table().tensors[0]._replace(shape=(6,)), table().tensors[1])},
    ],
)
def test_a_batch_against_the_signature_is_a_violation(changes: dict[str, Any]) -> None:
    execution.check_inputs(SPEC, table())
    with pytest.raises(ProtocolViolation):
        execution.check_inputs(SPEC, table(**changes))


@pytest.mark.parametrize("outputs", [(), (2,), (0, 0)])
def test_outputs_the_model_does_not_have_are_a_violation(outputs: tuple[int, ...]) -> None:
    with pytest.raises(ProtocolViolation):
        ServePlan(SPEC, table(outputs=outputs), 0)


@pytest.mark.parametrize(
    "results",
    [
        [],
        [np.zeros((2, 2), "f4")] * 2,
        [np.zeros((2, 2), "f8")],
        [np.zeros((2, 3), "f4")],
        [np.zeros((1, 2), "f4")],
        [[0.0, 1.0]],
    ],
)
def test_outputs_against_the_signature_are_named(results: Any) -> None:
    plan = ServePlan(SPEC, table(), 0)
    execution.check_outputs(plan, [np.zeros((2, 2), "f4")])
    with pytest.raises(ModelMisbehaved):
        execution.check_outputs(plan, results)


def test_bytes_outputs_are_bytes_or_text() -> None:
    array = np.array([[b"a"], ["b\u00e9"]], object)
    assert execution.encode_bytes(array) == serialise_bytes_elements([b"a", "b\u00e9".encode()])
    with pytest.raises(ModelMisbehaved):
        execution.encode_bytes(np.array([1], object))


def test_what_the_engine_wrote_into_our_memory_is_not_copied() -> None:
    arena = Arena(4 * MIB)
    memory = LargeOutputs(arena)
    array = memory.array(np.dtype("f4"), (1000, 100))
    assert array is not None
    array[...] = 7
    segment, offset = memory.place(array)
    assert np.frombuffer(segment.memory, "f4", 10, offset).tolist() == [7] * 10
    assert arena.statistics().segments == 1
    lease = memory.lend(segment.number)
    memory.free()
    assert lease.holds == 1


def test_everything_else_is_copied_and_freed_if_not_lent() -> None:
    arena = Arena(4 * MIB)
    memory = LargeOutputs(arena)
    strided = np.arange(200_000, dtype="i4")[::2]
    for data, raw in ((strided, strided.tobytes()), (b"x" * 300_000, b"x" * 300_000)):
        segment, offset = memory.place(data)
        assert segment.memory[offset : offset + len(raw)] == raw
    with pytest.raises(NoRoom):
        memory.place(np.zeros(4 * MIB, "u1"))
    memory.free()
    assert arena.statistics().free_bytes == arena.statistics().total_bytes
