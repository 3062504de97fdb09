"""Settings that change while the gateway runs: taken here first, then told to every front."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.control.messages import SetPlugin
from gateway.core.errors import InvalidInput, ModelNotFound
from gateway.hooks.manager import Loaded
from gateway.lifecycle.live_plugins import MAX_DOCUMENT_BYTES, LivePlugins


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


def made() -> tuple[LivePlugins, Fronts]:
    fronts = Fronts()
    loaded = [Loaded("fixed", object(), ("admit",)), Loaded("live", Changes(), ("route",))]
    return LivePlugins(loaded, fronts.for_each), fronts


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
