"""Requests of sequences, which a file for Triton's Python backend sees one by one, and as configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gateway.core.dtypes import NUMPY, DType
from gateway.core.model import ModelSpec
from gateway.core.sequence import (
    BAD_INPUT,
    FAILED,
    FAULT,
    IDENTITY,
    STEP,
    Control,
    SequenceBatching,
    SequenceId,
    SequenceState,
)
from gateway.runtimes.contract import Array, BadInput, ModelFailed
from gateway.runtimes.triton_python.tensors import config_name

# The outputs of one request by name, or why it has none.
Answer = Mapping[str, Array] | BadInput | ModelFailed
_U64 = (1 << 64) - 1
_PAIRS = {"INT32": "int32_false_true", "FP32": "fp32_false_true", "BOOL": "bool_false_true"}


class Row(NamedTuple):
    """One request of a batch: its arrays by name with their batch axis, its sequence's id, Triton's flags."""

    inputs: Mapping[str, Array]
    identity: SequenceId
    flags: int


def rows_of(inputs: Mapping[str, Array]) -> list[Row]:
    """The requests of a batch, in order; without a batch axis there is one."""
    steps, texts = inputs[STEP.name], inputs[IDENTITY.name]
    shown = {name: array for name, array in inputs.items() if name not in {STEP.name, IDENTITY.name}}
    if steps.ndim == 1:
        return [Row(shown, *_told(steps, texts))]
    return [
        Row({name: array[i : i + 1] for name, array in shown.items()}, *_told(steps[i], texts[i]))
        for i in range(len(steps))
    ]


def _told(step: Array, text: Array) -> tuple[SequenceId, int]:
    _, flags, number = step.tolist()
    return text[0].decode() or number & _U64, flags


def joined(answers: Sequence[Answer], spec: ModelSpec) -> Mapping[str, Array]:
    """The answers to the requests of a batch as one, and who was refused, in FAULT; `spec` is the engine's.

    Raises ModelFailed where they do not fit together. In place of a refused request's outputs are zeros.
    """
    good = [answer for answer in answers if not isinstance(answer, Exception)]
    lead = (1,) if spec.max_batch_size else ()
    whole = {}
    for output in spec.outputs:
        if output.name == FAULT.name:
            parts = [np.array(_fault(answer), object).reshape(*lead, 1) for answer in answers]
        else:
            given = [answer[output.name] for answer in good if output.name in answer]
            if len(given) < len(good):
                continue  # for whoever looks for what is missing
            blank = _blank(output.dtype, given[0].shape if given else lead + output.shape)
            parts = [blank if isinstance(answer, Exception) else answer[output.name] for answer in answers]
        whole[output.name] = _concatenated(output.name, parts)
    return whole


def _concatenated(name: str, parts: Sequence[Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    try:
        return np.concatenate(parts)
    except ValueError:
        shapes = ", ".join(str(list(part.shape)) for part in parts)
        raise ModelFailed(f"output '{name}' differs among sequences that ran together: {shapes}") from None


def _fault(answer: Answer) -> bytes:
    if not isinstance(answer, Exception):
        return b""
    return f"{BAD_INPUT if isinstance(answer, BadInput) else FAILED}{answer}".encode()


def _blank(dtype: DType, shape: tuple[int, ...]) -> Array:
    """Zeros, of one element where a dimension is free."""
    filled = tuple(1 if dim < 0 else dim for dim in shape)
    return np.full(filled, b"", object) if dtype is DType.BYTES else np.zeros(filled, NUMPY[dtype])


# ---- as Triton's configuration writes it ---------------------------------------------------------


def sequence_config(batching: SequenceBatching, max_batch_size: int) -> dict[str, Any]:
    """`batching` by Triton's field names."""
    delay_us = round(batching.max_queue_delay_s * 1e6)
    strategy: dict[str, Any] = {
        "direct": {
            "max_queue_delay_microseconds": delay_us,
            "minimum_slot_utilization": batching.min_utilization,
        }
    }
    if not batching.is_direct:
        strategy = {
            "oldest": {
                "max_candidate_sequences": batching.max_candidates,
                "preferred_batch_size": list(batching.preferred_sizes) or [max_batch_size],
                "max_queue_delay_microseconds": delay_us,
                "preserve_ordering": False,
            }
        }
    return {
        **strategy,
        "max_sequence_idle_microseconds": round(batching.max_idle_s * 1e6),
        "control_input": [_control(control) for control in batching.controls],
        "state": [_state(state) for state in batching.states],
        "iterative_sequence": False,
    }


def _control(control: Control) -> dict[str, Any]:
    told: dict[str, Any] = {field: [] for field in _PAIRS.values()}
    told["kind"] = f"CONTROL_SEQUENCE_{control.kind.upper()}"
    told["data_type"] = config_name(control.dtype) if control.kind == "corrid" else "TYPE_INVALID"
    if control.kind != "corrid":
        kind = {"FP32": float, "BOOL": bool}.get(control.dtype.name, int)
        told[_PAIRS[control.dtype.name]] = [kind(value) for value in control.values]
    return {"name": control.name, "control": [told]}


def _state(state: SequenceState) -> dict[str, Any]:
    return {
        "input_name": state.input.name,
        "output_name": state.output.name,
        "data_type": config_name(state.input.dtype),
        "dims": list(state.input.shape),
        "initial_state": [],
        "use_same_buffer_for_input_output": False,
        "use_growable_memory": False,
    }
