"""Which steps of an ensemble must run for some outputs, what each is told, and who waits for whom. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.core.ensemble import EnsembleGraph
from gateway.core.messages import RequestedOutput
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec


class Step(NamedTuple):
    """One step of a plan: what it is told, and what becomes of its answer.

    `inputs` are (the model's name for it, the tensor, the rank it must have), `tensors` the model's
    outputs that somebody needs, and what they are called here. `outputs` are those outputs, () for all.
    """

    name: str
    model: str
    version: int
    spec: ModelSpec
    inputs: tuple[tuple[str, str, int], ...]
    outputs: tuple[RequestedOutput, ...]
    tensors: Mapping[str, str]


class Plan(NamedTuple):
    """The steps needed for some outputs, with parts that fit each other.

    `waits` are, by step, the tensors it needs from others; `readers` the steps that wait for a tensor;
    `uses` how often a tensor is needed, the answer included.
    """

    steps: tuple[Step, ...]
    outputs: tuple[TensorSpec, ...]
    waits: tuple[int, ...]
    readers: Mapping[str, tuple[int, ...]]
    uses: Mapping[str, int]


def full_rank(spec: TensorSpec, model: ModelSpec) -> int:
    """Dimensions of a tensor as it travels."""
    return len(spec.shape) + (1 if model.max_batch_size else 0)


def make_plan(
    spec: ModelSpec, graph: EnsembleGraph, wanted: Sequence[str], specs: Mapping[int, ModelSpec]
) -> Plan:
    """How to make the outputs `wanted` with parts that look like `specs`, by step; they must fit."""
    known = {tensor.name: tensor for tensor in spec.outputs}
    read = {tensor for index in specs for _, tensor in graph.steps[index].inputs} | {*wanted}
    steps = [_make_step(graph, index, part, read) for index, part in specs.items()]
    made = {tensor for step in steps for tensor in step.tensors.values()}
    needs = [frozenset(tensor for _, tensor, _ in step.inputs) & made for step in steps]
    readers = {tensor: tuple(index for index, need in enumerate(needs) if tensor in need) for tensor in made}
    return Plan(
        tuple(steps),
        tuple(known[name] for name in wanted),
        tuple(map(len, needs)),
        readers,
        Counter(tensor for need in (*needs, frozenset(wanted)) for tensor in need),
    )


def _make_step(graph: EnsembleGraph, index: int, part: ModelSpec, read: set[str]) -> Step:
    step = graph.steps[index]
    ranks = {tensor.name: full_rank(tensor, part) for tensor in part.inputs}
    tensors = {name: tensor for name, tensor in step.outputs if tensor in read}
    # In the model's own order, and none where all are: only then a batch is shared with other callers.
    outputs = tuple(RequestedOutput(output.name) for output in part.outputs if output.name in tensors)
    return Step(
        graph.name_of(index),
        step.model,
        step.version,
        part,
        tuple((name, tensor, ranks[name]) for name, tensor in step.inputs),
        () if len(outputs) == len(part.outputs) else outputs,
        tensors,
    )
