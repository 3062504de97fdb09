from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.dtypes import DType
from gateway.core.model import BatchPolicy, QueuePolicy
from gateway.core.placement import Accelerator, Accelerators, InstanceGroup
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import Warmup, WarmupInput
from gateway.generated import model_config_pb2
from gateway.repository import pbtxt
from gateway.repository.catalogue import PartialConfig
from gateway.repository.pbtxt import parse
from gateway.repository.refusal import ConfigRefused
from gateway.repository.versions import All, Latest, Specific
from tests.fakes.ensembles import DIAMOND, config_of

X = 'input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }'
ALONE = BatchPolicy(enabled=False)


def config(text: str) -> PartialConfig:
    return msgspec.structs.replace(parse(text.encode(), "m"), written=b"")


def refusal(text: str | bytes) -> str:
    with pytest.raises(ConfigRefused) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), "m")
    assert caught.value.text == str(caught.value)
    assert "\n" not in caught.value.text
    assert len(caught.value.text) < 400
    return caught.value.text


def outcome(data: bytes) -> PartialConfig | str:
    try:
        return parse(data, "m")
    except ConfigRefused as error:
        return error.text


GOOD = {
    "": PartialConfig(),
    "# only a comment\n": PartialConfig(),
    'name: "m"': PartialConfig(),
    'platform: "onnxruntime_onnx"': PartialConfig(platform="onnxruntime_onnx"),
    'backend: "onnxruntime"': PartialConfig(backend="onnxruntime"),
    "max_batch_size: 8": PartialConfig(max_batch_size=8, batching=ALONE),
    "max_batch_size: 8 dynamic_batching { }": PartialConfig(max_batch_size=8),
    "dynamic_batching { max_queue_delay_microseconds: 1500 }": PartialConfig(
        batching=BatchPolicy(max_queue_delay_s=0.0015)
    ),
    "max_batch_size: 8 dynamic_batching { preferred_batch_size: [ 8, 4, 4 ] }": PartialConfig(
        max_batch_size=8, batching=BatchPolicy(preferred_sizes=(4, 8))
    ),
    X: PartialConfig(inputs=(TensorSpec("x", DType.FP32, (4,)),), batching=ALONE),
    'output [ { name: "y" data_type: TYPE_STRING dims: [ -1, 2 ] } ]': PartialConfig(
        outputs=(TensorSpec("y", DType.BYTES, (-1, 2)),)
    ),
    'input { name: "x" data_type: TYPE_BOOL dims: 3 reshape { shape: [ 3 ] } }': PartialConfig(
        inputs=(TensorSpec("x", DType.BOOL, (3,)),), batching=ALONE
    ),
    'input { name: "x" data_type: TYPE_FP32 dims: 3 format: FORMAT_NONE optional: false }': PartialConfig(
        inputs=(TensorSpec("x", DType.FP32, (3,)),), batching=ALONE
    ),
    'input { name: "x" data_type: TYPE_FP32 dims: 3 optional: true }': PartialConfig(
        inputs=(TensorSpec("x", DType.FP32, (3,), is_optional=True),), batching=ALONE
    ),
    "version_policy { }": PartialConfig(),
    "version_policy: { all { } }": PartialConfig(version_policy=All()),
    "version_policy { latest { num_versions: 3 } }": PartialConfig(version_policy=Latest(3)),
    "version_policy { specific { versions: [ 9, 2, 9 ] } }": PartialConfig(version_policy=Specific((2, 9))),
    "instance_group [ { count: 2 kind: KIND_CPU }, { kind: KIND_AUTO name: 'b' } ]": PartialConfig(
        instances=3, groups=(InstanceGroup("cpu", 2), InstanceGroup())
    ),
    "instance_group { }": PartialConfig(),
    "instance_group { kind: KIND_GPU count: 2 gpus: [ 1, 0 ] }": PartialConfig(
        instances=4, groups=(InstanceGroup("gpu", 2, (1, 0)),)
    ),
    "optimization { execution_accelerators { gpu_execution_accelerator { name: 'cuda' } } }": PartialConfig(
        options=Accelerators((Accelerator("cuda"),)).options()
    ),
    "platform: 'tensorrt_plan'": PartialConfig(platform="tensorrt_plan"),
    'default_model_filename: "net.onnx"': PartialConfig(model_filename="net.onnx"),
    'parameters { key: "intra_op_thread_count" value { string_value: "2" } }': PartialConfig(
        options={"intra_op_thread_count": "2"}
    ),
    'parameters { key: "gateway.isolation" value { string_value: "inline" } }': PartialConfig(
        isolation="inline"
    ),
    'parameters { key: "gateway.isolation" value { string_value: "process" } }': PartialConfig(
        isolation="process"
    ),
    "optimization { } response_cache { enable: false } model_transaction_policy { decoupled: false }": (
        PartialConfig()
    ),
    "dynamic_batching { preserve_ordering: false default_queue_policy { } }": PartialConfig(),
    "dynamic_batching { preserve_ordering: true }": PartialConfig(
        batching=BatchPolicy(preserve_ordering=True)
    ),
    "dynamic_batching { default_queue_policy { max_queue_size: 1 } }": PartialConfig(
        batching=BatchPolicy(queue_policy=QueuePolicy(max_queue_size=1))
    ),
    "dynamic_batching { priority_levels: 2 default_priority_level: 1 }": PartialConfig(
        batching=BatchPolicy(priority_levels=2, default_priority_level=1)
    ),
    "optimization { graph { level: -1 } }": PartialConfig(options={"level": "-1"}),
    "optimization { graph { } }": PartialConfig(options={"level": "0"}),
    "optimization { input_pinned_memory { enable: false } execution_accelerators { } }": PartialConfig(),
    'optimization { graph { level: 1 } } parameters { key: "level" value { string_value: "1" } }': (
        PartialConfig(options={"level": "1"})
    ),
    'parameters { key: "gateway.labels" value { string_value: "stable=1, canary=3" } }': PartialConfig(
        labels={"stable": 1, "canary": 3}
    ),
    "output { name: 'y' data_type: TYPE_FP32 dims: 4 label_filename: 'names.txt' }": PartialConfig(
        outputs=(TensorSpec("y", DType.FP32, (4,)),), label_files={"y": "names.txt"}
    ),
    "input { name: 'x' data_type: TYPE_FP32 dims: [ 3, 2, 2 ] format: FORMAT_NCHW }": PartialConfig(
        inputs=(TensorSpec("x", DType.FP32, (3, 2, 2)),), batching=ALONE
    ),
    "input { name: 'x' data_type: TYPE_FP32 dims: 1 reshape { } }": PartialConfig(
        inputs=(TensorSpec("x", DType.FP32, (1,), ()),), batching=ALONE
    ),
    "model_warmup { inputs { key: 'x' value { data_type: TYPE_FP32 dims: 4 zero_data: true } } }": (
        PartialConfig(
            warmup=(Warmup("", 1, 1, (WarmupInput("x", DType.FP32, (4,), "zero"),)),),
        )
    ),
}


