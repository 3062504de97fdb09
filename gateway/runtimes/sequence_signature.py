"""A stateful model's tensors as its engine has them, as callers see them, and as they travel; all pure.

The engine's are the callers' with controls and states behind them, and for a model in Python, which may
ask for a request's id and flags and refuse it alone, with what tells those.
"""

from __future__ import annotations

import msgspec

from gateway.core.model import ModelSpec
from gateway.core.sequence import hidden_inputs, hidden_outputs
from gateway.core.tensor_spec import TensorSpec


def with_sequence(spec: ModelSpec) -> ModelSpec:
    """`spec` as the engine has it; what was left to the model's file (no tensors) still is."""
    batching = spec.sequence
    if batching is None:
        return spec
    inputs, outputs = extra_inputs(spec), extra_outputs(spec)
    return msgspec.structs.replace(
        spec,
        inputs=spec.inputs + inputs if spec.inputs else (),
        outputs=spec.outputs + outputs if spec.outputs else (),
    )


def without_sequence(spec: ModelSpec) -> ModelSpec:
    """`spec` as callers see it."""
    batching = spec.sequence
    if batching is None:
        return spec
    inputs = {tensor.name for tensor in extra_inputs(spec)}
    outputs = {tensor.name for tensor in extra_outputs(spec)}
    return msgspec.structs.replace(
        spec,
        inputs=tuple(tensor for tensor in spec.inputs if tensor.name not in inputs),
        outputs=tuple(tensor for tensor in spec.outputs if tensor.name not in outputs),
    )


def wired(spec: ModelSpec) -> ModelSpec:
    """`spec`, as callers see it, with what travels to the instance besides; itself without sequences."""
    if spec.sequence is None:
        return spec
    return msgspec.structs.replace(
        spec,
        inputs=spec.inputs + hidden_inputs(spec.sequence, spec.backend),
        outputs=spec.outputs + hidden_outputs(spec.backend),
    )


def extra_inputs(spec: ModelSpec) -> tuple[TensorSpec, ...]:
    """What the engine of a stateful model is given behind what its callers send."""
    batching = spec.sequence
    assert batching is not None, "asked of stateful models alone"
    hidden = hidden_inputs(batching, spec.backend) if spec.backend == "python" else ()
    return (
        *(control.tensor for control in batching.controls),
        *(state.input for state in batching.states),
        *hidden,
    )


def extra_outputs(spec: ModelSpec) -> tuple[TensorSpec, ...]:
    """What the engine of a stateful model gives behind what its callers get."""
    batching = spec.sequence
    assert batching is not None, "asked of stateful models alone"
    return (*(state.output for state in batching.states), *hidden_outputs(spec.backend))
