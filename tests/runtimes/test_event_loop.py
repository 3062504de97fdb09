from __future__ import annotations

import asyncio

import pytest

from gateway.runtimes.event_loop import WorkerLoop


async def running() -> asyncio.AbstractEventLoop:
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


def test_a_plain_value_needs_no_loop() -> None:
    loop = WorkerLoop()
    assert loop.settle(7) == 7
    assert loop.settle(None) is None
    loop.close()


def test_every_coroutine_runs_on_one_loop() -> None:
    loop = WorkerLoop()
    first = loop.settle(running())
    assert loop.settle(running()) is first
    loop.close()
    assert first.is_closed()


def test_an_exception_comes_through_and_the_loop_goes_on() -> None:
    async def fails() -> None:
        raise ValueError("no")

    loop = WorkerLoop()
    with pytest.raises(ValueError, match="no"):
        loop.settle(fails())
    assert loop.settle(running())
    loop.close()


def test_what_a_model_left_running_is_cancelled() -> None:
    left: list[asyncio.Task[bool]] = []

    async def leaves() -> None:
        left.append(asyncio.get_running_loop().create_task(asyncio.Event().wait()))

    loop = WorkerLoop()
    loop.settle(leaves())
    loop.close()
    assert left[0].cancelled()
