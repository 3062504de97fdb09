"""What plugins make of a request: stages in order, refusals that leave nothing behind, answers changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.core.caller import ANYBODY, Caller, Grant, Operation, Principal
from gateway.core.errors import (
    Forbidden,
    GatewayError,
    InvalidInput,
    ModelNotFound,
    PluginFailed,
    QuotaExceeded,
    Unauthenticated,
)
from gateway.core.messages import InferRequest, InferResponse
from gateway.hooks import hookimpl
from gateway.hooks.tasks import Tasks
from gateway.hooks.values import Target
from gateway.pipeline.passage import Passage
from gateway.pipeline.policed import policed
from gateway.pipeline.policies import Policies
from gateway.pipeline.rights import Rights
from tests.fakes.control import FakeRepositoryService
from tests.fakes.inference import FakeInferenceService, FakeLease
from tests.fakes.plugins import hooks

ANNA = Caller(Principal("anna", "shop", (Grant(frozenset({Operation.INFER}), ("fraud*",)),)))


class World:
    """Policies of some plugins before a pipeline that a test answers; runs on a loop of its own."""

    def __init__(self, *plugins: object, rights: bool = False, holds: bool = False) -> None:
        self.loop = asyncio.new_event_loop()
        self.tasks = Tasks(self.loop)
        self.inner = FakeInferenceService(holds=holds)
        self.lease = FakeLease()
        made = hooks(*plugins)
        allowed = Rights(made.get("authorize")) if rights else None
        self.policies = Policies(self.inner, made, allowed, self.tasks)
        self.got: list[InferResponse | GatewayError] = []

    def infer(self, request: InferRequest, caller: Caller = ANNA) -> Any:
        async def run() -> Any:
            ticket = self.policies.infer(request, self.got.append, caller)
            await self.settle()
            return ticket

        return self.loop.run_until_complete(run())

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def turn(self, act: Callable[[], Any]) -> Any:
        async def run() -> Any:
            result = act()
            await self.settle()
            return result

        return self.loop.run_until_complete(run())

    def request(self, model: str = "fraud", version: int | str = 0) -> InferRequest:
        self.lease.holds = 1
        return InferRequest(model, version, (), lease=self.lease)

    def close(self) -> None:
        self.loop.run_until_complete(self.tasks.aclose())
        self.loop.close()


@pytest.fixture
def make() -> Any:
    worlds: list[World] = []

    def made(*plugins: object, **how: bool) -> World:
        worlds.append(World(*plugins, **how))
        return worlds[-1]

    yield made
    for world in worlds:
        world.close()


class Plugin:
    """Does each thing at once; what it was asked is kept."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.inside = 0

    def seen(self, what: str) -> None:
        self.asked.append(what)

    @hookimpl
    def transform_request(self, request: InferRequest) -> InferRequest:
        self.seen("transform")
        return request.with_parameters({"by": "plugin"})

    @hookimpl
    def route(self, request: InferRequest, caller: Caller) -> Target:
        self.seen(f"route {request.model} {request.parameters['by']}")
        return Target("fraud-2", 3)

    @hookimpl
    def admit(self, request: InferRequest) -> Callable[[], None]:
        self.seen(f"admit {request.model}")
        self.inside += 1
        return self.leave

    def leave(self) -> None:
        self.inside -= 1

    @hookimpl
    def transform_response(self, response: InferResponse) -> InferResponse:
        self.seen("response")
        return InferResponse(response.model, response.version, (), "changed", lease=response.lease)


class Later(Plugin):
    """The same, a turn of the loop later."""

    @hookimpl
    async def transform_request(self, request: InferRequest) -> InferRequest:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().transform_request(request)

    @hookimpl
    async def route(self, request: InferRequest, caller: Caller) -> Target:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().route(request, caller)

    @hookimpl
    async def admit(self, request: InferRequest) -> Callable[[], None]:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().admit(request)

    @hookimpl
    async def transform_response(self, response: InferResponse) -> InferResponse:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().transform_response(response)


@pytest.mark.parametrize("kind", [Plugin, Later])
def test_the_stages_in_their_order(make: Any, kind: type[Plugin]) -> None:
    plugin = kind()
    world = make(plugin, rights=True)
    world.infer(world.request())
    assert plugin.asked == ["transform", "route fraud plugin", "admit fraud-2", "response"]
    (answer,) = world.got
    assert isinstance(answer, InferResponse)
    assert (answer.model, answer.version, answer.id) == ("fraud-2", 3, "changed")
    assert (plugin.inside, world.lease.holds) == (0, 0)
    assert world.inner.callers == [ANNA]