@pytest.mark.parametrize(("text", "expected"), GOOD.items(), ids=list(GOOD))
def test_what_is_understood(text: str, expected: PartialConfig) -> None:
    assert config(text) == expected


@pytest.mark.parametrize("dtype", DType)
def test_every_datatype(dtype: DType) -> None:
    name = "STRING" if dtype is DType.BYTES else dtype.name
    parsed = config(f'input {{ name: "x" data_type: TYPE_{name} dims: [ 1 ] }}')
    assert parsed.inputs == (TensorSpec("x", dtype, (1,)),)


def test_the_parameters_of_a_python_model_are_its_own() -> None:
    text = "parameters { key: 'level' value { string_value: 'high' } }"
    assert config(f"backend: 'python' {text}").options == {"level": "high"}
    assert refusal(text)


def test_the_parameters_of_a_pytorch_model_are_those_of_its_backend() -> None:
    text = "parameters { key: 'INFERENCE_MODE' value { string_value: 'false' } }"
    assert config(f"platform: 'pytorch_libtorch' {text}").options == {"INFERENCE_MODE": "false"}
    assert refusal(f"backend: 'onnxruntime' {text}")


# Text to what its refusal must begin with, behind "config.pbtxt: ".
BAD = {
    "nme: 'x'": 'line 1, column 1: Message type "inference.ModelConfig" has no field named "nme"',
    "\n\n input { nme: 'x' }": 'line 3, column 10: Message type "inference.ModelInput" has no',
    "max_batch_size: 'x'": "line 1, column 17: Couldn't parse integer: 'x'",
    "max_batch_size: 2147483648": "line 1, column 17: Value out of range",
    "max_batch_size: -1": "max_batch_size: -1 is not in 0..1048576",
    "max_batch_size: 1 max_batch_size: 2": "line 1, column 35: Message type",
    "name: 'a": "line 1, column 7: String missing ending quote",
    "{": "line 1, column 1: ",
    "[type.googleapis.com/inference.ModelConfig] { }": "line 1, column ",
    "name: 'other'": "name: 'other' is not the name of the folder, 'm'",
    "platform: 'tensorflow_savedmodel'": "platform: 'tensorflow_savedmodel' is not supported; supported: ens",
    "backend: 'mxnet'": "backend: 'mxnet' is not supported; supported: ensemble, onnxruntime, python, py",
    "platform: 'onnxruntime_onnx' backend: 'python'": "backend: 'python' is not supported",
    "platform: 'x' backend: 'y'": "platform: 'x' is not supported",
    "runtime: 'x'": "runtime: is not supported",
    "default_model_filename: '../other/1/model.onnx'": "default_model_filename: must be a plain file name",
    "default_model_filename: '/etc/passwd'": "default_model_filename: must be a plain file name",
    "default_model_filename: '..'": "default_model_filename: must be a plain file name",
    r"default_model_filename: 'a\000b'": "default_model_filename: must be a plain file name",
    "input { data_type: TYPE_FP32 dims: 1 }": "input[0].name: must be 1 to 1024 printable characters",
    r"input { name: 'a\nb' data_type: TYPE_FP32 dims: 1 }": "input[0].name: must be",
    "input { name: 'x' dims: 1 }": "input[0].data_type: must be given",
    "input { name: 'x' data_type: TYPE_NEW dims: 1 }": "line 1, column ",
    "input { name: 'x' data_type: TYPE_FP32 }": "input[0].dims: 0 dimensions, must be 1 to 31",
    "input { name: 'x' data_type: TYPE_FP32 dims: 0 }": "input[0].dims: each must be -1 or at least 1",
    "input { name: 'x' data_type: TYPE_FP32 dims: -2 }": "input[0].dims: each must be -1 or at least 1",
    f"{X} input {{ name: 'y' data_type: TYPE_FP32 dims: [{'1,' * 31} 1] }}": "input[1].dims: 32 dimensions",
    "input { name: 'x' data_type: TYPE_FP32 dims: [ 4611686018427387904, -1 ] }": "input[0].dims: more",
    "input { name: 'x' data_type: TYPE_FP32 dims: [ 1099511627776 ] } max_batch_size: 1048576": (
        "input[0].dims: more elements"
    ),
    f"{X} {X}": "input: two tensors have the same name",
    "input { name: 'x' data_type: TYPE_FP32 dims: 2 reshape { } }": "input[0].reshape: [] has not the",
    f"backend: 'pytorch' {X} input {{ name: 'y' data_type: TYPE_FP32 dims: 1 optional: true }}": (
        "input[1].optional: is not supported for backend 'pytorch'"
    ),
    "input { name: 'x' data_type: TYPE_FP32 dims: 1 format: FORMAT_NHWC }": (
        "input[0].format: FORMAT_NHWC needs 3 dims, there are 1"
    ),
    "input { name: 'x' data_type: TYPE_FP32 dims: 1 is_shape_tensor: true }": "input[0].is_shape_tensor: ",
    "input { name: 'x' data_type: TYPE_FP32 dims: 1 allow_ragged_batch: true }": "input[0].allow_ragged",
    "output { name: 'y' data_type: TYPE_FP32 dims: 1 label_filename: '../l' }": (
        "output[0].label_filename: must be a plain file name"
    ),
    "dynamic_batching { preferred_batch_size: 4 }": (
        "dynamic_batching.preferred_batch_size: needs max_batch_size"
    ),
    "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 2, 5 ] }": (
        "dynamic_batching.preferred_batch_size: 5 is not in 1..4"
    ),
    "max_batch_size: 4 dynamic_batching { preferred_batch_size: 0 }": (
        "dynamic_batching.preferred_batch_size: 0 is not in 1..4"
    ),
    "dynamic_batching { max_queue_delay_microseconds: 18446744073709551615 }": (
        "dynamic_batching.max_queue_delay_microseconds: 18446744073709551615 is not in 0..60000000"
    ),
    "dynamic_batching { } sequence_batching { }": "line 1, column ",
    "sequence_batching { iterative_sequence: true }": (
        "sequence_batching.iterative_sequence: is not supported"
    ),
    "sequence_batching { state { use_growable_memory: true } }": (
        "sequence_batching.state[0].use_growable_memory: is not supported"
    ),
    "ensemble_scheduling { }": "input: must be given for an ensemble",
    "ensemble_scheduling { max_inflight_requests: 1 }": "ensemble_scheduling.max_inflight_requests: is not",
    "ensemble_scheduling { step { model_namespace: 'n' } }": (
        "ensemble_scheduling.step[0].model_namespace: is not supported"
    ),
    "optimization { graph { level: 3 } }": "optimization.graph.level: 3 is not in -1..2",
    "optimization { graph { } } parameters { key: 'level' value { string_value: '1' } }": (
        "optimization.graph.level: 0 contradicts parameters['level'] 1"
    ),
    "optimization { cuda { graphs: true } }": "optimization.cuda: is not supported: tensors do not stay",
    "optimization { execution_accelerators { gpu_execution_accelerator { name: 'tensor' } } }": (
        "optimization.execution_accelerators.gpu_execution_accelerator[0].name: 'tensor' is not supported; "
        "supported: tensorrt, cuda"
    ),
    "optimization { gather_kernel_buffer_threshold: 1 }": "optimization.gather_kernel_buffer_threshold: is",
    "optimization { priority: PRIORITY_MAX }": "optimization.priority: is not supported",
    "response_cache { enable: true }": "response_cache.enable: is not supported",
    "backend: 'python' dynamic_batching { preserve_ordering: true } "
    "model_transaction_policy { decoupled: true }": (
        "dynamic_batching.preserve_ordering: is not possible where a model is decoupled"
    ),
    "model_transaction_policy { decoupled: true }": (
        "model_transaction_policy.decoupled: is supported for backend 'python' alone"
    ),
    "model_warmup { name: 'w' }": "model_warmup[0].inputs: must be given",
    "parameters { key: 'gateway.labels' value { string_value: '1=1' } }": (
        "parameters['gateway.labels']: '1' is no label: 1 to 64 of"
    ),
    "metric_tags { key: 'a' value: 'b' }": "metric_tags: is not supported",
    "cc_model_filenames { key: 'a' value: 'b' }": "cc_model_filenames: is not supported",
    "version_policy { latest { } }": "version_policy.latest.num_versions: 0 is not in 1..",
    "version_policy { specific { } }": "version_policy.specific.versions: names no version",
    "version_policy { specific { versions: [ 1, 0 ] } }": "version_policy.specific.versions: 0 is not in 1..",
    "version_policy { specific { versions: [ -3 ] } }": "version_policy.specific.versions: -3 is not in 1..",
    "instance_group { } instance_group { kind: KIND_MODEL }": "instance_group[1].kind: KIND_MODEL is not",
    "instance_group { gpus: 0 } parameters { key: 'gateway.isolation' value { string_value: 'inline' } }": (
        "instance_group: KIND_GPU contradicts gateway.isolation inline"
    ),
    "instance_group { count: -1 }": "instance_group[0].count: -1 is not in 1..64",
    "instance_group { count: 65 }": "instance_group[0].count: 65 is not in 1..64",
    "instance_group { count: 64 } instance_group { }": "instance_group: count of all groups: 65 is not",
    "instance_group { kind: KIND_CPU gpus: [ 0 ] }": "instance_group[0].gpus: means nothing with KIND_CPU",
    "instance_group { rate_limiter { priority: 2 } }": "instance_group[0].rate_limiter: is not supported",
    "instance_group { host_policy: 'x' }": "instance_group[0].host_policy: is not supported",
    "parameters { key: 'gpu_mem_limit' value { string_value: '-1' } }": "parameters['gpu_mem_limit']: '-1'",
    "parameters { key: 'gpu_mem_limits' value { string_value: '1' } }": "parameters['gpu_mem_limits']: is",
    "parameters { key: 'gateway.color' value { string_value: '1' } }": "parameters['gateway.color']: is not",
    "parameters { key: 'gateway.isolation' value { string_value: 'thread' } }": (
        "parameters['gateway.isolation']: 'thread' is not one of auto, process, shared, inline"
    ),
    "parameters { key: 'intra_op_thread_count' value { string_value: 'many' } }": (
        "parameters['intra_op_thread_count']: 'many' is not one of 0..256"
    ),
    "parameters { key: 'intra_op_thread_count' value { string_value: '257' } }": (
        "parameters['intra_op_thread_count']: '257' is not"
    ),
    "parameters { key: 'intra_op_thread_count' value { string_value: '²' } }": (
        "parameters['intra_op_thread_count']: '²' is not"
    ),
    "platform: 'pytorch_libtorch' parameters { key: 'ENABLE_NVFUSER' value { string_value: 'true' } }": (
        "parameters['ENABLE_NVFUSER']: is not supported"
    ),
    "backend: 'pytorch' parameters { key: 'INFERENCE_MODE' value { string_value: 'yes' } }": (
        "parameters['INFERENCE_MODE']: 'yes' is not one of true, false"
    ),
    "backend: 'pytorch' parameters { key: 'INTRA_OP_THREAD_COUNT' value { string_value: '0' } }": (
        "parameters['INTRA_OP_THREAD_COUNT']: '0' is not one of 1..256"
    ),
    "backend: 'python' parameters { key: 'EXECUTION_ENV_PATH' value { string_value: '/e.tar.gz' } }": (
        "parameters['EXECUTION_ENV_PATH']: '/e.tar.gz' is an archive, and nothing is unpacked here"
    ),
    "backend: 'python' parameters { key: 'gateway.color' value { string_value: '1' } }": (
        "parameters['gateway.color']: is not supported"
    ),
    f"backend: 'python' parameters {{ key: 'a' value {{ string_value: '{'x' * 40_000}' }} }}": (
        "parameters: are 40001 bytes, must be at most 32768"
    ),
    "parameters { key: 'enable_mem_arena' value { } }": "parameters['enable_mem_arena']: '' is not one of",
}


