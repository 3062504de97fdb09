"""sequence_batching of config.pbtxt to a SequenceBatching, by Triton's rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gateway.core.dtypes import DType
from gateway.core.sequence import Control, ControlKind, SequenceBatching, SequenceState
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import Source, WarmupInput
from gateway.generated import model_config_pb2 as pb
from gateway.repository.dynamic_batching import MAX_QUEUE_DELAY_US
from gateway.repository.formats import matching
from gateway.repository.refusal import ConfigRefused, dtype_of, in_range, plain_file_name, shape_of
from gateway.repository.tensors import tensor_name

DEFAULT_IDLE_US = 1_000_000
MAX_IDLE_US = 30 * 86_400 * 1_000_000
# Each may hold a state, in every instance.
MAX_CANDIDATES = 1 << 16
# A worker and a front are told of a model in one packet of 128 KiB.
MAX_STATES = 64
MAX_BYTES = 32 << 10

_AT: Final = "sequence_batching"
_BACKENDS = frozenset({"onnxruntime", "python"})
_KINDS: dict[int, ControlKind] = {0: "start", 1: "ready", 2: "end", 3: "corrid"}
_IDENTITIES = frozenset({DType.UINT64, DType.INT64, DType.UINT32, DType.INT32, DType.BYTES})


def read_sequence_batching(message: pb.ModelConfig) -> SequenceBatching | None:
    """How the model's sequences are batched, None where it keeps none; raises ConfigRefused."""
    if not message.HasField(_AT):
        return None
    batching = message.sequence_batching
    in_range(f"{_AT}: bytes", batching.ByteSize(), 0, MAX_BYTES)
    _check_company(message)
    idle_us = in_range(
        f"{_AT}.max_sequence_idle_microseconds", batching.max_sequence_idle_microseconds, 0, MAX_IDLE_US
    )
    delay_us, utilization, candidates = _read_strategy(batching)
    controls = tuple(
        _read_control(f"{_AT}.control_input[{index}]", given)
        for index, given in enumerate(batching.control_input)
    )
    states = _read_states(batching.state, message.max_batch_size)
    _check_names(message, controls, states)
    return SequenceBatching(
        (idle_us or DEFAULT_IDLE_US) / 1e6,
        candidates,
        delay_us / 1e6,
        utilization,
        _read_preferred(batching.oldest.preferred_batch_size, message.max_batch_size),
        controls,
        states,
    )


def initial_files(batching: SequenceBatching | None) -> set[str]:
    """The names of the files with initial states."""
    states = batching.states if batching else ()
    return {state.initial.file for state in states if state.initial.file}


def _check_company(message: pb.ModelConfig) -> None:
    """What else of the configuration a stateful model cannot have."""
    backends = {entry.backend for entry in matching(message.platform, message.backend)}
    if not backends <= _BACKENDS and (message.platform or message.backend):
        raise ConfigRefused(_AT, f"is supported for backends {' and '.join(sorted(_BACKENDS))} alone")
    if message.model_transaction_policy.decoupled:
        raise ConfigRefused(_AT, "is not supported where a model is decoupled")


# ---- strategies ----------------------------------------------------------------------------------


class _Strategy(NamedTuple):
    delay_us: int
    utilization: float
    candidates: int


def _read_strategy(batching: pb.ModelSequenceBatching) -> _Strategy:
    if batching.WhichOneof("strategy_choice") != "oldest":
        direct, at = batching.direct, f"{_AT}.direct"
        utilization = direct.minimum_slot_utilization
        if not 0 <= utilization <= 1:
            raise ConfigRefused(f"{at}.minimum_slot_utilization", f"{utilization:g} is not in 0..1")
        return _Strategy(_delay(at, direct.max_queue_delay_microseconds), utilization, 0)
    oldest, at = batching.oldest, f"{_AT}.oldest"
    if oldest.preserve_ordering:
        raise ConfigRefused(f"{at}.preserve_ordering", "is not supported: a sequence is always in order")
    most = in_range(f"{at}.max_candidate_sequences", oldest.max_candidate_sequences, 1, MAX_CANDIDATES)
    return _Strategy(_delay(at, oldest.max_queue_delay_microseconds), 0.0, most)


def _delay(at: str, delay_us: int) -> int:
    return in_range(f"{at}.max_queue_delay_microseconds", delay_us, 0, MAX_QUEUE_DELAY_US)


def _read_preferred(sizes: Iterable[int], rows: int) -> tuple[int, ...]:
    field, preferred = f"{_AT}.oldest.preferred_batch_size", sorted(set(sizes))
    if preferred and not rows:
        raise ConfigRefused(field, "needs max_batch_size")
    return tuple(in_range(field, size, 1, rows) for size in preferred)


# ---- controls ------------------------------------------------------------------------------------


