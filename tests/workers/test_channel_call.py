from __future__ import annotations

import asyncio

from gateway.core.errors import Reason
from gateway.model import CallFailed
from gateway.runtimes.calls import Answer
from gateway.workers.channel_call import ChannelCall

ANSWER = ({}, 1)


class FakeChannel:
    """Waits for nothing; gives what the call has."""

    def __init__(self) -> None:
        self.given_up: list[int] = []

    def wait(self, call: ChannelCall) -> None:
        assert call.has_news

    async def wait_async(self, call: ChannelCall) -> None:
        assert call.has_news

    def take(self, call: ChannelCall) -> Answer | None:
        return call.answers.popleft()[0] if call.answers else None

    def give_up(self, call: ChannelCall) -> None:
        self.given_up.append(call.number)


def test_news_are_answers_and_the_end() -> None:
    call = ChannelCall(FakeChannel(), 1)
    assert not call.has_news
    call.answers.append(ANSWER)
    assert call.wait() == {}
    assert not call.has_news
    call.end(None)
    assert call.wait() is asyncio.run(call.wait_async()) is None


def test_only_what_goes_on_is_given_up() -> None:
    channel = FakeChannel()
    call = ChannelCall(channel, 7)
    call.close()
    failure = CallFailed(Reason.CANCELLED, "over")
    call.end(failure)
    call.close()
    assert (channel.given_up, call.failure) == ([7], failure)


def test_a_coroutine_that_waits_is_woken_once() -> None:
    async def wait() -> None:
        call = ChannelCall(FakeChannel(), 1)
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        call.waiter = loop, future
        call.wake()
        assert call.waiter is None
        await future
        call.waiter = loop, future
        call.end(None)
        await asyncio.sleep(0)

    asyncio.run(wait())


def test_a_loop_that_is_closed_is_not_woken() -> None:
    call = ChannelCall(FakeChannel(), 1)
    loop = asyncio.new_event_loop()
    call.waiter = loop, loop.create_future()
    loop.close()
    call.wake()
    assert call.waiter is None
