"""Served versions that are no longer offered, and how they give way to those that are.

Performs what `succession` decides. Whoever calls such a version, by its number or as the latest, is
answered by it until its successor is ready in the fronts.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

from gateway.core.model import ModelKey
from gateway.lifecycle.states import State
from gateway.lifecycle.succession import Standing, Step, Way, next_step
from gateway.lifecycle.version import Version

log = logging.getLogger("gateway.lifecycle")


class _Handover:
    """One model's: the numbers of the versions that go, and how far it is."""

    __slots__ = ("numbers", "way")

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.way = Way.BESIDE


class Handovers:
    """Must be told of every change to a version (`settle`). `models` are all versions by name and number."""

    def __init__(self, models: Mapping[str, Mapping[int, Version]]) -> None:
        self._models = models
        self._open: dict[str, _Handover] = {}
        self._is_busy = False

    def __contains__(self, key: ModelKey) -> bool:
        return key.version in self.outgoing(key.name)

    def outgoing(self, name: str) -> Collection[int]:
        """The versions of a model that serve only until others do."""
        handover = self._open.get(name)
        return handover.numbers if handover else ()

    def begin(self, key: ModelKey) -> None:
        """This version, which is loaded, is to give way to the others of its model."""
        self._open.setdefault(key.name, _Handover()).numbers.add(key.version)

    def forget(self, key: ModelKey) -> None:
        """This version is offered again, or was withdrawn; harmless for one that does not give way."""
        handover = self._open.get(key.name)
        if handover is not None:
            handover.numbers.discard(key.version)
            if not handover.numbers:
                del self._open[key.name]

    def try_again(self, name: str) -> None:
        """What failed to take over is another now."""
        if name in self._open:
            self._open[name].way = Way.BESIDE

    def settle_all(self) -> None:
        """Goes on wherever it can."""
        for name in tuple(self._open):
            self.settle(name)

    def settle(self, name: str) -> None:
        """Goes on as far as it can; harmless when called again by what that changes."""
        if self._is_busy or name not in self._open:
            return
        self._is_busy = True
        try:
            # At most: started and refused, put out and refused again, brought back, nothing more.
            for _ in range(4):
                if name not in self._open or not self._take_step(name):
                    break
        finally:
            self._is_busy = False

    def _take_step(self, name: str) -> bool:
        handover = self._open[name]
        versions = self._models.get(name, {})
        old = [versions[number] for number in sorted(handover.numbers) if number in versions]
        new = [one for number, one in versions.items() if number not in handover.numbers]
        new = [one for one in new if not one.is_withdrawn]
        is_old_loaded = any(one.is_loaded or one.wanted for one in old)
        step, handover.way = next_step(handover.way, standing(new), is_old_loaded=is_old_loaded)
        match step:
            case Step.START:
                max(new, key=lambda one: one.key.version).activate()
            case Step.PUT_OUT:
                _tell(old, new, "there is no memory for both: it goes first")
                for one in old:
                    one.release()
                max(new, key=lambda one: one.key.version).retry()
            case Step.KEEP:
                _tell(old, new, "it failed: this one serves on")
            case Step.BRING_BACK:
                _tell(old, new, "it failed: this one is loaded again")
                for one in old:
                    one.activate()
            case Step.FINISH:
                del self._open[name]
                for one in old:
                    one.withdraw()
        return step not in {Step.WAIT, Step.FINISH}


def standing(new: Sequence[Version]) -> Standing:
    """Where those that are to take over are."""
    if not new:
        return Standing.GONE
    if any(one.is_ensemble or one.state is State.READY for one in new):
        return Standing.READY
    if any(one.is_loaded or one.wanted for one in new):
        return Standing.COMING
    highest = max(new, key=lambda one: one.key.version)
    if highest.state is not State.FAILED:
        return Standing.ABSENT
    return Standing.LACKS_MEMORY if highest.failures.lacks_memory else Standing.FAILED


def _tell(old: Sequence[Version], new: Sequence[Version], what: str) -> None:
    numbers = ", ".join(str(one.key.version) for one in new)
    for one in old:
        extra = {"event": "handover", "model": one.key.name, "version": one.key.version, "to": numbers}
        log.warning("%s: gives way to version %s: %s", one.key, numbers, what, extra=extra)
