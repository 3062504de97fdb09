"""An ensemble: models that feed each other by named tensors; the graph, and what can be wrong with it.

Everything here is pure. What a step's model looks like is not always known before it is loaded, so
`fault_of_parts` says what is wrong as far as the parts are known, and may be asked again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.core.tensor_spec import TensorSpec

Pairs = tuple[tuple[str, str], ...]

# An ensemble of ensembles of ...: deeper is a mistake, and every level is a call within a call.
MAX_DEPTH = 16


class EnsembleStep(msgspec.Struct, frozen=True):
    """One model of it; `version` 0 is the latest.

    `inputs` and `outputs` are pairs of a tensor's name at the model and its name in the ensemble; no
    model's input or output stands in them twice.
    """

    model: str
    version: int
    inputs: Pairs
    outputs: Pairs


class EnsembleGraph(msgspec.Struct, frozen=True):
    """The steps, in the order they were written down, which means nothing: tensors decide what waits."""

    steps: tuple[EnsembleStep, ...]

    def name_of(self, index: int) -> str:
        """A step as people are told of it."""
        return f"step {index} (model '{self.steps[index].model}')"


class Part(NamedTuple):
    """A step's model as far as it is known: None where only loading it will tell."""

    inputs: tuple[TensorSpec, ...] | None = None
    outputs: tuple[TensorSpec, ...] | None = None
    max_batch_size: int | None = None


# ---- the graph alone ----------------------------------------------------------------------------


