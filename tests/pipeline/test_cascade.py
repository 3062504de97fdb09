"""A request that goes on to another model: what is given, what is left behind, and who may stop it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest

from gateway.core.caller import Caller, Grant, Operation, Principal
from gateway.core.errors import Forbidden, GatewayError, ModelFailed, Overloaded
from gateway.core.messages import InferRequest, InferResponse
from gateway.hooks import hookimpl
from gateway.hooks.values import Target
from tests.fakes.inference import FakeLease
from tests.pipeline.test_policies import World

MAY = Caller(Principal("anna", "shop", (Grant(frozenset({Operation.INFER}), ("*",)),)))
MAY_NOT = Caller(Principal("anna", "shop", (Grant(frozenset({Operation.INFER}), ("small",)),)))


WAYS = {"small": "medium", "medium": "large", "large": "small"}


class Doubts:
    """Sends answers on, by model."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @hookimpl
    def reconsider(self, response: InferResponse) -> Target | None:
        self.asked.append(response.model)
        return Target(WAYS[response.model])


class DoubtsLater(Doubts):
    @hookimpl
    async def reconsider(self, response: InferResponse) -> Target | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().reconsider(response)


class Counts:
    """Lets everybody in but for one model."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.inside = 0

    @hookimpl
    def admit(self, request: InferRequest) -> Callable[[], None]:
        if request.model == self.refuses:
            raise Overloaded("full")
        self.inside += 1
        return self._left

    def _left(self) -> None:
        self.inside -= 1


class Leases:
    """Answers of a world, each with a lease of its own."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.given: list[FakeLease] = []

    def __call__(self, request: InferRequest) -> InferResponse | GatewayError:
        if request.model == self.fails:
            return ModelFailed("no")
        self.given.append(FakeLease())
        self.given[-1].holds = 1
        return InferResponse(request.model, 1, (), request.id, lease=self.given[-1])

    def left(self) -> list[int]:
        return [one.holds for one in self.given]


@pytest.fixture
def make() -> Generator[Callable[..., World]]:
    worlds: list[World] = []

    def made(*plugins: object, fails: str = "", **how: bool) -> World:
        worlds.append(World(*plugins, **how))
        worlds[-1].inner.run = Leases(fails)
        return worlds[-1]

    yield made
    for world in worlds:
        world.close()


def run(world: World, caller: Caller = MAY) -> Any:
    return world.infer(world.request("small"), caller)


def settled(world: World) -> list[int]:
    """Holds on answers; those on the inputs must be gone."""
    assert world.lease.holds == 0
    return world.inner.run.left()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("kind", [Doubts, DoubtsLater])
def test_the_last_answer_is_given_and_nobody_is_asked_twice(make: Any, kind: type[Doubts]) -> None:
    counts = Counts()
    world = make(kind(), counts)
    run(world)
    (answer,) = world.got
    assert answer.model == "large"
    assert [one.model for one in world.inner.requests] == ["small", "medium", "large"]
    assert settled(world) == [0, 0, 1]
    assert counts.inside == 0


def test_a_good_answer_is_given_at_once(make: Any) -> None:
    class Content:
        @hookimpl
        def reconsider(self) -> None: ...

    world = make(Content())
    assert run(world) is None
    assert world.got[0].model == "small"
    assert settled(world) == [1]


@pytest.mark.parametrize("kind", [Doubts, DoubtsLater])
def test_where_the_other_fails_the_first_answer_is_given(make: Any, kind: type[Doubts]) -> None:
    world = make(kind(), fails="medium")
    run(world)
    assert [one.model for one in world.got] == ["small"]
    assert settled(world) == [1]


def test_where_the_first_fails_its_error_is_given(make: Any) -> None:
    world = make(Doubts(), fails="small")
    run(world)
    assert [type(one) for one in world.got] == [ModelFailed]
    assert settled(world) == []


def test_a_limit_of_the_other_leaves_the_first_answer_and_a_record(make: Any) -> None:
    counts = Counts(refuses="medium")
    world = make(Doubts(), counts)
    run(world)
    assert [one.model for one in world.got] == ["small"]
    assert [type(error) for _, error in world.inner.refusals] == [Overloaded]
    assert (settled(world), counts.inside) == ([1], 0)


@pytest.mark.parametrize("kind", [Doubts, DoubtsLater])
def test_whoever_may_not_ask_the_other_gets_the_first_answer(make: Any, kind: type[Doubts]) -> None:
    world = make(kind(), rights=True)
    run(world, MAY_NOT)
    assert [one.model for one in world.got] == ["small"]
    assert [one.model for one in world.inner.requests] == ["small"]
    assert settled(world) == [1]


@pytest.mark.parametrize("answered", [0, 1])
def test_a_caller_that_goes_leaves_nothing_behind(make: Any, answered: int) -> None:
    counts = Counts()
    world = make(Doubts(), counts, holds=True)
    ticket = run(world)
    for index in range(answered):
        world.turn(lambda at=index: world.inner.finish(world.inner.tickets[at]))
    world.turn(ticket.cancel)
    assert world.inner.tickets[answered].is_cancelled
    world.turn(lambda: world.inner.finish(world.inner.tickets[answered]))
    assert (world.got, counts.inside) == ([], 0)
    # The fake pipeline makes an answer also for who has gone, and drops it without its lease.
    assert settled(world)[:answered] == [0] * answered


def test_the_policies_behind_it_see_the_request_that_was_let_in(make: Any) -> None:
    seen: list[tuple[str, str]] = []

    class Sees:
        @hookimpl
        def transform_response(self, response: InferResponse, request: InferRequest) -> None:
            seen.append((request.model, response.model))

    world = make(Doubts(), Sees())
    run(world)
    assert seen == [("small", "large")]


class Refuses(Doubts):
    @hookimpl
    def reconsider(self, response: InferResponse) -> Target | None:
        raise Forbidden("not this answer")


class RefusesLater(Doubts):
    @hookimpl
    async def reconsider(self, response: InferResponse) -> Target | None:  # type: ignore[override]
        await asyncio.sleep(0)
        raise Forbidden("not this answer")


@pytest.mark.parametrize("kind", [Refuses, RefusesLater])
def test_a_decision_against_the_answer_is_told(make: Any, kind: type[Doubts]) -> None:
    counts = Counts()
    world = make(kind(), counts)
    run(world)
    assert [type(one) for one in world.got] == [Forbidden]
    assert (settled(world), counts.inside) == ([0], 0)


def test_streams_are_not_reconsidered(make: Any) -> None:
    doubts = Doubts()
    world = make(doubts)

    class Sink:
        is_writable = True

        def on_response(self, response: InferResponse, *, is_last: bool) -> None:
            world.got.append(response)

        def on_end(self, error: GatewayError | None) -> None: ...

    world.turn(lambda: world.policies.stream(world.request("small"), Sink(), MAY))
    assert ([one.model for one in world.got], doubts.asked) == (["small"], [])
