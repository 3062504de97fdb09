"""States beside a model: kept by slot, begun anew, changed only by what has run whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.sequence import END, START, Control, SequenceBatching, SequenceState
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import Warmup, WarmupInput
from gateway.runtimes.contract import Array, LoadError, ModelFailed
from gateway.runtimes.sequence_signature import with_sequence
from gateway.workers.stateful import Stateful, stateful
from gateway.workers.warming import NoMemory, warm_up
from tests.fakes.specs import doubling_spec
from tests.fakes.turns import STATE, stateful_spec

CONTROLS = (
    Control("start", "S", DType.INT32),
    Control("ready", "R", DType.FP32, (-1.0, 1.0)),
    Control("end", "E", DType.BOOL),
    Control("corrid", "C", DType.UINT64),
)


class Summing:
    """An engine: y and the state are x + the state; remembers what it was given, raises over a 13."""

    def __init__(self, batching: SequenceBatching, *, rows: int = 4, backend: str = "onnxruntime") -> None:
        self.spec = with_sequence(stateful_spec(batching, rows=rows, backend=backend))
        self.seen: list[dict[str, Any]] = []
        self.is_closed = False

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: object
    ) -> Sequence[Array]:
        given = dict(zip([tensor.name for tensor in self.spec.inputs], inputs, strict=True))
        self.seen.append({name: np.array(array).tolist() for name, array in given.items()})
        if (given["x"] == 13).any():
            raise RuntimeError("thirteen")
        total = given["x"] + given.get("in", np.float32(0))
        return [total for _ in outputs]

    def close(self) -> None:
        self.is_closed = True


class Bench:
    def __init__(self, batching: SequenceBatching, **more: Any) -> None:
        self.engine = Summing(batching, **more)
        self.model = Stateful(self.engine, {})

    def run(self, *rows: tuple[int, int, float]) -> list[float]:
        """A batch of (slot, flags, value); the id is the slot and 70. Returns the sums."""
        x = np.array([[value, value] for _, _, value in rows], "f4")
        step = np.array([(slot, flags, slot + 70) for slot, flags, _ in rows], "i8")
        (result,) = self.model.infer([x, step], (0,), len(rows), NoMemory())
        assert result.shape == (len(rows), 2)
        return [float(value) for value in result[:, 0]]


OLDEST = SequenceBatching(max_candidates=9, states=(STATE,))
DIRECT = SequenceBatching(states=(STATE,), controls=CONTROLS)


def test_a_model_without_sequences_is_left_alone() -> None:
    class Plain:
        spec = doubling_spec()

    model = Plain()
    assert stateful(model, {}) is model  # type: ignore[arg-type, comparison-overlap]


@pytest.mark.parametrize("batching", [OLDEST, DIRECT])
def test_each_slot_has_its_state_and_a_start_begins_anew(batching: SequenceBatching) -> None:
    bench = Bench(batching)
    assert bench.run((0, START, 1), (2, START, 10)) == [1, 10]
    assert bench.run((0, 0, 2), (1, START, 5), (2, 0, 20)) == [3, 5, 30]
    assert bench.run((2, 0, 1)) == [31]
    assert bench.run((2, START, 1)) == [1]
    assert bench.run((0, END, 1), (2, 0, 1)) == [4, 2]
    assert set(bench.model._kept) == {1, 2}


def test_callers_see_neither_controls_nor_states() -> None:
    spec = Bench(DIRECT).model.spec
    assert [tensor.name for tensor in (*spec.inputs, *spec.outputs)] == ["x", "y"]


def test_direct_has_a_row_for_every_slot_up_to_the_last() -> None:
    bench = Bench(DIRECT)
    assert bench.run((1, START, 1), (3, START | END, 10)) == [1, 10]
    (seen,) = bench.engine.seen
    assert seen["x"] == [[0, 0], [1, 1], [0, 0], [10, 10]]
    assert seen["S"] == [[0], [1], [0], [1]]
    assert seen["R"] == [[-1], [1], [-1], [1]]
    assert seen["E"] == [[False], [False], [False], [True]]
    assert seen["C"] == [[0], [71], [0], [73]]


def test_oldest_has_a_row_for_every_request() -> None:
    bench = Bench(msgspec.structs.replace(DIRECT, max_candidates=9))
    bench.run((8, START, 1), (3, 0, 10))
    assert (bench.engine.seen[0]["R"], bench.engine.seen[0]["C"]) == ([[1], [1]], [[78], [73]])


def test_ids_that_are_texts_are_told_as_texts() -> None:
    engine = Summing(SequenceBatching(controls=(Control("corrid", "C", DType.BYTES),)))
    model = Stateful(engine, {})
    step = np.array([[1, START, 0]], "i8")
    model.infer([np.ones((1, 2), "f4"), step, np.array([["ä".encode()]], object)], (0,), 1, NoMemory())
    assert engine.seen[0]["C"] == [[b""], ["ä".encode()]]


def test_what_raised_has_changed_nothing_but_what_it_began() -> None:
    bench = Bench(OLDEST)
    bench.run((0, START, 1), (1, START, 2))
    with pytest.raises(RuntimeError):
        bench.run((0, 0, 5), (1, START, 13))
    assert bench.run((0, 0, 5), (1, 0, 7)) == [6, 7]


def test_states_outlive_the_memory_they_came_in() -> None:
    bench = Bench(OLDEST)

    def reused(*arguments: Any) -> Sequence[Array]:
        return [memory if ordinal == 1 else np.zeros((1, 2), "f4") for ordinal in arguments[1]]

    memory = np.full((1, 2), 5, "f4")
    bench.engine.infer = reused  # type: ignore[method-assign]
    bench.run((0, START, 1))
    memory[...] = 99
    (kept,) = bench.model._kept[0]
    assert kept.tolist() == [5, 5]
    assert not kept.flags.writeable


def test_without_a_batch_axis() -> None:
    engine = Summing(DIRECT, rows=0)
    model = Stateful(engine, {})
    for flags, expected in ((START, 1.0), (0, 2.0), (END, 3.0), (0, 1.0)):
        step = np.array([0, flags, 7], "i8")
        (result,) = model.infer([np.ones(2, "f4"), step], (0,), 1, NoMemory())
        assert result.tolist() == [expected, expected]
    assert engine.seen[0] == {"x": [1, 1], "S": [1], "R": [1], "E": [False], "C": [7], "in": [0, 0]}


def test_states_of_different_shapes_run_apart() -> None:
    state = SequenceState(
        TensorSpec("in", DType.FP32, (-1,)),
        TensorSpec("out", DType.FP32, (-1,)),
        WarmupInput("in", DType.FP32, (1,), "zero"),
    )

    class Growing(Summing):
        def infer(
            self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: object
        ) -> Sequence[Array]:
            self.seen.append({})
            longer = np.concatenate([inputs[1], inputs[0][:, :1]], axis=1)
            y = np.repeat(longer.sum(axis=1, keepdims=True), 2, axis=1)
            return [y if ordinal == 0 else longer for ordinal in outputs]

    for candidates in (0, 9):
        engine = Growing(SequenceBatching(max_candidates=candidates, states=(state,)))
        bench = Bench.__new__(Bench)
        bench.engine, bench.model = engine, Stateful(engine, {})
        assert bench.run((0, START, 1), (1, START, 2)) == [1, 2]
        assert bench.run((0, 0, 1), (2, START, 5)) == [2, 5]
        assert len(engine.seen) == 3
        assert bench.run((0, 0, 1), (1, 0, 1), (2, 0, 1)) == [3, 3, 6]
        assert [array.shape for (array,) in bench.model._kept.values()] == [(4,), (3,), (3,)]


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (lambda x: [x], "1 outputs where 2 were asked for"),
        (lambda x: [x, x.astype("f8")], r"state 'out' is float64 \[2, 2\], it is configured as float32"),
        (lambda x: [x, x[:1]], r"state 'out' is float32 \[1, 2\]"),
        (lambda x: [x, None], "state 'out' is no array"),
        (lambda x: [x[:1], x], "an output is not an array of 2 rows"),
    ],
)
def test_a_model_that_breaks_its_promise(results: Any, words: str) -> None:
    bench = Bench(DIRECT)
    bench.engine.infer = lambda inputs, *_: results(inputs[0])  # type: ignore[method-assign]
    with pytest.raises(ModelFailed, match=words):
        bench.run((1, START, 1))
    assert bench.model._kept == {}


class Refusing(Summing):
    """Refuses a 13 alone."""

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: object
    ) -> Sequence[Array]:
        faults = np.array([[b"ithirteen" if row[0] == 13 else b""] for row in inputs[0]], object)
        total = inputs[0] + inputs[1]
        return [faults if ordinal == 2 else total for ordinal in outputs]


def test_what_was_refused_alone_leaves_its_state_as_it_was() -> None:
    for candidates in (0, 9):
        engine = Refusing(SequenceBatching(max_candidates=candidates, states=(STATE,)), backend="python")
        model = Stateful(engine, {})

        def run(*rows: tuple[int, int, float], model: Stateful = model) -> tuple[list[float], list[bytes]]:
            x = np.array([[value, value] for _, _, value in rows], "f4")
            step = np.array([(slot, flags, 1) for slot, flags, _ in rows], "i8")
            text = np.full((len(rows), 1), b"", object)
            result, faults = model.infer([x, step, text], (0, 1), len(rows), NoMemory())
            return result[:, 0].tolist(), faults.ravel().tolist()

        assert run((1, START, 1), (2, START, 2)) == ([1, 2], [b"", b""])
        assert run((1, 0, 13), (2, 0, 5)) == ([14, 7], [b"ithirteen", b""])
        assert run((1, 0, 1), (2, 0, 1)) == ([2, 8], [b"", b""])
        with pytest.raises(ModelFailed, match=r"^thirteen$"):  # a warm-up: nobody would hear of it
            model.infer([np.full((1, 2), 13, "f4")], (0,), 1, NoMemory())


def test_an_initial_state_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "x.raw"
    file.write_bytes(np.array([5, 6], "f4").tobytes())
    initial = WarmupInput("in", DType.FP32, (2,), "file", "x.raw")
    batching = SequenceBatching(max_candidates=1, states=(msgspec.structs.replace(STATE, initial=initial),))
    bench = Bench.__new__(Bench)
    bench.engine = Summing(batching)
    bench.model = Stateful(bench.engine, {"x.raw": str(file)})
    assert [bench.run((0, START, 1)), bench.run((0, 0, 1)), bench.run((0, START, 1))] == [[6], [7], [6]]
    file.write_bytes(bytes(4))
    with pytest.raises(LoadError, match="input 'in' needs 8 bytes"):
        Stateful(bench.engine, {"x.raw": str(file)})


def test_a_warm_up_is_a_sequence_for_each_row() -> None:
    bench = Bench(DIRECT)
    warm_up(bench.model, [Warmup("w", 2, 3, (WarmupInput("x", DType.FP32, (2,), "zero"),))])
    assert [(seen["S"], seen["E"], seen["C"]) for seen in bench.engine.seen] == [
        ([[1], [1]], [[True], [True]], [[1], [2]])
    ] * 3
    assert bench.model._kept == {}


def test_what_cannot_keep_sequences() -> None:
    decoupled = Summing(OLDEST)
    decoupled.spec = msgspec.structs.replace(decoupled.spec, decoupled=True)
    with pytest.raises(LoadError, match="cannot answer a request more than once"):
        Stateful(decoupled, {})
    torch = Summing(OLDEST)
    torch.spec = msgspec.structs.replace(stateful_spec(OLDEST), backend="pytorch")
    with pytest.raises(LoadError, match="not supported for backend 'pytorch'"):
        Stateful(torch, {})
    python = Summing(OLDEST, backend="python")
    x, *rest = python.spec.inputs
    optional = msgspec.structs.replace(x, is_optional=True)
    python.spec = msgspec.structs.replace(python.spec, inputs=(optional, *rest))
    with pytest.raises(LoadError, match=r"^input 'x': optional is not supported with sequence_batching$"):
        Stateful(python, {})


def test_an_end_frees_everything() -> None:
    bench = Bench(OLDEST)
    bench.run((0, START, 1))
    bench.model.close()
    assert bench.engine.is_closed
    assert bench.model._kept == {}