@pytest.mark.parametrize(("text", "beginning"), BAD.items(), ids=[text[:70] for text in BAD])
def test_what_is_refused_and_how(text: str, beginning: str) -> None:
    found = refusal(text)
    assert found.startswith(f"config.pbtxt: {beginning}"), found


def test_every_field_of_the_protocol_is_honoured_or_refused_by_name() -> None:
    """A field set to something may end up in the result or in a refusal, but never nowhere."""
    descriptor = model_config_pb2.ModelConfig.DESCRIPTOR
    honoured = pbtxt._HONOURED
    outer = descriptor.file.message_types_by_name
    inner = {
        name: message
        for outside in ("ModelOptimizationPolicy", "ModelEnsembling", "ModelSequenceBatching")
        for name, message in outer[outside].nested_types_by_name.items()
    }
    messages = [outer.get(name) or inner[name] for name in honoured]
    for message in messages:
        assert honoured[message.name] <= {field.name for field in message.fields}
    for field in descriptor.fields:
        if field.name not in honoured["ModelConfig"]:
            assert refusal_of_field(field.name).startswith(f"config.pbtxt: {field.name}: is not supported")


FIELD_VALUES = {
    "runtime": "runtime: 'x'",
    "batch_input": "batch_input { }",
    "batch_output": "batch_output { }",
    "cc_model_filenames": "cc_model_filenames { key: 'a' value: 'b' }",
    "metric_tags": "metric_tags { key: 'a' value: 'b' }",
    "model_operations": "model_operations { op_library_filename: 'x' }",
    "model_repository_agents": "model_repository_agents { agents { } }",
    "model_metrics": "model_metrics { metric_control { } }",
}


