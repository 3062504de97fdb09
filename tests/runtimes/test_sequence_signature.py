import msgspec

from gateway.core.dtypes import DType
from gateway.core.sequence import FAULT, IDENTITY, STEP, Control, SequenceBatching
from gateway.runtimes.sequence_signature import (
    extra_inputs,
    extra_outputs,
    wired,
    with_sequence,
    without_sequence,
)
from tests.fakes.specs import doubling_spec
from tests.fakes.turns import STATE, stateful_spec

BATCHING = SequenceBatching(controls=(Control("start", "S", DType.INT32),), states=(STATE,))


def test_a_model_without_sequences_is_left_alone() -> None:
    spec = doubling_spec()
    assert with_sequence(spec) is without_sequence(spec) is wired(spec) is spec


def test_the_engine_s_tensors_stand_behind_the_callers() -> None:
    spec = stateful_spec(BATCHING)
    whole = with_sequence(spec)
    assert [tensor.name for tensor in whole.inputs] == ["x", "S", "in"]
    assert [tensor.name for tensor in whole.outputs] == ["y", "out"]
    assert extra_inputs(spec) == whole.inputs[1:]
    assert extra_outputs(spec) == whole.outputs[1:]
    assert without_sequence(whole) == spec
    assert wired(spec).inputs == (*spec.inputs, STEP)


def test_a_model_in_python_can_ask_who_asks() -> None:
    spec = stateful_spec(BATCHING, backend="python")
    assert with_sequence(spec).inputs[-2:] == (STEP, IDENTITY)
    assert with_sequence(spec).outputs == (*spec.outputs, STATE.output, FAULT)
    assert without_sequence(with_sequence(spec)) == spec
    assert wired(spec).inputs == (*spec.inputs, STEP, IDENTITY)
    assert wired(spec).outputs == (*spec.outputs, FAULT)


def test_what_is_left_to_the_file_stays_left_to_it() -> None:
    spec = msgspec.structs.replace(stateful_spec(BATCHING), inputs=())
    assert with_sequence(spec).inputs == ()
    assert len(with_sequence(spec).outputs) == 2
