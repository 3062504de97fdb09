"""An implementation takes those of the hook's arguments that it names, in any order."""

from __future__ import annotations

from typing import Any

from gateway.core.caller import ANYBODY, Caller
from gateway.core.messages import InferRequest
from gateway.hooks import hookimpl
from gateway.hooks.guarding import Guarded
from gateway.hooks.manager import CONTRACTS
from gateway.hooks.values import Target
from gateway.hooks.watch import Watch
from tests.fakes.plugins import hooks, still

REQUEST = InferRequest("m", 0, ())


class Turned:
    seen: tuple[Any, ...] = ()

    @hookimpl
    def route(self, caller: Caller, request: InferRequest) -> None:
        self.seen = (caller, request)


def test_arguments_go_by_name() -> None:
    turned = Turned()
    found = hooks(turned).get("route")
    assert found is not None
    assert found.first(REQUEST, ANYBODY) is None
    assert turned.seen == (ANYBODY, REQUEST)


def test_the_watch_knows_who_is_running_and_knows_it_no_more_afterwards() -> None:
    watch = Watch(1.0)
    seen: list[int] = []

    def answer(request: InferRequest, caller: Caller) -> Target:
        seen.append(watch.running)
        return Target("n")

    guarded = Guarded("p", CONTRACTS["route"], answer, None, watch, still(), lambda *_: None)
    for _ in range(2):
        assert guarded.call((REQUEST, ANYBODY)) == Target("n")
    assert seen[0]
    assert seen[1] != seen[0]
    assert watch.running == 0


class Compiled:
    """Its marked function says what it takes; what is called is the one it gives in its place."""

    def __init__(self) -> None:
        self.direct = {"route": self.quick}

    @hookimpl
    def route(self, request: InferRequest) -> None:
        raise AssertionError("the other one is called")

    def quick(self, request: InferRequest, caller: Caller) -> Target:
        return Target(request.model, caller is ANYBODY)


def test_a_function_that_cannot_be_marked_is_called_in_the_place_of_one_that_is() -> None:
    found = hooks(Compiled()).get("route")
    assert found is not None
    assert found.first(REQUEST, ANYBODY) == Target("m", True)
