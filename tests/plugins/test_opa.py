"""What is not a clear yes of the agent is a no."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.core.caller import Credentials, Operation, Principal
from gateway.hooks import hookimpl
from gateway.testing import Bench, ManualClock, start
from gateway_plugins.opa import Opa, OpaSettings

ANNA = Principal("anna", "shop", method="jwt")


class Agent:
    """Answers with what a test gives it."""

    def __init__(self, answer: Any = None, status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.asked: list[Any] = []
        self.headers: list[str | None] = []
        self.is_slow = False

    async def decide(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, await request.json()))
        self.headers.append(request.headers.get("authorization"))
        if self.is_slow:
            await asyncio.Event().wait()
        if isinstance(self.answer, bytes):
            return web.Response(body=self.answer, status=self.status)
        return web.json_response(self.answer, status=self.status)


@asynccontextmanager
async def running(
    agent: Agent, clock: ManualClock | None = None, *, begins: bool = True, **more: Any
) -> AsyncGenerator[Opa]:
    app = web.Application()
    app.router.add_post("/{path:.*}", agent.decide)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    plugin = Opa(OpaSettings(url=url, timeout_s=0.2, **more), start(clock=clock))
    if begins:
        await plugin.on_start()
    try:
        yield plugin
    finally:
        if begins:
            await plugin.on_stop()
        await runner.cleanup()


async def decided(plugin: Opa, model: str = "fraud") -> bool:
    found = plugin.authorize(ANNA, Operation.INFER, model)
    return await found if inspect.isawaitable(found) else found


async def once(agent: Agent, **more: Any) -> bool:
    async with running(agent, **more) as plugin:
        return await decided(plugin)


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [
        ({"result": True}, 200, True),
        ({"result": {"allow": True}}, 200, True),
        ({"result": False}, 200, False),
        ({}, 200, False),  # undefined
        ({"result": {"allow": "yes"}}, 200, False),
        ({"result": "true"}, 200, False),
        ({"result": 1}, 200, False),
        ([True], 200, False),
        (b"<html>", 200, False),
        ({"result": True}, 500, False),
        ({"result": True}, 302, False),
    ],
)
def test_only_a_clear_yes_is_one(answer: Any, status: int, expected: bool) -> None:
    assert asyncio.run(once(Agent(answer, status))) is expected


def test_an_agent_that_is_slow_or_away_says_no(caplog: pytest.LogCaptureFixture) -> None:
    agent = Agent({"result": True})
    agent.is_slow = True
    assert asyncio.run(once(agent)) is False
    nowhere = Opa(OpaSettings(url="http://127.0.0.1:9"), start())

    async def ask() -> list[bool]:
        await nowhere.on_start()
        answers = [await decided(nowhere, model) for model in ("a", "b")]
        await nowhere.on_stop()
        return answers

    assert asyncio.run(ask()) == [False, False]
    assert caplog.text.count("the policy agent does not answer") == 2, "once an outage"


def test_what_the_agent_is_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    agent = Agent({"result": True})
    assert asyncio.run(once(agent, path="edge/ok", token_file=tmp_path / "token"))
    told = {"principal": "anna", "tenant": "shop", "method": "jwt", "operation": "infer", "model": "fraud"}
    assert agent.asked == [("/v1/data/edge/ok", {"input": told})]
    assert agent.headers == ["Bearer secret"]


def test_a_decision_is_remembered_for_a_while() -> None:
    clock, agent = ManualClock(), Agent({"result": True})

    async def run() -> list[bool]:
        async with running(agent, clock) as plugin:
            first = await decided(plugin)
            agent.answer = {"result": False}
            clock.advance(4.9)
            second = await decided(plugin)
            clock.advance(0.2)
            return [first, second, await decided(plugin)]

    assert asyncio.run(run()) == [True, True, False]
    assert len(agent.asked) == 2


@pytest.mark.parametrize(
    "url", ["http://policy.test", "ftp://127.0.0.1", "https://a:b@policy.test", "https://", "https://a?b=1"]
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url: "):
        Opa(OpaSettings(url=url), start())


def test_a_token_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="token_file"):
        Opa(OpaSettings(url="https://policy.test", token_file=tmp_path / "none"), start())


class Anna:
    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal:
        return ANNA


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_in_a_gateway(protocol: str) -> None:
    agent = Agent({"result": True})

    async def run() -> list[bool]:
        clock = ManualClock()
        async with running(agent, clock, begins=False) as plugin, Bench(Anna(), plugin, clock=clock) as bench:
            answers = [(await bench.infer("echo", {"x": [[1.0]]}, protocol=protocol)).is_ok]
            agent.answer = {"result": False}
            clock.advance(6)
            return [*answers, (await bench.infer("echo", {"x": [[1.0]]}, protocol=protocol)).is_ok]

    assert asyncio.run(run()) == [True, False]
