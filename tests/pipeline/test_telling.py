from __future__ import annotations

import asyncio

from gateway.core.records import RequestRecord
from gateway.hooks import hookimpl
from gateway.hooks.tasks import MAX_BACKGROUND, Tasks
from gateway.pipeline.telling import telling
from tests.fakes.plugins import hooks

RECORD = RequestRecord("m", 1, "rest", None, 0.1)


class Told:
    def __init__(self) -> None:
        self.heard: list[RequestRecord] = []

    @hookimpl
    def on_request(self, record: RequestRecord) -> None:
        self.heard.append(record)


class ToldLater(Told):
    @hookimpl
    async def on_request(self, record: RequestRecord) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.heard.append(record)


def test_one_sink_alone_is_called_without_a_step_between() -> None:
    heard: list[RequestRecord] = []
    loop = asyncio.new_event_loop()
    sink = heard.append
    assert telling([sink], None, loop, Tasks(loop)) is sink
    loop.close()


def test_plugins_are_told_after_the_turn_and_each_once() -> None:
    counted: list[RequestRecord] = []
    now, later = Told(), ToldLater()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        held = Tasks(loop)
        tell = telling([counted.append, counted.append], hooks(now, later).get("on_request"), loop, held)
        tell(RECORD)
        assert counted == [RECORD, RECORD]
        assert not now.heard
        await asyncio.sleep(0)
        assert now.heard == [RECORD]
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(held) == 0

    asyncio.run(run())
    assert later.heard == [RECORD]


def test_those_that_take_their_time_are_told_no_more_than_is_bearable() -> None:
    class Waits:
        begun = 0

        @hookimpl
        async def on_request(self) -> None:
            self.begun += 1
            await asyncio.Event().wait()

    waits = Waits()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        held = Tasks(loop)
        tell = telling([], hooks(waits).get("on_request"), loop, held)
        for _ in range(MAX_BACKGROUND + 10):
            tell(RECORD)
        for _ in range(10):
            await asyncio.sleep(0)
        await held.aclose()

    asyncio.run(run())
    assert waits.begun == MAX_BACKGROUND
