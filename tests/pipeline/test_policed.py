"""Model control behind rights: loads need `load`, files and configurations of one's own `upload`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.control.questions import ModelFile
from gateway.core.caller import ANYBODY, Caller, Grant, Operation, Principal
from gateway.core.errors import Forbidden, InvalidInput, ModelNotFound, Unauthenticated
from gateway.hooks import hookimpl
from gateway.hooks.tasks import Tasks
from gateway.pipeline.policed import PolicedRepository
from gateway.pipeline.policies import Policies
from gateway.pipeline.rights import Rights
from tests.fakes.control import FakeRepositoryService
from tests.fakes.inference import FakeInferenceService
from tests.fakes.plugins import hooks


def caller(*operations: Operation) -> Caller:
    return Caller(Principal("anna", grants=(Grant(frozenset(operations), ("a*",)),)))


def asked(who: Caller, act: str, inner: FakeRepositoryService, *plugins: object) -> Any:
    got: list[Any] = []

    async def run() -> None:
        tasks = Tasks(asyncio.get_running_loop())
        made = hooks(*plugins)
        rights = Rights(made.get("authorize"))
        policies = Policies(FakeInferenceService(), made, rights, tasks)
        repository = PolicedRepository(inner, policies, rights, tasks)
        match act:
            case "load":
                repository.load("a", None, (), got.append, caller=who)
            case "configure":
                repository.load("a", "{}", (), got.append, caller=who)
            case "files":
                repository.load("a", None, (ModelFile("1/m", b""),), got.append, caller=who)
            case "unload":
                repository.unload("a", got.append, caller=who)
            case "index":
                repository.index(got.append, caller=who)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(tasks) == 0

    asyncio.run(run())
    return got[0]


@pytest.mark.parametrize(
    ("who", "act", "error"),
    [
        (caller(Operation.LOAD), "load", None),
        (caller(Operation.LOAD), "unload", None),
        (caller(Operation.LOAD), "configure", Forbidden),
        (caller(Operation.LOAD), "files", Forbidden),
        (caller(Operation.UPLOAD), "files", None),
        (caller(Operation.INFER), "load", Forbidden),
        (caller(), "unload", ModelNotFound),
        (ANYBODY, "unload", Unauthenticated),
    ],
)
def test_changes_need_their_right(who: Caller, act: str, error: Any) -> None:
    inner = FakeRepositoryService()
    got = asked(who, act, inner)
    assert got is None if error is None else type(got) is error
    assert len(inner.asked) == (error is None)


@pytest.mark.parametrize(("who", "names"), [(caller(Operation.INFER), ["a"]), (caller(), []), (ANYBODY, [])])
def test_the_index_has_what_the_caller_sees(who: Caller, names: list[str]) -> None:
    assert [one.name for one in asked(who, "index", FakeRepositoryService())] == names


def test_an_index_that_failed_is_told_of() -> None:
    error = InvalidInput("no")
    assert asked(caller(), "index", FakeRepositoryService(error)) is error


class Later:
    def __init__(self, answer: bool) -> None:
        self.answer = answer

    @hookimpl
    async def authorize(self) -> bool:
        await asyncio.sleep(0)
        return self.answer


@pytest.mark.parametrize(("answer", "error"), [(True, type(None)), (False, ModelNotFound)])
def test_a_plugin_may_take_its_time(answer: bool, error: type) -> None:
    assert type(asked(caller(), "unload", FakeRepositoryService(), Later(answer))) is error