def fault_of_graph(graph: EnsembleGraph, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    """Why this graph cannot make `outputs` of `inputs`, naming step and tensor; "" where it can."""
    made = [(tensor, index) for index, step in enumerate(graph.steps) for _, tensor in step.outputs]
    producers = dict(made)
    return (
        _fault_of_makers(graph, made, inputs)
        or _fault_of_uses(graph, producers, inputs, outputs)
        or _fault_of_order(graph, producers)
    )


def _fault_of_makers(graph: EnsembleGraph, made: Sequence[tuple[str, int]], inputs: Sequence[str]) -> str:
    for tensor, count in Counter(tensor for tensor, _ in made).items():
        if count > 1:
            makers = " and ".join(graph.name_of(index) for one, index in made if one == tensor)
            return f"tensor '{tensor}' is made {count} times: by {makers}"
    for tensor, index in made:
        if tensor in inputs:
            return f"tensor '{tensor}' is an input of the ensemble and an output of {graph.name_of(index)}"
    return ""


def _fault_of_uses(
    graph: EnsembleGraph, producers: Mapping[str, int], inputs: Sequence[str], outputs: Sequence[str]
) -> str:
    there = producers.keys() | {*inputs}
    used = [(index, name, tensor) for index, step in enumerate(graph.steps) for name, tensor in step.inputs]
    for index, name, tensor in used:
        if tensor not in there:
            return f"{graph.name_of(index)}: nothing makes tensor '{tensor}', its input '{name}'"
    if unmade := [tensor for tensor in outputs if tensor not in producers]:
        return f"no step makes the output '{unmade[0]}'"
    if unused := [tensor for tensor in inputs if tensor not in {tensor for _, _, tensor in used}]:
        return f"no step uses the input '{unused[0]}'"
    return ""


def _fault_of_order(graph: EnsembleGraph, producers: Mapping[str, int]) -> str:
    """A circle of steps, told step by step; "" where there is none."""
    waits = [{producers[tensor] for _, tensor in step.inputs if tensor in producers} for step in graph.steps]
    left = set(range(len(waits)))
    while ready := {index for index in left if not waits[index] & left}:
        left -= ready
    if not left:
        return ""
    # Every step that is left waits for another one that is: going from one to the next must return.
    path = [min(left)]
    while (following := min(waits[path[-1]] & left)) not in path:
        path.append(following)
    circle = path[path.index(following) :]
    told = " waits for ".join(graph.name_of(index) for index in (*circle, circle[0]))
    return f"the steps form a circle: {told}"


def needed_steps(graph: EnsembleGraph, wanted: Iterable[str]) -> tuple[int, ...]:
    """The steps that must run for the tensors `wanted`, ascending; of a graph without a fault."""
    producers = {tensor: index for index, step in enumerate(graph.steps) for _, tensor in step.outputs}
    needed: set[int] = set()
    pending = list(wanted)
    while pending:
        index = producers.get(pending.pop())
        if index is not None and index not in needed:
            needed.add(index)
            pending += [tensor for _, tensor in graph.steps[index].inputs]
    return tuple(sorted(needed))


# ---- the graph and its parts --------------------------------------------------------------------


class _End(NamedTuple):
    """One side of a tensor: who has it, and what it is there. `batches` None where that is not known."""

    where: str
    spec: TensorSpec
    batches: bool | None


def fault_of_parts(
    whole: Part, graph: EnsembleGraph, parts: Sequence[Part | None], steps: Iterable[int] | None = None
) -> str:
    """What contradicts `whole` or each other of `parts`, one per step, None where nothing is known of it.

    Only `steps` are looked at, all where none are given; "" where all that is known fits.
    """
    chosen = tuple(range(len(graph.steps)) if steps is None else steps)
    for index in chosen:
        part = parts[index]
        if part is not None and (fault := _fault_of_part(whole, graph.steps[index], part)):
            return f"{graph.name_of(index)}: {fault}"
    batches = bool(whole.max_batch_size)
    sources = {spec.name: _End(f"input '{spec.name}'", spec, batches) for spec in whole.inputs or ()}
    ends = list(_ends(graph, parts, chosen))
    sources.update((tensor, end) for tensor, end, is_source in ends if is_source)
    targets = [(tensor, end) for tensor, end, is_source in ends if not is_source]
    targets += [(spec.name, _End(f"output '{spec.name}'", spec, batches)) for spec in whole.outputs or ()]
    for tensor, end in targets:
        source = sources.get(tensor)
        if source is not None and not _agree(source, end):
            return f"tensor '{tensor}' is {_told(source)}, and {_told(end)}"
        if source is not None and source.spec.is_optional and not end.spec.is_optional:
            return f"tensor '{tensor}' is optional as {source.where}, and not as {end.where}"
    return ""


def _fault_of_part(whole: Part, step: EnsembleStep, part: Part) -> str:
    rows = whole.max_batch_size or 0
    if rows and part.max_batch_size is not None and part.max_batch_size < rows:
        most = f"takes {part.max_batch_size} rows at most" if part.max_batch_size else "does not batch"
        return f"it {most}, and max_batch_size of the ensemble is {rows}"
    for kind, specs, pairs in (("input", part.inputs, step.inputs), ("output", part.outputs, step.outputs)):
        known = {spec.name for spec in specs or ()}
        for name, _ in pairs if specs is not None else ():
            if name not in known:
                return f"it has no {kind} '{name}', its {kind}s are {', '.join(sorted(known)) or 'none'}"
    fed = {name for name, _ in step.inputs}
    for spec in part.inputs or ():
        if spec.name not in fed and not spec.is_optional:
            return f"its input '{spec.name}' is not in input_map"
    return ""


def _ends(
    graph: EnsembleGraph, parts: Sequence[Part | None], steps: Iterable[int]
) -> Iterator[tuple[str, _End, bool]]:
    """Every known end of a tensor at a step: the tensor, the end, and whether the step makes it."""
    for index in steps:
        part, step = parts[index], graph.steps[index]
        if part is None:
            continue
        batches = None if part.max_batch_size is None else part.max_batch_size > 0
        for kind, specs, pairs in (
            ("input", part.inputs, step.inputs),
            ("output", part.outputs, step.outputs),
        ):
            known = {spec.name: spec for spec in specs or ()}
            for name, tensor in pairs:
                if name in known:
                    where = f"{kind} '{name}' of {graph.name_of(index)}"
                    yield tensor, _End(where, known[name], batches), kind == "output"


def _agree(one: _End, other: _End) -> bool:
    """Whether a tensor of the one can be one of the other; a free dimension agrees with everything.

    Either without the batch axis or with it: where an ensemble does not batch and its parts do, the
    axis stands in its own dims, or is one row that is put on and taken off (see `fitted_shape`).
    """
    if one.spec.dtype is not other.spec.dtype:
        return False
    if one.batches is None or other.batches is None:
        return True
    return _same(one.spec.shape, other.spec.shape) or _same(_full(one), _full(other))


def _full(end: _End) -> tuple[int, ...]:
    return (-1, *end.spec.shape) if end.batches else end.spec.shape


def _same(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) and all(
        here == there or -1 in {here, there} for here, there in zip(one, other, strict=True)
    )


def _told(end: _End) -> str:
    return f"{end.spec.dtype.name} {list(_full(end))} as {end.where}"


def fitted_shape(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """`shape` with an axis of one row put on or taken off, where that gives it `rank` dimensions."""
    if len(shape) + 1 == rank:
        return (1, *shape)
    if len(shape) == rank + 1 and shape[0] == 1:
        return shape[1:]
    return shape
