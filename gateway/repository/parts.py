"""Ensembles against the models they name, as far as the repository knows those. Pure.

A part that is absent or broken breaks the ensemble, one whose tensors only a worker can read does
not: it is looked at again, by the fronts, once it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from gateway.core.ensemble import MAX_DEPTH, EnsembleGraph, EnsembleStep, Part, fault_of_parts
from gateway.repository.catalogue import ModelEntry

_TOO_DEEP = f"ensembles stand in each other more than {MAX_DEPTH} deep"


class _Verdict(NamedTuple):
    """Why a model cannot be served, "" where it can; and how many ensembles stand in each other there."""

    fault: str
    height: int = 0


class _TooDeep(Exception):
    """Found below the model that is asked about: it is that one which is too high."""


def refuse_unsound(entries: Mapping[str, ModelEntry]) -> dict[str, ModelEntry]:
    """`entries`, but those ensembles broken that cannot be served with the others as they are.

    The sound ones have the class labels of their parts where they have none of their own.
    """
    inspection = _Inspection(entries)
    return {name: _judged(entry, entries, inspection.fault(name)) for name, entry in entries.items()}


def _judged(entry: ModelEntry, entries: Mapping[str, ModelEntry], fault: str) -> ModelEntry:
    if entry.broken or entry.config.ensemble is None:
        return entry
    if fault:
        return msgspec.structs.replace(entry, versions=(), broken=fault)
    labels = {
        output.name: found
        for output in entry.config.outputs
        if (found := labels_of(entry, output.name, entries))
    }
    if labels == entry.beside.class_labels:
        return entry
    beside = msgspec.structs.replace(entry.beside, class_labels=labels)
    return msgspec.structs.replace(
        entry, config_file=msgspec.structs.replace(entry.config_file, beside=beside)
    )


def labels_of(entry: ModelEntry, output: str, entries: Mapping[str, ModelEntry]) -> tuple[str, ...]:
    """The class labels of an output: its own, or those that the model which makes it has for it."""
    own = entry.beside.class_labels.get(output, ())
    graph = entry.config.ensemble
    if own or graph is None:
        return own
    for step in graph.steps:
        for name, tensor in step.outputs:
            if tensor == output:
                return labels_of(entries[step.model], name, entries)
    return ()


def part_of(entry: ModelEntry) -> Part:
    """What the repository knows of a model's tensors; what its configuration leaves out is in its file."""
    config = entry.config
    rows = config.max_batch_size if config.is_max_batch_known else None
    return Part(config.inputs or None, config.outputs or None, rows)


class _Inspection:
    """One look at all of them: each is judged once, however many ensembles it stands in."""

    def __init__(self, entries: Mapping[str, ModelEntry]) -> None:
        self._entries = entries
        self._verdicts: dict[str, _Verdict] = {}

    def fault(self, name: str) -> str:
        """Why it cannot be served, or ""."""
        try:
            return self._judge(name, ()).fault
        except _TooDeep:
            return _TOO_DEEP

    def _judge(self, name: str, above: tuple[str, ...]) -> _Verdict:
        """`above` are the ensembles that ask, from the outermost in."""
        if name in above:
            circle = " calls ".join(f"'{one}'" for one in (*above[above.index(name) :], name))
            return _Verdict(f"the ensembles form a circle: {circle}")
        if name not in self._verdicts:
            if len(above) > MAX_DEPTH:
                raise _TooDeep
            entry = self._entries[name]
            graph = None if entry.broken else entry.config.ensemble
            self._verdicts[name] = (
                _Verdict(entry.broken)
                if graph is None
                else self._judge_ensemble(entry, graph, (*above, name))
            )
        return self._verdicts[name]

    def _judge_ensemble(self, entry: ModelEntry, graph: EnsembleGraph, above: tuple[str, ...]) -> _Verdict:
        height = 0
        for index, step in enumerate(graph.steps):
            part = self._judge_step(step, above)
            if part.fault:
                return _Verdict(f"{graph.name_of(index)}: {part.fault}")
            height = max(height, part.height)
        if height >= MAX_DEPTH:
            return _Verdict(_TOO_DEEP)
        parts = [part_of(self._entries[step.model]) for step in graph.steps]
        return _Verdict(fault_of_parts(part_of(entry), graph, parts), height + 1)

    def _judge_step(self, step: EnsembleStep, above: tuple[str, ...]) -> _Verdict:
        part = self._entries.get(step.model)
        if part is None:
            return _Verdict("there is no such model")
        verdict = self._judge(step.model, above)
        if not verdict.fault and step.version and part.find(step.version) is None:
            return _Verdict(f"its version {step.version} is not served")
        return verdict
