"""The modes: who is asked, in which order, and what becomes of those who do it wrong, sync and async."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from gateway.core.caller import ANYBODY, Credentials, Principal
from gateway.core.errors import Forbidden, PluginFailed, QuotaExceeded, Unauthenticated
from gateway.core.messages import InferRequest
from gateway.hooks import hookimpl
from gateway.hooks.calling import Hook
from gateway.hooks.manager import Hooks
from gateway.hooks.values import Target
from gateway.hooks.watch import Watch
from tests.fakes.plugins import Failures, hooks

NOBODY = Credentials(())
REQUEST = InferRequest("m", 0, ())


def hook(made: Hooks, name: str) -> Hook:
    found = made.get(name)
    assert found is not None
    return found


async def settled(outcome: Any) -> Any:
    return await outcome if inspect.isawaitable(outcome) else outcome


def outcome_of(call: Callable[[], Any]) -> Any:
    return asyncio.run(settled_of(call))


async def settled_of(call: Callable[[], Any]) -> Any:
    return await settled(call())


class Declines:
    @hookimpl
    def authenticate(self) -> None: ...

    @hookimpl
    def route(self) -> None: ...

    @hookimpl
    def transform_request(self) -> None: ...

    @hookimpl
    def admit(self) -> None: ...


class DeclinesLater:
    @hookimpl
    async def authenticate(self) -> None: ...

    @hookimpl
    async def route(self) -> None: ...

    @hookimpl
    async def transform_request(self) -> None: ...

    @hookimpl
    async def admit(self) -> None: ...


class Knows:
    def __init__(self, name: str = "anna") -> None:
        self.name = name
        self.asked = 0

    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal:
        self.asked += 1
        return Principal(self.name)

    @hookimpl
    def route(self, request: InferRequest) -> Target:
        return Target(f"{request.model}-2")

    @hookimpl
    def transform_request(self, request: InferRequest) -> InferRequest:
        return request.under(f"{request.id}s")


class KnowsLater(Knows):
    @hookimpl
    async def authenticate(self, credentials: Credentials) -> Principal:  # type: ignore[override]
        await asyncio.sleep(0)
        self.asked += 1
        return Principal(self.name)

    @hookimpl
    async def transform_request(self, request: InferRequest) -> InferRequest:  # type: ignore[override]
        await asyncio.sleep(0)
        return request.under(f"{request.id}a")


@pytest.mark.parametrize("decliners", [(), (Declines(),), (DeclinesLater(),), (Declines(), DeclinesLater())])
@pytest.mark.parametrize("kind", [Knows, KnowsLater])
def test_the_first_who_answers_is_the_last_who_is_asked(decliners: tuple[object, ...], kind: Any) -> None:
    knows, later = kind("first"), Knows("second")
    made = hooks(*decliners, knows, later)
    assert outcome_of(lambda: hook(made, "authenticate").first(NOBODY)).id == "first"
    assert (knows.asked, later.asked) == (1, 0)


@pytest.mark.parametrize("decliners", [(Declines(),), (DeclinesLater(),), (DeclinesLater(), Declines())])
def test_where_all_decline_there_is_no_answer(decliners: tuple[object, ...]) -> None:
    made = hooks(*decliners)
    assert outcome_of(lambda: hook(made, "authenticate").first(NOBODY)) is None


def test_without_async_plugins_nothing_is_awaited() -> None:
    made = hooks(Declines(), Knows())
    assert hook(made, "authenticate").first(NOBODY) == Principal("anna")
    assert hook(made, "transform_request").chain(REQUEST, ANYBODY).id == "s"


@pytest.mark.parametrize(
    ("plugins", "expected"),
    [
        ((Knows(), KnowsLater()), "sa"),
        ((KnowsLater(), Knows()), "as"),
        ((DeclinesLater(), Knows(), Declines(), KnowsLater()), "sa"),
    ],
)
def test_each_of_a_chain_gets_what_the_one_before_made(plugins: tuple[object, ...], expected: str) -> None:
    made = hooks(*plugins)
    assert outcome_of(lambda: hook(made, "transform_request").chain(REQUEST, ANYBODY)).id == expected


class Counts:
    def __init__(self) -> None:
        self.inside = 0

    @hookimpl
    def admit(self) -> Callable[[], None]:
        self.inside += 1
        return self.leave

    def leave(self) -> None:
        self.inside -= 1


class CountsLater(Counts):
    @hookimpl
    async def admit(self) -> Callable[[], None]:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().admit()


class Refuses:
    @hookimpl
    def admit(self) -> None:
        raise QuotaExceeded("enough", retry_after_s=3)

    @hookimpl
    def authenticate(self) -> None:
        raise Unauthenticated("forged")


@pytest.mark.parametrize("kinds", [(Counts, Counts), (CountsLater, Counts), (Counts, CountsLater)])
def test_a_gate_gives_back_what_was_taken_also_when_another_refuses(kinds: tuple[Any, Any]) -> None:
    first, second = kinds[0](), kinds[1]()
    releases: list[Callable[[], None]] = []
    made = hooks(first, DeclinesLater(), second, Refuses())
    with pytest.raises(QuotaExceeded, match="enough"):
        outcome_of(lambda: hook(made, "admit").gate(releases, REQUEST, ANYBODY))
    assert (first.inside, second.inside) == (1, 1)
    for release in releases:
        release()
    assert (first.inside, second.inside) == (0, 0)


def test_a_refusal_is_an_answer_and_no_failure() -> None:
    failures = Failures()
    made = hooks(Refuses(), Knows(), failures=failures)
    with pytest.raises(Unauthenticated, match="forged"):
        hook(made, "authenticate").first(NOBODY)
    assert not failures


def spin() -> None:
    while True:
        pass


# ---- what they do wrong ----------------------------------------------------------------------------


class Raises:
    def do(self) -> Any:
        raise KeyError("secret-canary")

    authenticate = hookimpl(lambda self: self.do(), specname="authenticate")
    route = hookimpl(lambda self: self.do(), specname="route")
    transform_request = hookimpl(lambda self: self.do(), specname="transform_request")
    admit = hookimpl(lambda self: self.do(), specname="admit")


class RaisesLater(Raises):
    def do(self) -> Awaitable[Any]:
        return self.later()

    async def later(self) -> Any:
        await asyncio.sleep(0)
        raise KeyError("secret-canary")


class Garbage(Raises):
    def do(self) -> Any:
        return 17


class GarbageLater(RaisesLater):
    async def later(self) -> Any:
        return "x" * 1_000_000


class Hangs(RaisesLater):
    async def later(self) -> Any:
        await asyncio.Event().wait()


WRONG = [
    (Raises, "raised"),
    (RaisesLater, "raised"),
    (Garbage, "garbage"),
    (GarbageLater, "garbage"),
    (Hangs, "timed_out"),
]
ASK: dict[str, Callable[[Hook], Any]] = {
    "authenticate": lambda one: one.first(NOBODY),
    "transform_request": lambda one: one.chain(REQUEST, ANYBODY),
    "admit": lambda one: one.gate([], REQUEST, ANYBODY),
    "route": lambda one: one.first(REQUEST, ANYBODY),
}


@pytest.mark.parametrize(("kind", "way"), WRONG, ids=[kind.__name__ for kind, _ in WRONG])
@pytest.mark.parametrize("name", ["authenticate", "transform_request", "admit"])
def test_where_a_hook_fails_closed_the_request_is_refused(kind: Any, way: str, name: str) -> None:
    failures = Failures()
    made = hooks(kind(), Knows(), failures=failures)
    with pytest.raises(PluginFailed, match=f"plugin '{kind.__name__.lower()}' failed at '{name}'"):
        outcome_of(lambda: ASK[name](hook(made, name)))
    assert failures == [(kind.__name__.lower(), name, way)]


@pytest.mark.parametrize(("kind", "way"), WRONG, ids=[kind.__name__ for kind, _ in WRONG])
def test_where_a_hook_fails_open_the_next_one_is_asked(kind: Any, way: str) -> None:
    failures = Failures()
    made = hooks(kind(), Knows(), failures=failures)
    assert outcome_of(lambda: ASK["route"](hook(made, "route"))) == Target("m-2")
    assert failures == [(kind.__name__.lower(), "route", way)]


def test_after_five_failures_it_is_left_alone_until_a_trial_goes_well() -> None:
    now, failures, broken = 100.0, Failures(), True

    class Sometimes:
        asked = 0

        @hookimpl
        def route(self) -> Target:
            self.asked += 1
            if broken:
                raise ValueError
            return Target("better")

    plugin = Sometimes()
    made = hooks(plugin, Knows(), failures=failures, clock=lambda: now)
    ask = hook(made, "route").first
    for _ in range(8):
        assert ask(REQUEST, ANYBODY) == Target("m-2")
    assert plugin.asked == 5
    assert [way for _, _, way in failures] == ["raised"] * 5 + ["skipped"] * 3
    now, broken = 130.0, False
    assert ask(REQUEST, ANYBODY) == Target("better")
    assert ask(REQUEST, ANYBODY) == Target("better")


def test_one_that_blocks_the_loop_is_interrupted_sync_or_async() -> None:
    class Blocks:
        @hookimpl
        def route(self) -> Target:
            with suppress(Exception):
                time.sleep(30)
            return Target("never")

    class BlocksLater:
        @hookimpl
        async def route(self) -> Target:
            await asyncio.sleep(0)
            spin()
            return Target("never")

    failures = Failures()
    with Watch(0.03) as watch:
        made = hooks(Blocks(), BlocksLater(), Knows(), failures=failures, watch=watch)
        assert outcome_of(lambda: hook(made, "route").first(REQUEST, ANYBODY)) == Target("m-2")
    assert failures == [("blocks", "route", "blocked"), ("blockslater", "route", "blocked")]


def test_the_log_tells_where_it_failed_and_not_with_what(caplog: pytest.LogCaptureFixture) -> None:
    made = hooks(Raises())
    with pytest.raises(PluginFailed):
        hook(made, "authenticate").first(NOBODY)
    assert "plugin 'raises' at 'authenticate': raised: KeyError in do" in caplog.text
    assert "canary" not in caplog.text


# ---- around and notify -----------------------------------------------------------------------------

trace: list[str] = []


class Outer:
    name = "outer"

    @hookimpl
    @asynccontextmanager
    async def around_execution(self) -> AsyncGenerator[None]:
        trace.append(f"{self.name} in")
        try:
            yield
        finally:
            trace.append(f"{self.name} out")


class Inner(Outer):
    name = "inner"


async def within(one: Hook, error: Exception | None = None) -> None:
    async with one.around(REQUEST, ANYBODY):
        trace.append("runs")
        if error is not None:
            raise error


@pytest.mark.parametrize("error", [None, Forbidden("no")])
def test_the_first_is_the_outermost(error: Exception | None) -> None:
    trace.clear()
    made = hooks(Outer(), Inner())
    if error is None:
        asyncio.run(within(hook(made, "around_execution")))
    else:
        with pytest.raises(Forbidden):
            asyncio.run(within(hook(made, "around_execution"), error))
    assert trace == ["outer in", "inner in", "runs", "inner out", "outer out"]


class FailsInside:
    def __init__(self, when: str) -> None:
        self.when = when

    @hookimpl
    @asynccontextmanager
    async def around_execution(self) -> AsyncGenerator[None]:
        if self.when == "enter":
            raise ValueError
        try:
            yield
        except Forbidden:
            if self.when == "swallow":
                return
            raise
        if self.when == "exit":
            raise ValueError


@pytest.mark.parametrize("when", ["enter", "exit"])
def test_a_context_that_fails_fails_the_request_and_leaves_the_others(when: str) -> None:
    trace.clear()
    failures = Failures()
    made = hooks(Outer(), FailsInside(when), failures=failures)
    with pytest.raises(PluginFailed):
        asyncio.run(within(hook(made, "around_execution")))
    assert trace[-1] == "outer out"
    assert failures == [("failsinside", "around_execution", "raised")]


def test_an_error_cannot_be_swallowed() -> None:
    made = hooks(FailsInside("swallow"))
    with pytest.raises(Forbidden):
        asyncio.run(within(hook(made, "around_execution"), Forbidden("no")))


class Told:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    @hookimpl
    def on_request(self, record: Any) -> None:
        self.heard.append(record)


class ToldLater(Told):
    @hookimpl
    async def on_request(self, record: Any) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.heard.append(record)


class FailsTold:
    @hookimpl
    def on_request(self, record: Any) -> None:
        raise OSError


class FailsToldLater:
    @hookimpl
    async def on_request(self, record: Any) -> None:
        raise OSError


def test_everybody_is_told_whatever_the_others_do() -> None:
    now, later, failures = Told(), ToldLater(), Failures()
    made = hooks(FailsTold(), FailsToldLater(), now, later, failures=failures)

    async def tell() -> None:
        async with asyncio.TaskGroup() as group:
            hook(made, "on_request").notify(lambda work: group.create_task(ensured(work)), "record")

    asyncio.run(tell())
    assert now.heard == later.heard == ["record"]
    assert sorted(failures) == [
        ("failstold", "on_request", "raised"),
        ("failstoldlater", "on_request", "raised"),
    ]


async def ensured(work: Awaitable[Any]) -> None:
    await work
