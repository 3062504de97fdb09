"""Requests of sequences, which a file for Triton's Python backend sees one by one, and as configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gateway.core.sequence import IDENTITY, STEP, Control, SequenceBatching, SequenceId, SequenceState
from gateway.runtimes.contract import Array, ModelFailed
from gateway.runtimes.triton_python.tensors import config_name

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


def joined(answers: Sequence[Mapping[str, Array]], wanted: Sequence[str]) -> Mapping[str, Array]:
    """The answers to the requests of a batch as one; raises ModelFailed where they do not fit together."""
    if len(answers) == 1:
        return answers[0]
    whole = {}
    for name in wanted:
        parts = [answer[name] for answer in answers if name in answer]
        if len(parts) == len(answers):
            try:
                whole[name] = np.concatenate(parts)
            except ValueError:
                shapes = ", ".join(str(list(part.shape)) for part in parts)
                raise ModelFailed(
                    f"output '{name}' differs among sequences that ran together: {shapes}"
                ) from None
    return whole


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