def refusal_of_field(name: str) -> str:
    return refusal(FIELD_VALUES[name])


def test_an_ensemble_has_neither_engine_nor_options() -> None:
    text = config_of(DIAMOND, ["in TYPE_FP32 [ 2 ]"], ["out TYPE_FP32 [ 2 ]"], max_batch_size=4)
    parsed = config(text.replace("platform:", "backend:"))
    assert (parsed.platform, parsed.backend, parsed.options) == ("ensemble", "", {})
    assert parsed.ensemble is not None
    assert [step.model for step in parsed.ensemble.steps] == [row[0] for row in DIAMOND]
    assert (parsed.max_batch_size, parsed.inputs) == (4, (TensorSpec("in", DType.FP32, (2,)),))


def test_bytes_that_are_no_text() -> None:
    assert refusal(b"name: '\xff'") == "config.pbtxt: byte 7 is not UTF-8"
    assert refusal(rb"name: '\xff'").startswith("config.pbtxt: line 1, column ")


@pytest.mark.parametrize(
    "unit", ["{", "input {", "[", "input { }\n", "dims: 1 ", "# x\n", "version_policy { specific { "]
)
def test_large_and_deep_files_end(unit: str) -> None:
    parsed = outcome((unit * (pbtxt.MAX_CONFIG_BYTES // 20 // len(unit))).encode())
    assert isinstance(parsed, PartialConfig) or len(parsed) < 400


def test_the_size_limit() -> None:
    padding = b"#" * (pbtxt.MAX_CONFIG_BYTES - 1) + b"\n"
    assert parse(padding, "m") == PartialConfig()
    assert refusal(padding + b"\n") == "config.pbtxt: is larger than 1048576 bytes"


def test_the_limit_on_tensors() -> None:
    many = "".join(f"input {{ name: 'x{n}' data_type: TYPE_BOOL dims: 1 }}\n" for n in range(1025))
    assert refusal(many) == "config.pbtxt: input: number of tensors: 1025 is not in 0..1024"


FRAGMENTS = st.sampled_from([
    *GOOD,
    *BAD,
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "'",
    '"',
    "#",
    "\n",
    "nan",
    "-",
    "\\",
])


@settings(max_examples=150)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(str.encode),
        st.lists(FRAGMENTS, max_size=6).map(lambda parts: " ".join(parts).encode()),
    )
)
def test_any_bytes_are_understood_or_refused(data: bytes) -> None:
    parsed = outcome(data)
    if isinstance(parsed, str):
        assert parsed.startswith("config.pbtxt: ")
        assert parsed.isprintable()
    else:
        msgspec.json.encode(parsed)


@given(
    st.integers(1, 1 << 20),
    st.lists(st.one_of(st.just(-1), st.integers(1, 1000)), min_size=1, max_size=4),
    st.sampled_from([dtype for dtype in DType if dtype is not DType.BYTES]),
)
@settings(max_examples=50)
def test_a_written_signature_comes_back(rows: int, dims: list[int], dtype: DType) -> None:
    tensor = f'{{ name: "x" data_type: TYPE_{dtype.name} dims: {dims} }}'
    parsed = config(f"max_batch_size: {rows} input {tensor} output {tensor}")
    assert parsed.max_batch_size == rows
    assert parsed.inputs == parsed.outputs == (TensorSpec("x", dtype, tuple(dims)),)


def test_the_committed_configurations_are_understood() -> None:
    repository = Path(__file__).resolve().parents[2] / "model_repo"
    for path in repository.glob("*/config.pbtxt"):
        assert parse(path.read_bytes(), path.parent.name).inputs


def test_a_python_model_may_be_decoupled() -> None:
    text = 'backend: "python" model_transaction_policy { decoupled: true }'
    assert parse(text.encode(), "m").decoupled
    assert not parse(b'backend: "python"', "m").decoupled
