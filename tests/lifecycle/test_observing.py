from __future__ import annotations

import os

import pytest

from gateway.control.budget import Budget
from gateway.control.messages import SetLog, SetTrace
from gateway.core.errors import InvalidInput
from gateway.core.log_settings import LogChange, LogSettings
from gateway.core.trace_settings import TraceChange, TraceSettings, TraceValues
from gateway.lifecycle import observing
from gateway.lifecycle.observing import Observing

OFF, ORDINARY = TraceSettings(), LogSettings()


class World:
    """Two fronts that keep what they are told, and how many traces there are then."""

    def __init__(self, trace: TraceSettings = OFF, log: LogSettings = ORDINARY) -> None:
        self.told: list[object] = []
        self.applied: list[LogSettings] = []
        self.known = {"a", "b", "m"}
        self.observing = Observing(trace, log, self.for_each, self.applied.append, self.known.__contains__)

    def for_each(self, tell: object) -> None:
        for _ in range(2):
            tell(self.send)  # type: ignore[operator]

    def send(self, message: object, fds: tuple[int, ...]) -> None:
        self.told.append(message)
        for fd in fds:
            budget = Budget(fd)
            self.told.append(budget.left())
            budget.take()
            budget.close()

    def heard(self) -> list[object]:
        told, self.told = self.told, []
        return told


def test_all_fronts_hear_of_a_change_and_a_new_one_hears_of_all() -> None:
    before = len(os.listdir("/proc/self/fd"))
    world = World()
    world.observing.change_trace("m", TraceChange(("TIMESTAMPS",), count=9))
    told = SetTrace("m", TraceValues(("TIMESTAMPS",), count=9))
    assert world.heard() == [told, 9, told, 8]
    world.observing.change_trace("m", TraceChange(rate=2))
    told = SetTrace("m", TraceValues(("TIMESTAMPS",), 2, 9))
    assert world.heard() == [told, 7, told, 6]
    world.observing.greet(world.send)
    assert world.heard() == [SetLog(LogSettings()), SetTrace("", TraceValues()), told, 5]
    world.observing.change_trace("m", TraceChange(None, None, None))
    assert world.heard() == [SetTrace("m", None)] * 2
    world.observing.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_operators_number_of_traces_is_there_until_another_is_set_and_again_after_that() -> None:
    world = World(TraceSettings(count=4))
    world.observing.change_trace("", TraceChange(rate=1))
    assert world.heard()[1::2] == [4, 3]
    world.observing.change_trace("", TraceChange(count=-1))
    assert world.heard() == [SetTrace("", TraceValues(rate=1, count=-1))] * 2
    world.observing.change_trace("", TraceChange(count=None))
    assert world.heard()[1::2] == [4, 3]
    world.observing.close()


@pytest.mark.parametrize(
    "change",
    [
        TraceChange(rate=0),
        TraceChange(count=-2),
        TraceChange(log_frequency=-1),
        TraceChange(rate=1 << 32),
        TraceChange(levels=("MAX",)),  # type: ignore[arg-type]
    ],
)
def test_what_makes_no_sense_changes_nothing(change: TraceChange) -> None:
    world = World()
    with pytest.raises(InvalidInput):
        world.observing.change_trace("", change)
    assert world.heard() == []


def test_models_with_settings_of_their_own_are_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observing, "MAX_MODELS", 1)
    world = World()
    world.observing.change_trace("a", TraceChange(rate=1))
    world.observing.change_trace("a", TraceChange(rate=2))
    with pytest.raises(InvalidInput, match="more than 1 models"):
        world.observing.change_trace("b", TraceChange(rate=1))
    world.known.remove("a")
    world.heard()
    world.observing.change_trace("b", TraceChange(rate=1))
    assert world.heard() == [SetTrace("a", None)] * 2 + [SetTrace("b", TraceValues(rate=1))] * 2


def test_the_log_is_changed_here_and_in_every_front() -> None:
    world = World(log=LogSettings(info=False))
    world.observing.change_log(LogChange(verbose_level=1))
    changed = LogSettings(info=False, verbose_level=1)
    assert (world.applied, world.heard()) == ([changed], [SetLog(changed)] * 2)
    world.observing.change_log(LogChange(verbose_level=None))
    assert world.applied[-1] == LogSettings(info=False)
    with pytest.raises(InvalidInput, match="log_verbose_level"):
        world.observing.change_log(LogChange(verbose_level=-1))
