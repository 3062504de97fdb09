from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.sequence import FAULT, IDENTITY, STEP, Control, SequenceBatching
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, BadInput, ModelFailed
from gateway.runtimes.sequence_signature import with_sequence
from gateway.runtimes.triton_python.sequences import joined, rows_of, sequence_config
from tests.fakes.turns import STATE, stateful_spec


def test_the_requests_of_a_batch_know_who_they_are() -> None:
    texts = np.array([[b""], ["ä".encode()]], object)
    rows = rows_of({
        "X": np.array([[1], [2]]),
        STEP.name: np.array([[0, 1, -1], [3, 2, 0]]),
        IDENTITY.name: texts,
    })
    assert [(row.identity, row.flags) for row in rows] == [(2**64 - 1, 1), ("ä", 2)]
    assert [{name: array.tolist() for name, array in row.inputs.items()} for row in rows] == [
        {"X": [[1]]},
        {"X": [[2]]},
    ]


def test_without_a_batch_axis_there_is_one() -> None:
    text = np.array([b""], object)
    (row,) = rows_of({"X": np.array([1, 2]), STEP.name: np.array([0, 3, 5]), IDENTITY.name: text})
    assert (row.identity, row.flags, row.inputs["X"].tolist()) == (5, 3, [1, 2])


def spec_of(rows: int = 4) -> ModelSpec:
    outputs = (TensorSpec("Y", DType.FP32, (-1,)), TensorSpec("T", DType.BYTES, (1,)))
    spec = stateful_spec(SequenceBatching(), rows=rows, backend="python")
    return with_sequence(msgspec.structs.replace(spec, outputs=outputs))


def answer(width: int = 2) -> Mapping[str, Array]:
    return {"Y": np.ones((1, width), "f4"), "T": np.array([[b"t"]], object)}


def test_answers_are_joined_where_they_fit() -> None:
    whole = joined([answer(), answer()], spec_of())
    assert whole["Y"].shape == (2, 2)
    assert whole[FAULT.name].tolist() == [[b""], [b""]]
    assert "T" not in joined([answer(), {"Y": answer()["Y"]}], spec_of()), (
        "somebody looks for what is missing"
    )
    with pytest.raises(ModelFailed, match=r"output 'Y' differs .* \[1, 2\], \[1, 3\]"):
        joined([answer(), answer(3)], spec_of())


def test_who_is_refused_does_not_hurt_the_others() -> None:
    whole = joined([BadInput("no"), answer(), ModelFailed("sorry")], spec_of())
    assert whole["Y"].tolist() == [[0, 0], [1, 1], [0, 0]]
    assert whole["T"].tolist() == [[b""], [b"t"], [b""]]
    assert whole[FAULT.name].tolist() == [[b"ino"], [b""], [b"fsorry"]]
    alone = joined([BadInput("no")], spec_of(0))
    assert (alone["Y"].tolist(), alone["T"].tolist(), alone[FAULT.name].tolist()) == ([0], [b""], [b"ino"])


def test_as_tritons_configuration_has_it() -> None:
    controls = (
        Control("start", "S", DType.FP32, (-1.0, 1.0)),
        Control("ready", "R", DType.BOOL),
        Control("corrid", "C", DType.BYTES),
    )
    told = sequence_config(SequenceBatching(2.0, controls=controls, states=(STATE,)), 4)
    assert told["max_sequence_idle_microseconds"] == 2_000_000
    assert told["direct"] == {"max_queue_delay_microseconds": 0, "minimum_slot_utilization": 0.0}
    first, second, third = (one["control"][0] for one in told["control_input"])
    assert (first["kind"], first["fp32_false_true"]) == ("CONTROL_SEQUENCE_START", [-1.0, 1.0])
    assert second["bool_false_true"] == [False, True]
    assert (third["kind"], third["data_type"]) == ("CONTROL_SEQUENCE_CORRID", "TYPE_STRING")
    assert (told["state"][0]["input_name"], told["state"][0]["dims"]) == ("in", [2])
    assert sequence_config(SequenceBatching(max_candidates=3), 4)["oldest"]["preferred_batch_size"] == [4]