def _read_control(at: str, message: pb.ModelSequenceBatching.ControlInput) -> Control:
    name = tensor_name(f"{at}.name", message.name)
    if len(message.control) != 1:
        raise ConfigRefused(f"{at}.control", f"there are {len(message.control)}, must be one")
    (control,) = message.control
    kind, at = _KINDS[control.kind], f"{at}.control[0]"
    pairs: Sequence[tuple[str, DType, Sequence[float]]] = (
        ("int32_false_true", DType.INT32, control.int32_false_true),
        ("fp32_false_true", DType.FP32, control.fp32_false_true),
        ("bool_false_true", DType.BOOL, control.bool_false_true),
    )
    given = [pair for pair in pairs if pair[2]]
    if kind == "corrid":
        if given:
            raise ConfigRefused(f"{at}.{given[0][0]}", "means nothing for CONTROL_SEQUENCE_CORRID")
        dtype = dtype_of(f"{at}.data_type", control.data_type)
        if dtype not in _IDENTITIES:
            names = ", ".join(sorted("STRING" if one is DType.BYTES else one.name for one in _IDENTITIES))
            raise ConfigRefused(f"{at}.data_type", f"{dtype.name} is not one of {names}")
        return Control(kind, name, dtype)
    if control.data_type:
        raise ConfigRefused(f"{at}.data_type", "is for CONTROL_SEQUENCE_CORRID alone")
    if len(given) != 1:
        raise ConfigRefused(at, "needs one of int32_false_true, fp32_false_true, bool_false_true")
    field, dtype, values = given[0]
    if len(values) != 2:
        raise ConfigRefused(f"{at}.{field}", f"there are {len(values)} values, must be two")
    return Control(kind, name, dtype, (float(values[0]), float(values[1])))


# ---- states --------------------------------------------------------------------------------------


def _read_states(messages: Sequence[pb.ModelSequenceBatching.State], rows: int) -> tuple[SequenceState, ...]:
    in_range(f"{_AT}: number of states", len(messages), 0, MAX_STATES)
    return tuple(
        _read_state(f"{_AT}.state[{index}]", message, rows) for index, message in enumerate(messages)
    )


def _read_state(at: str, message: pb.ModelSequenceBatching.State, rows: int) -> SequenceState:
    dtype = dtype_of(f"{at}.data_type", message.data_type)
    dims = shape_of(f"{at}.dims", tuple(message.dims), rows, least=1)
    if len(message.initial_state) > 1:
        raise ConfigRefused(f"{at}.initial_state", f"there are {len(message.initial_state)}, must be one")
    given = next(iter(message.initial_state), None)
    name = tensor_name(f"{at}.input_name", message.input_name)
    return SequenceState(
        TensorSpec(name, dtype, dims),
        TensorSpec(tensor_name(f"{at}.output_name", message.output_name), dtype, dims),
        # As Triton: zeros, with a free dimension of one.
        WarmupInput(name, dtype, tuple(max(dim, 1) for dim in dims), "zero")
        if given is None
        else _read_initial(f"{at}.initial_state[0]", given, TensorSpec(name, dtype, dims)),
    )


def _read_initial(at: str, message: pb.ModelSequenceBatching.InitialState, state: TensorSpec) -> WarmupInput:
    if dtype_of(f"{at}.data_type", message.data_type) is not state.dtype:
        raise ConfigRefused(f"{at}.data_type", "is not that of the state")
    dims = tuple(message.dims)
    if len(dims) != len(state.shape) or any(
        dim < 1 or want not in {-1, dim} for dim, want in zip(dims, state.shape, strict=True)
    ):
        raise ConfigRefused(f"{at}.dims", f"{list(dims)} is none of the state's shapes {list(state.shape)}")
    source: Source = "zero"
    file = ""
    match message.WhichOneof("state_data"):
        case "zero_data" if message.zero_data:
            pass
        case "data_file":
            source, file = "file", plain_file_name(f"{at}.data_file", message.data_file)
        case _:
            raise ConfigRefused(at, "needs one of zero_data: true, data_file")
    return WarmupInput(state.name, state.dtype, dims, source, file)


def _check_names(
    message: pb.ModelConfig, controls: Sequence[Control], states: Sequence[SequenceState]
) -> None:
    kinds = [control.kind for control in controls]
    if len(set(kinds)) < len(kinds):
        raise ConfigRefused(f"{_AT}.control_input", "a kind of control stands in it twice")
    inputs = [tensor.name for tensor in message.input] + [control.name for control in controls]
    for kind, names in (
        ("input", inputs + [state.input.name for state in states]),
        ("output", [tensor.name for tensor in message.output] + [state.output.name for state in states]),
    ):
        if len(set(names)) < len(names):
            raise ConfigRefused(_AT, f"two {kind}s have the same name, those of controls and states included")
