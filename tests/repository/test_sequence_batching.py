from __future__ import annotations

import pytest
from google.protobuf import text_format

from gateway.core.dtypes import DType
from gateway.core.sequence import Control, SequenceBatching, SequenceState
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import WarmupInput
from gateway.generated import model_config_pb2 as pb
from gateway.repository.normalised import completed
from gateway.repository.refusal import ConfigRefused
from gateway.repository.sequence_batching import initial_files, read_sequence_batching
from tests.fakes.sequences import control, oldest
from tests.fakes.specs import doubling_spec


def message(text: str) -> pb.ModelConfig:
    return text_format.Parse(text, pb.ModelConfig())


def read(text: str, more: str = "max_batch_size: 4") -> SequenceBatching | None:
    return read_sequence_batching(message(f"{more} sequence_batching {{ {text} }}"))


def test_a_model_without_the_section_keeps_no_sequences() -> None:
    assert read_sequence_batching(message("max_batch_size: 4")) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SequenceBatching()),
        ("max_sequence_idle_microseconds: 5000000", SequenceBatching(5.0)),
        (
            "direct { max_queue_delay_microseconds: 2000 minimum_slot_utilization: 0.5 }",
            SequenceBatching(max_queue_delay_s=0.002, min_utilization=0.5),
        ),
        (
            oldest(7, "preferred_batch_size: [ 4, 2, 4 ] max_queue_delay_microseconds: 1000000"),
            SequenceBatching(max_candidates=7, preferred_sizes=(2, 4), max_queue_delay_s=1.0),
        ),
    ],
)
def test_strategies(text: str, expected: SequenceBatching) -> None:
    assert read(text) == expected


def test_every_control() -> None:
    found = read(
        " ".join((
            control("S", "START"),
            control("R", "READY", "fp32_false_true: [ -1, 2 ]"),
            control("E", "END", "bool_false_true: [ false, true ]"),
            control("C", "CORRID", "data_type: TYPE_STRING"),
        ))
    )
    assert found is not None
    assert found.controls == (
        Control("start", "S", DType.INT32, (0.0, 1.0)),
        Control("ready", "R", DType.FP32, (-1.0, 2.0)),
        Control("end", "E", DType.BOOL, (0.0, 1.0)),
        Control("corrid", "C", DType.BYTES),
    )


STATE = "input_name: 'I' output_name: 'O' data_type: TYPE_FP32 dims: [ 2, -1 ]"


@pytest.mark.parametrize(
    ("initial", "expected"),
    [
        ("", WarmupInput("I", DType.FP32, (2, 1), "zero")),
        (
            "initial_state { name: 'z' data_type: TYPE_FP32 dims: [ 2, 3 ] zero_data: true }",
            WarmupInput("I", DType.FP32, (2, 3), "zero"),
        ),
        (
            "initial_state { name: 'f' data_type: TYPE_FP32 dims: [ 2, 3 ] data_file: 'start.raw' }",
            WarmupInput("I", DType.FP32, (2, 3), "file", "start.raw"),
        ),
    ],
)
def test_states(initial: str, expected: WarmupInput) -> None:
    found = read(f"state {{ {STATE} {initial} }}")
    tensors = [TensorSpec(name, DType.FP32, (2, -1)) for name in ("I", "O")]
    assert found is not None
    assert found.states == (SequenceState(*tensors, expected),)
    assert initial_files(found) == ({"start.raw"} if expected.file else set())
    assert initial_files(None) == set()


