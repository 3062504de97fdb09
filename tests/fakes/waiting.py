"""Waits for conditions of real processes, on the event loop or without one."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable

import psutil

# For what takes a fraction of a second: a machine that does much else at the time must not fail a test.
GENEROUS_S = 30.0
# How much longer than on a machine that does nothing else things may take; `make bench` says 1.
_PATIENCE = float(os.environ.get("GATEWAY_TESTS_PATIENCE", "10"))


def soon(limit_s: float) -> float:
    """What to allow for that which an idle machine does within `limit_s`."""
    return limit_s * _PATIENCE


async def until(
    condition: Callable[[], object], timeout_s: float = GENEROUS_S, pause_s: float = 0.002
) -> None:
    """Returns as soon as `condition` holds (with no pause: before a timer runs); fails after `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # ruff: ignore[async-busy-wait] - processes set no events
            await asyncio.sleep(pause_s)


def until_blocking(condition: Callable[[], object], timeout_s: float = GENEROUS_S) -> None:
    """The same without a loop."""
    give_up = time.perf_counter() + timeout_s
    while not condition():
        assert time.perf_counter() < give_up, "the condition did not come true"
        time.sleep(0.005)


def is_alive(process: psutil.Process) -> bool:
    """False for a zombie too: whoever adopted it may never reap it, but it does nothing any more."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def survivors(processes: Iterable[psutil.Process], timeout_s: float = GENEROUS_S) -> list[psutil.Process]:
    """Those that are still alive after `timeout_s`; returns as soon as none is."""
    give_up = time.perf_counter() + timeout_s
    left = list(processes)
    while left and time.perf_counter() < give_up:
        time.sleep(0.005)
        left = [process for process in left if is_alive(process)]
    return left
