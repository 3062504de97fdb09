"""Waits for conditions of real processes, on the event loop or without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import psutil


async def until(condition: Callable[[], object], timeout_s: float = 5.0, pause_s: float = 0.002) -> None:
    """Returns as soon as `condition` holds (with no pause: before a timer runs); fails after `timeout_s`."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # ruff: ignore[async-busy-wait] - processes set no events
            await asyncio.sleep(pause_s)


def until_blocking(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
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


def survivors(processes: Iterable[psutil.Process], timeout_s: float = 5.0) -> list[psutil.Process]:
    """Those that are still alive after `timeout_s`; returns as soon as none is."""
    give_up = time.perf_counter() + timeout_s
    left = list(processes)
    while left and time.perf_counter() < give_up:
        time.sleep(0.005)
        left = [process for process in left if is_alive(process)]
    return left
