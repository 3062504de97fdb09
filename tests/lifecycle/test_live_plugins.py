"""Settings that change while the gateway runs: taken here first, then told to every front."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import pytest

from gateway.control.messages import SetPlugin
from gateway.core.admin import AdminAnswer, AdminRequest
from gateway.core.errors import Conflict, InvalidInput, ModelNotFound
from gateway.hooks import hookimpl
from gateway.hooks.contract import Process
from gateway.hooks.manager import NO_HOOKS, Hooks, Loaded
from gateway.lifecycle.live_plugins import MAX_DOCUMENT_BYTES, LivePlugins
from tests.fakes.plugins import hooks


class Changes:
    def __init__(self) -> None:
        self.now: dict[str, Any] = {"a": 1}

    def document(self) -> dict[str, Any]:
        return self.now

    def tag(self) -> str:
        return str(self.now)

    def replace(self, document: dict[str, Any]) -> None:
        if "a" not in document:
            raise ValueError("a: is missing")
        self.now = document


class Fronts:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def send(self, message: Any, fds: tuple[int, ...]) -> None:
        self.told.append(message)

    def for_each(self, tell: Any) -> None:
        for _ in range(2):
            tell(self.send)


class InUse(NamedTuple):
    loaded: list[Loaded]
    hooks: Hooks


def made() -> tuple[LivePlugins, Fronts]:
    fronts = Fronts()
    loaded = [Loaded("fixed", object(), ("admit",)), Loaded("live", Changes(), ("route",))]
    return LivePlugins(InUse(loaded, NO_HOOKS), fronts.for_each), fronts


def test_a_change_reaches_all_fronts_and_those_to_come() -> None:
    live, fronts = made()
    live.greet(fronts.send)
    assert fronts.told == []
    assert live.change("live", {"a": 2}) == str({"a": 2})
    message = SetPlugin("live", json.dumps({"a": 2}))
    assert fronts.told == [message, message]
    live.greet(fronts.send)
    assert fronts.told == [message] * 3
    assert live.document("live") == ({"a": 2}, str({"a": 2}))


@pytest.mark.parametrize(
    ("document", "text"), [({}, "plugin 'live': a: is missing"), ({"a": "x" * MAX_DOCUMENT_BYTES}, "bytes")]
)
def test_what_is_not_taken_is_told_to_nobody(document: dict[str, Any], text: str) -> None:
    live, fronts = made()
    with pytest.raises(InvalidInput, match=text):
        live.change("live", document)
    assert fronts.told == []
    assert live.document("live")[0] == {"a": 1}


@pytest.mark.parametrize("name", ["fixed", "absent"])
def test_others_cannot_be_changed(name: str) -> None:
    with pytest.raises(ModelNotFound, match=f"no plugin '{name}'"):
        made()[0].change(name, {"a": 1})


def test_all_of_them_are_told_of() -> None:
    assert made()[0].overview() == [
        {"name": "fixed", "hooks": ["admit"], "changeable": False},
        {"name": "live", "hooks": ["route"], "changeable": True},
    ]


class Answers:
    def __init__(self, document: Any) -> None:
        self.document = document

    @hookimpl
    async def administer(self, request: AdminRequest) -> AdminAnswer | None:
        if isinstance(self.document, Exception):
            raise self.document
        return None if self.document is None else AdminAnswer(self.document)


class Silent(Answers): ...


class Refuses(Answers): ...


def test_the_plugin_that_is_named_is_asked_and_no_other() -> None:
    plugins = (Answers("a"), Silent(None), Refuses(Conflict("no")))
    live = LivePlugins(InUse([], hooks(*plugins, process=Process.CONTROLLER)), Fronts().for_each)
    request = AdminRequest("GET", "keys", {}, None, "token")
    assert asyncio.run(live.ask("answers", request)) == AdminAnswer("a")
    with pytest.raises(Conflict):
        asyncio.run(live.ask("refuses", request))
    for name in ("silent", "other"):
        with pytest.raises(ModelNotFound):
            asyncio.run(live.ask(name, request))
    with pytest.raises(ModelNotFound):
        asyncio.run(made()[0].ask("live", request))
