from __future__ import annotations

import asyncio

from gateway.core.errors import GatewayError
from gateway.pipeline.turns import in_turns
from tests.fakes.waiting import until


def test_what_is_small_is_done_at_once() -> None:
    told: list[object] = []
    assert in_turns(str, [], told.append) is None
    assert in_turns(str, [1], told.append) is None
    assert told == [[], ["1"]]


def test_others_have_their_turns_in_between() -> None:
    async def scenario() -> None:
        told: list[object] = []
        seen: list[object] = []
        loop = asyncio.get_running_loop()
        made: list[int] = []

        def make(part: int) -> int:
            made.append(part)
            return part * 2

        assert in_turns(make, [1, 2, 3], told.append) is not None
        loop.call_soon(lambda: seen.append(len(made)))
        assert (made, told) == ([1], [])
        await until(lambda: told)
        assert (told, seen) == ([[2, 4, 6]], [2])

    asyncio.run(scenario())


def test_a_failure_is_told_and_whoever_has_gone_is_not() -> None:
    async def scenario() -> None:
        told: list[object] = []
        in_turns(lambda part: 1 // part, [1, 0, 1], told.append)
        await until(lambda: told)
        assert [type(one) for one in told] == [GatewayError]
        told.clear()
        turns = in_turns(str, [1, 2], told.append)
        assert turns is not None
        turns.cancel()
        turns.go_on()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told == []

    asyncio.run(scenario())
