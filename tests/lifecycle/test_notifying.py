"""Plugins are told what happened: after it, all of it, and no more at a time than is bearable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from gateway.core.events import Event
from gateway.hooks import hookimpl
from gateway.hooks.contract import Process
from gateway.hooks.tasks import MAX_BACKGROUND
from gateway.lifecycle.notifying import Notifying
from tests.fakes.plugins import Failures, hooks

EVENT = Event("model_loaded", "m", 1, {"load_s": 0.1})


class Told:
    def __init__(self) -> None:
        self.got: list[Event] = []

    @hookimpl
    def on_event(self, event: Event) -> None:
        self.got.append(event)


class Fails:
    @hookimpl
    async def on_event(self, event: Event) -> None:
        raise KeyError


class Waits:
    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.begun = 0

    @hookimpl
    async def on_event(self) -> None:
        self.begun += 1
        await self.open.wait()


def run(act: Callable[[Notifying], None], *plugins: object, failures: Failures | None = None) -> Notifying:
    async def told() -> Notifying:
        hook = hooks(*plugins, process=Process.CONTROLLER, failures=failures).get("on_event")
        notifying = Notifying(hook, asyncio.get_running_loop())
        act(notifying)
        for _ in range(10):
            await asyncio.sleep(0)
        return notifying

    return asyncio.run(told())


def test_without_plugins_nobody_is_told() -> None:
    run(lambda notifying: notifying.notify(EVENT))


def test_each_is_told_afterwards_also_behind_one_that_fails() -> None:
    told, failures = Told(), Failures()

    def act(notifying: Notifying) -> None:
        notifying.notify(EVENT)
        assert told.got == []

    run(act, Fails(), told, failures=failures)
    assert told.got == [EVENT]
    assert failures == [("fails", "on_event", "raised")]


def test_those_that_take_their_time_are_told_no_more(caplog: pytest.LogCaptureFixture) -> None:
    waits = Waits()

    def act(notifying: Notifying) -> None:
        for _ in range(MAX_BACKGROUND + 10):
            notifying.notify(EVENT)

    with caplog.at_level(logging.ERROR):
        assert run(act, waits).dropped == 10
    assert waits.begun == MAX_BACKGROUND
    assert len(caplog.records) == 4