def test_where_nothing_is_async_the_answer_is_there_at_once(make: Any) -> None:
    world = make(Plugin(), rights=True)
    assert world.policies.infer(world.request(), world.got.append, ANNA) is None
    assert len(world.got) == 1


class Refuses:
    def __init__(self, error: GatewayError) -> None:
        self.error = error

    @hookimpl
    def admit(self) -> None:
        raise self.error


class RefusesLater(Refuses):
    @hookimpl
    async def admit(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        raise self.error


@pytest.mark.parametrize("kind", [Plugin, Later])
@pytest.mark.parametrize("refuser", [Refuses, RefusesLater])
def test_a_refusal_gives_back_what_was_taken(make: Any, kind: type[Plugin], refuser: type[Refuses]) -> None:
    plugin, error = kind(), QuotaExceeded("enough", retry_after_s=2)
    world = make(plugin, refuser(error))
    world.infer(world.request())
    assert world.got == [error]
    assert world.inner.refusals == [("rest", error)]
    assert world.inner.requests == []
    assert (plugin.inside, world.lease.holds) == (0, 0)


@pytest.mark.parametrize(
    ("caller", "model", "version", "error"),
    [
        (ANYBODY, "fraud", 0, Unauthenticated),
        (ANNA, "other", 0, ModelNotFound),
        (ANNA, "fraud", 1, ModelNotFound),  # not published: that takes the right `preview`
        (ANNA, "fraud", 3, None),
        (ANNA, "fraud", "stable", None),
    ],
)
def test_rights(make: Any, caller: Caller, model: str, version: int | str, error: Any) -> None:
    world = make(rights=True)
    world.infer(world.request(model, version), caller)
    (got,) = world.got
    assert type(got) is (error or InferResponse)
    assert world.lease.holds == 0
    assert len(world.inner.requests) == (error is None)


def test_rights_are_those_for_the_target(make: Any) -> None:
    class Elsewhere:
        @hookimpl
        def route(self) -> Target:
            return Target("secret")

    world = make(Elsewhere(), rights=True)
    world.infer(world.request())
    assert type(world.got[0]) is ModelNotFound


def test_a_version_that_a_rule_names_needs_no_right_to_preview(make: Any) -> None:
    class ToOld:
        @hookimpl
        def route(self) -> Target:
            return Target("fraud", 1)

    world = make(ToOld(), rights=True)
    world.infer(world.request())
    assert [(one.model, one.version) for one in world.inner.requests] == [("fraud", 1)]


class Broken:
    @hookimpl
    def route(self) -> Target:
        raise KeyError

    @hookimpl
    def transform_response(self) -> None:
        raise KeyError


def test_a_broken_route_leaves_the_request_where_it_was_and_a_broken_answer_is_an_error(make: Any) -> None:
    world = make(Broken())
    world.infer(world.request())
    assert [one.model for one in world.inner.requests] == ["fraud"]
    assert type(world.got[0]) is PluginFailed


# ---- the caller goes ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Plugin, Later])
def test_a_caller_who_goes_while_it_runs(make: Any, kind: type[Plugin]) -> None:
    plugin = kind()
    world = make(plugin, holds=True)
    ticket = world.infer(world.request())
    assert plugin.inside == 1
    world.turn(ticket.cancel)
    assert plugin.inside == 0
    (inner,) = world.inner.tickets
    assert inner.is_cancelled
    assert world.got == []


def test_a_caller_who_goes_while_a_plugin_is_waited_for(make: Any) -> None:
    gate = asyncio.Event()

    class Slow(Plugin):
        @hookimpl
        async def admit(self, request: InferRequest) -> Callable[[], None]:  # type: ignore[override]
            await gate.wait()
            return super().admit(request)

    plugin = Slow()
    world = make(plugin)
    ticket = world.infer(world.request())
    world.turn(ticket.cancel)
    assert world.lease.holds == 0
    world.turn(gate.set)
    assert (plugin.inside, world.inner.requests, world.got) == (0, [], [])


def test_an_answer_that_is_changed_too_late_is_let_go(make: Any) -> None:
    gate, lease = asyncio.Event(), FakeLease()

    class Slow:
        @hookimpl
        async def transform_response(self, response: InferResponse) -> InferResponse:
            await gate.wait()
            return response

    world = make(Slow())
    world.inner.run = lambda request: InferResponse("m", 1, (), lease=lease)
    ticket = world.infer(world.request())
    world.turn(ticket.cancel)
    world.turn(gate.set)
    assert (world.got, lease.holds) == ([], 0)


def test_a_release_that_fails_harms_nobody(make: Any) -> None:
    plugin = Plugin()

    class FailsAtTheEnd:
        @hookimpl
        def admit(self) -> Callable[[], None]:
            return lambda: 1 / 0  # type: ignore[return-value]

    world = make(FailsAtTheEnd(), plugin)
    world.infer(world.request())
    assert type(world.got[0]) is InferResponse
    assert plugin.inside == 0


class Knows3:
    @hookimpl
    def answer(self, request: InferRequest, version: int, caller: Caller) -> InferResponse:
        return InferResponse(request.model, version, (), "known")


class KnowsLater3(Knows3):
    @hookimpl
    async def answer(self, request: InferRequest, version: int, caller: Caller) -> InferResponse:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().answer(request, version, caller)


@pytest.mark.parametrize("kind", [Knows3, KnowsLater3])
def test_an_answer_that_needs_no_model(make: Any, kind: type[Knows3]) -> None:
    admits = Plugin()
    world = make(kind(), admits)
    world.infer(world.request())
    (answer,) = world.got
    assert (answer.model, answer.version, answer.id) == ("fraud-2", 0, "changed")
    assert [(one.model, version) for one, version, _ in world.inner.answers] == [("fraud-2", 0)]
    assert (world.inner.requests, admits.inside, world.lease.holds) == ([], 0, 0)


def test_streams_are_never_answered_without_their_model(make: Any) -> None:
    world, sink = make(Knows3()), Sink()
    world.inner.streams = True
    world.turn(lambda: world.policies.stream(world.request(), sink, ANNA))
    assert len(world.inner.tickets) == 1


# ---- around ------------------------------------------------------------------------------------


class Around:
    def __init__(self) -> None:
        self.trace: list[str] = []

    @hookimpl
    @asynccontextmanager
    async def around_execution(self, request: InferRequest) -> AsyncGenerator[None]:
        self.trace.append(f"in {request.model}")
        try:
            yield
        except GatewayError as error:
            self.trace.append(f"error {error.reason.value}")
            raise
        finally:
            self.trace.append("out")


def test_what_is_around_is_left_when_the_answer_is_there(make: Any) -> None:
    around = Around()
    world = make(around, holds=True)
    world.infer(world.request())
    assert around.trace == ["in fraud"]
    world.turn(lambda: world.inner.finish(world.inner.tickets[0]))
    assert around.trace == ["in fraud", "out"]
    assert type(world.got[0]) is InferResponse


def test_what_is_around_sees_the_error(make: Any) -> None:
    around = Around()
    world = make(around)
    world.inner.run = lambda request: InvalidInput("no")
    world.infer(world.request())
    assert around.trace == ["in fraud", "error INVALID_INPUT", "out"]
    assert type(world.got[0]) is InvalidInput


def test_what_is_around_is_left_when_the_caller_goes(make: Any) -> None:
    around = Around()
    world = make(around, holds=True)
    ticket = world.infer(world.request())
    world.turn(ticket.cancel)
    assert around.trace == ["in fraud", "out"]


def test_what_cannot_be_entered_refuses_the_request(make: Any) -> None:
    class Closed:
        @hookimpl
        @asynccontextmanager
        async def around_execution(self) -> AsyncGenerator[None]:
            raise Forbidden("closed")
            yield

    world = make(Closed())
    world.infer(world.request())
    assert type(world.got[0]) is Forbidden
    assert (world.inner.requests, world.lease.holds) == ([], 0)


# ---- streams -----------------------------------------------------------------------------------


class Sink:
    is_writable = True

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_response(self, response: InferResponse, *, is_last: bool) -> None:
        self.heard.append((response.id, is_last))

    def on_fault(self, error: GatewayError) -> None:
        self.heard.append(error.reason.value)

    def on_end(self, error: GatewayError | None) -> None:
        self.heard.append("end" if error is None else error.reason.value)


@pytest.mark.parametrize("kind", [Plugin])
def test_each_answer_of_a_stream_is_changed(make: Any, kind: type[Plugin]) -> None:
    plugin, sink = kind(), Sink()
    world = make(plugin)
    world.inner.streams = True
    ticket = world.turn(lambda: world.policies.stream(world.request(), sink, ANNA))
    (inner,) = world.inner.tickets
    assert ticket.version == inner.version
    ticket.resume()
    assert inner.resumed == 1
    inner.sink.on_response(InferResponse("m", 1, ()), is_last=False)
    inner.sink.on_fault(InvalidInput("odd"))
    assert plugin.inside == 1
    inner.sink.on_response(InferResponse("m", 1, ()), is_last=True)
    assert sink.heard == [("changed", False), "INVALID_INPUT", ("changed", True)]
    assert plugin.inside == 0


def test_a_stream_is_refused_by_its_end(make: Any) -> None:
    sink = Sink()
    world = make(Refuses(QuotaExceeded("enough")))
    assert world.turn(lambda: world.policies.stream(world.request(), sink, ANNA)) is None
    assert sink.heard == ["QUOTA_EXCEEDED"]


def test_an_async_change_of_a_stream_is_an_error_and_not_an_answer_out_of_order(make: Any) -> None:
    sink = Sink()

    class Changes:
        @hookimpl
        async def transform_response(self, response: InferResponse) -> InferResponse:
            return response

    world = make(Changes())
    world.inner.streams = True
    world.turn(lambda: world.policies.stream(world.request(), sink, ANNA))
    world.turn(lambda: world.inner.tickets[0].sink.on_response(InferResponse("m", 1, ()), is_last=True))
    assert sink.heard == ["PLUGIN_FAILED"]


def test_a_stream_that_is_cancelled(make: Any) -> None:
    plugin, sink = Plugin(), Sink()
    world = make(plugin)
    world.inner.streams = True
    ticket = world.turn(lambda: world.policies.stream(world.request(), sink, ANNA))
    ticket.cancel()
    assert world.inner.tickets[0].is_cancelled
    assert (plugin.inside, sink.heard) == (0, [])


# ---- what is there -----------------------------------------------------------------------------


def test_what_is_told_of_models_is_told_of_those_the_caller_sees(make: Any) -> None:
    world = make(rights=True)
    got: list[Any] = []
    world.turn(lambda: world.policies.describe("fraud", 0, got.append, ANNA))
    world.turn(lambda: world.policies.describe("other", 0, got.append, ANNA))
    world.turn(lambda: world.policies.describe("fraud", 1, got.append, ANNA))
    assert got[0].spec.name == "fraud"
    assert [type(one) for one in got[1:]] == [ModelNotFound, ModelNotFound]
    assert world.policies.is_model_ready("fraud", 0, ANNA)
    for caller in (ANYBODY, Caller(Principal("bob"))):
        with pytest.raises(ModelNotFound):
            world.policies.is_model_ready("fraud", 0, caller)
    assert (world.policies.is_live(), world.policies.is_ready()) == (True, True)


def test_statistics_of_all_are_those_of_the_visible(make: Any) -> None:
    world = make(rights=True)
    got: list[Any] = []
    world.policies.statistics("", 0, got.append, ANNA)
    world.policies.statistics("", 0, got.append, Caller(Principal("bob")))
    world.policies.statistics("fraud", 0, got.append, Caller(Principal("bob")))
    world.policies.statistics("fraud", 0, got.append, ANNA)
    assert [len(one) if isinstance(one, tuple) else type(one) for one in got] == [2, 0, ModelNotFound, 2]


class Decides:
    def __init__(self) -> None:
        self.known: set[str] = set()

    @hookimpl
    def authorize(self, operation: Operation, model: str) -> bool | Awaitable[bool]:
        return True if model in self.known else self.later(model)

    async def later(self, model: str) -> bool:
        await asyncio.sleep(0)
        self.known.add(model)
        return True


def test_where_only_an_async_plugin_knows_it_is_told_from_the_second_question_on(make: Any) -> None:
    world = make(Decides(), rights=True)
    bob, got = Caller(Principal("bob")), list[Any]()

    def is_ready() -> bool:
        try:
            return bool(world.policies.is_model_ready("fraud", 0, bob))
        except ModelNotFound:
            return False

    assert [world.turn(is_ready) for _ in range(2)] == [False, True]
    world.turn(lambda: world.policies.describe("fraud", 0, got.append, bob))
    assert got[0].spec.name == "fraud"


# ---- policed -----------------------------------------------------------------------------------


class Knows:
    @hookimpl
    def authenticate(self) -> Principal:
        return Principal("anna")


def test_without_plugins_the_services_are_the_bare_ones() -> None:
    loop = asyncio.new_event_loop()
    inner, repository = FakeInferenceService(), FakeRepositoryService()
    bare = policed(inner, repository, hooks(), Tasks(loop))
    assert (bare.service, bare.repository, bare.rights) == (inner, repository, None)
    routed = policed(inner, repository, hooks(Broken()), Tasks(loop))
    assert isinstance(routed.service, Policies)
    assert (routed.repository, routed.rights) == (repository, None)
    known = policed(inner, repository, hooks(Knows()), Tasks(loop))
    assert known.rights is not None
    assert known.repository is not repository
    loop.close()


def test_a_passage_ends_once() -> None:
    ended: list[int] = []
    passage = Passage(InferRequest("m", 0, ()), ANYBODY)
    passage.releases.append(lambda: ended.append(1))
    assert passage.close(None)
    assert not passage.close(None)
    passage.cancel()
    assert ended == [1]
