"""Looks in a thread: told on the loop, through failures, and not after the end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.core.device import Device
from gateway.devices.inventory import Look
from gateway.devices.watch import Watch
from tests.fakes.waiting import GENEROUS_S

LOOK = Look((Device(),), {})


class Devices:
    """Fails as often as told, then looks; says that it has looked so often."""

    def __init__(self, failures: int = 0, enough: int = 10**9) -> None:
        self._failures = failures
        self._enough = enough
        self.looks = 0
        self.has_looked = threading.Event()

    def look(self) -> Look:
        self.looks += 1
        if self.looks == self._enough:
            self.has_looked.set()
        if self.looks <= self._failures:
            raise OSError("no")
        return LOOK


def joined(before: set[threading.Thread]) -> None:
    """Waits for threads that were not there before."""
    for thread in set(threading.enumerate()) - before:
        thread.join(GENEROUS_S)
        assert not thread.is_alive()


def test_each_look_is_told_on_the_loop_after_failures_too(caplog: pytest.LogCaptureFixture) -> None:
    devices, told = Devices(failures=3), []

    async def watched() -> None:
        enough = asyncio.Event()

        def on_look(look: Look) -> None:
            told.append((look, threading.current_thread() is threading.main_thread()))
            if len(told) >= 2:
                enough.set()

        watch = Watch(devices, 0.001, asyncio.get_running_loop(), on_look)
        watch.start()
        await asyncio.wait_for(enough.wait(), GENEROUS_S)
        watch.close()

    before = set(threading.enumerate())
    asyncio.run(watched())
    joined(before)
    assert all(one == (LOOK, True) for one in told)
    assert caplog.text.count("cannot be looked at") == 1, "once for failures in a row"


def test_nobody_is_told_after_the_end() -> None:
    devices, told = Devices(enough=1), []

    async def ended() -> None:
        before = set(threading.enumerate())
        watch = Watch(devices, 0.001, asyncio.get_running_loop(), told.append)
        watch.start()
        # The loop is held until a look has been made and handed over, and comes to it only after the end.
        assert devices.has_looked.wait(GENEROUS_S)
        watch.close()
        joined(before)
        await asyncio.sleep(0)

    asyncio.run(ended())
    assert told == []


def test_a_loop_that_has_ended_ends_the_thread() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    devices = Devices(enough=1)
    before = set(threading.enumerate())
    Watch(devices, 0.001, loop, lambda look: None).start()
    joined(before)
    assert devices.looks == 1