STRING_START = control("S", "START", "data_type: TYPE_INT32 int32_false_true: [ 0, 1 ]")
INITIAL = "name: 'z' data_type: TYPE_FP32 dims: [ 2, 3 ]"
REFUSED = {
    "max_sequence_idle_microseconds: 9000000000000": "max_sequence_idle_microseconds: 9",
    "direct { minimum_slot_utilization: 1.5 }": "direct.minimum_slot_utilization: 1.5 is not in 0..1",
    "direct { minimum_slot_utilization: nan }": "direct.minimum_slot_utilization: nan is not in 0..1",
    "direct { max_queue_delay_microseconds: 60000001 }": "direct.max_queue_delay_microseconds: 6",
    "oldest { }": "oldest.max_candidate_sequences: 0 is not in 1..65536",
    oldest(1, "preserve_ordering: true"): "oldest.preserve_ordering: is not supported",
    oldest(1, "preferred_batch_size: 5"): "oldest.preferred_batch_size: 5 is not in 1..4",
    "control_input { name: 'S' }": "control_input[0].control: there are 0, must be one",
    "control_input { control { } }": "control_input[0].name: must be 1 to",
    control("S", "START", ""): "control_input[0].control[0]: needs one of int32_false_true, fp32",
    control("S", "START", "int32_false_true: 1"): "control_input[0].control[0].int32_false_true: there are 1",
    STRING_START: "control_input[0].control[0].data_type: is for CONTROL_SEQUENCE_CORRID alone",
    control("C", "CORRID"): "control_input[0].control[0].int32_false_true: means nothing for CONTROL",
    control("C", "CORRID", "data_type: TYPE_FP32"): (
        "control_input[0].control[0].data_type: FP32 is not one of INT32, INT64, STRING, UINT32, UINT64"
    ),
    control("C", "CORRID", ""): "control_input[0].control[0].data_type: must be given",
    control("S", "START") + control("T", "START"): "control_input: a kind of control stands in it twice",
    "state { }": "state[0].data_type: must be given",
    f"state {{ {STATE} initial_state {{ {INITIAL} }} }}": "state[0].initial_state[0]: needs one of zero_data",
    f"state {{ {STATE} initial_state {{ {INITIAL} zero_data: false }} }}": "state[0].initial_state[0]: needs",
    f"state {{ {STATE} initial_state {{ {INITIAL} data_file: '../x' }} }}": (
        "state[0].initial_state[0].data_file: must be a plain file name"
    ),
    f"state {{ {STATE} initial_state {{ {INITIAL} dims: 1 zero_data: true }} }}": (
        "state[0].initial_state[0].dims: [2, 3, 1] is none of the state's shapes [2, -1]"
    ),
    f"state {{ {STATE} initial_state {{ data_type: TYPE_FP64 }} }}": (
        "state[0].initial_state[0].data_type: is not that of the state"
    ),
    f"state {{ {STATE} initial_state {{ }} initial_state {{ }} }}": "state[0].initial_state: there are 2",
}


@pytest.mark.parametrize(("text", "beginning"), REFUSED.items(), ids=[text[:60] for text in REFUSED])
def test_what_is_refused_and_how(text: str, beginning: str) -> None:
    with pytest.raises(ConfigRefused) as error:
        read(text)
    assert error.value.text.startswith(f"config.pbtxt: sequence_batching.{beginning}"), error.value.text


@pytest.mark.parametrize(
    ("text", "more", "end"),
    [
        ("", "backend: 'pytorch'", "is supported for backends onnxruntime and python alone"),
        (
            "",
            "backend: 'python' model_transaction_policy { decoupled: true }",
            "is not supported where a model is decoupled",
        ),
        (oldest(1, "preferred_batch_size: 1"), "", "preferred_batch_size: needs max_batch_size"),
        (f"state {{ {STATE} }}" * 65, "", "number of states: 65 is not in 0..64"),
        (
            f"state {{ {STATE} }}",
            "input { name: 'I' }",
            "two inputs have the same name, those of controls and states included",
        ),
        (
            f"state {{ {STATE} }}",
            "output { name: 'O' }",
            "two outputs have the same name, those of controls and states included",
        ),
        (
            control("S", "START", f"fp32_false_true: [ {', '.join('1' * 10_000)} ]"),
            "",
            "bytes: 40015 is not in 0..32768",
        ),
    ],
)
def test_what_does_not_go_together(text: str, more: str, end: str) -> None:
    with pytest.raises(ConfigRefused) as error:
        read(text, more)
    assert error.value.text.endswith(end), error.value.text


def test_a_configuration_is_shown_with_its_defaults() -> None:
    spec = doubling_spec(max_batch_size=4)
    told = completed(message("sequence_batching { }").SerializeToString(), spec).sequence_batching
    assert told.max_sequence_idle_microseconds == 1_000_000
    assert told.WhichOneof("strategy_choice") == "direct"
    told = completed(message(f"sequence_batching {{ {oldest(3)} }}").SerializeToString(), spec)
    assert list(told.sequence_batching.oldest.preferred_batch_size) == [4]
    assert not told.HasField("dynamic_batching")
