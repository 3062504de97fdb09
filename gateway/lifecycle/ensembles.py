"""What model control makes of ensembles: which models stand in one, and what the index tells of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from gateway.control.questions import IndexEntry
from gateway.core.ensemble import EnsembleGraph, EnsembleStep
from gateway.core.model import ModelKey

_CALLABLE = frozenset({"READY", "LOADING"})


def parts_of(name: str, graph_of: Callable[[str], EnsembleGraph | None]) -> tuple[str, ...]:
    """The models below an ensemble, each once, whatever they stand in before what stands in them."""
    found: dict[str, None] = {}
    pending = [name]
    while pending:
        graph = graph_of(pending.pop())
        for step in graph.steps if graph is not None else ():
            if step.model not in found and step.model != name:
                found[step.model] = None
                pending.append(step.model)
    return tuple(found)


def with_parts(
    entries: Iterable[IndexEntry], graphs: Mapping[ModelKey, EnsembleGraph]
) -> tuple[IndexEntry, ...]:
    """`entries`, but those ensembles unavailable that have a part that is, with its reason."""
    known: dict[str, list[IndexEntry]] = {}
    for entry in entries:
        known.setdefault(entry.name, []).append(entry)
    told = {name: [_told(entry, graphs, known, ()) for entry in mine] for name, mine in known.items()}
    return tuple(entry for mine in told.values() for entry in mine)


def _told(
    entry: IndexEntry,
    graphs: Mapping[ModelKey, EnsembleGraph],
    known: Mapping[str, Sequence[IndexEntry]],
    above: tuple[str, ...],
) -> IndexEntry:
    graph = graphs.get(ModelKey(entry.name, entry.version))
    if graph is None or entry.state != "READY" or entry.name in above:
        return entry
    for index, step in enumerate(graph.steps):
        parts = [_told(part, graphs, known, (*above, entry.name)) for part in known.get(step.model, ())]
        if fault := _fault(step, parts):
            reason = f"{graph.name_of(index)}: {fault}"
            return msgspec.structs.replace(entry, state="UNAVAILABLE", reason=reason)
    return entry


def _fault(step: EnsembleStep, parts: Sequence[IndexEntry]) -> str:
    candidates = [part for part in parts if step.version in {0, part.version}]
    if not candidates:
        return f"its version {step.version} is not served" if parts else "there is no such model"
    if any(part.state in _CALLABLE for part in candidates):
        return ""
    return candidates[-1].reason or candidates[-1].state.lower()
