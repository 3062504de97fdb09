from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing

import numpy as np
import pytest

from gateway.core.errors import Reason
from gateway.model import CallFailed, Gateway
from gateway.runtimes.calls import Desk, NotExecuting, Question
from gateway.runtimes.python_gateway import DeskGateway
from tests.fakes.calling import FakeLine, Result

X = {"X": np.ones(2)}
ONE, TWO = {"Y": np.ones(1)}, {"Y": np.zeros(1)}


def calling(*results: Result) -> tuple[Gateway, FakeLine]:
    desk, line = Desk(), FakeLine(*results)
    desk.line = line
    return DeskGateway(desk), line


def test_a_model_is_asked_by_name() -> None:
    gateway, line = calling(ONE)
    assert gateway.infer("m", X, version="stable", outputs=["Y"]) is ONE
    assert line.calls[0].question == Question("m", X, "stable", ["Y"])
    assert line.calls[0].closed


def test_several_are_asked_at_once() -> None:
    gateway, line = calling(ONE)

    async def both() -> list[object]:
        first, second = gateway.infer_async("m", X), gateway.infer_async("n", X, version=2)
        assert [call.question.model for call in line.calls] == ["m", "n"]
        return list(await asyncio.gather(first, second))

    assert asyncio.run(both()) == [ONE, ONE]
    assert [call.closed for call in line.calls] == [1, 1]


def test_a_stream_is_read_to_its_end_or_closed() -> None:
    gateway, line = calling(ONE, TWO)
    assert list(gateway.stream("m", X)) == [ONE, TWO]
    with closing(gateway.stream("m", X)) as answers:
        assert next(answers) is ONE
    assert [(call.question.several, call.closed) for call in line.calls] == [(True, 1), (True, 1)]


def test_a_stream_on_the_event_loop() -> None:
    gateway, line = calling(ONE, TWO)

    async def read(answers: AsyncGenerator[object], most: int) -> list[object]:
        found: list[object] = []
        async with aclosing(answers):
            async for answer in answers:
                found.append(answer)
                if len(found) == most:
                    break
        return found

    assert asyncio.run(read(gateway.stream_async("m", X), 9)) == [ONE, TWO]
    assert asyncio.run(read(gateway.stream_async("m", X, outputs=("Y",)), 1)) == [ONE]
    assert [call.closed for call in line.calls] == [1, 1]


def test_what_fails_is_raised() -> None:
    gateway, line = calling(CallFailed(Reason.OVERLOADED, "full"))
    for fails in (
        lambda: gateway.infer("m", X),
        lambda: list(gateway.stream("m", X)),
    ):
        with pytest.raises(CallFailed, match="full"):
            fails()
    assert [call.closed for call in line.calls] == [1, 1]
    with pytest.raises(NotExecuting):
        DeskGateway(Desk()).infer("m", X)
