"""Hooks made of plain objects, without entry points, and plugins that do what plugins should not."""

from __future__ import annotations

from gateway.core.clock import Clock
from gateway.hooks.contract import Process
from gateway.hooks.manager import Hooks, Loaded, implemented_by
from gateway.hooks.watch import Watch


class Failures(list[tuple[str, str, str]]):
    """What the hooks told of failures."""

    def __call__(self, plugin: str, hook: str, way: str) -> None:
        self.append((plugin, hook, way))


def still(at: float = 100.0) -> Clock:
    """A clock that stands."""
    return lambda: at


def hooks(
    *plugins: object,
    process: Process = Process.FRONT,
    clock: Clock | None = None,
    failures: Failures | None = None,
    watch: Watch | None = None,
) -> Hooks:
    """The hooks of `plugins` in that order; each is named after its class."""
    loaded: list[Loaded] = []
    for one in plugins:
        name = type(one).__name__.lower()
        known = sum(other.name.startswith(name) for other in loaded)
        loaded.append(Loaded(name + str(known or ""), one, implemented_by(one)))
    return Hooks(
        loaded, process, watch or Watch(1.0), clock or still(), Failures() if failures is None else failures
    )
