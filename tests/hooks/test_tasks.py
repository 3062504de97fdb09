from __future__ import annotations

import asyncio

import pytest

from gateway.hooks import tasks
from gateway.hooks.tasks import Tasks


async def fails() -> None:
    raise KeyError("x")


def test_a_task_that_fails_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        held = Tasks(asyncio.get_running_loop())
        with pytest.raises(KeyError):
            await held.begin(fails(), "the name")
        await asyncio.sleep(0)
        assert len(held) == 0

    asyncio.run(run())
    assert "the task 'the name' failed" in caplog.text


def test_what_is_under_way_ends_with_them() -> None:
    ended = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def run() -> None:
        held = Tasks(asyncio.get_running_loop())
        held.begin(waits(), "waits")
        await asyncio.sleep(0)
        await held.aclose()
        assert len(held) == 0

    asyncio.run(run())
    assert ended == [True]


def test_beyond_the_limit_work_is_dropped_and_never_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MAX_BACKGROUND", 2)

    async def run() -> None:
        held = Tasks(asyncio.get_running_loop())
        event = asyncio.Event()

        async def waits() -> None:
            await event.wait()

        assert [held.begin_if_room(waits(), "waits") for _ in range(3)] == [True, True, False]
        event.set()
        await held.aclose()

    asyncio.run(run())
