"""The one authoriser: default deny, plugins first, and what is hidden looks unknown."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from gateway.core.caller import ANYBODY, Caller, Grant, Operation, Principal
from gateway.core.errors import Forbidden, GatewayError, ModelNotFound, PluginFailed, Unauthenticated
from gateway.hooks import hookimpl
from gateway.pipeline.pipeline import not_found
from gateway.pipeline.rights import Rights
from tests.fakes.plugins import hooks

INFER, LOAD, PREVIEW, ADMIN = Operation.INFER, Operation.LOAD, Operation.PREVIEW, Operation.ADMIN


def caller(*operations: Operation, models: tuple[str, ...] = ("fraud",)) -> Caller:
    return Caller(Principal("anna", "shop", (Grant(frozenset(operations), models),)))


@pytest.mark.parametrize(
    ("who", "operation", "model", "error"),
    [
        (ANYBODY, INFER, "fraud", Unauthenticated),
        (caller(), INFER, "fraud", ModelNotFound),
        (caller(INFER), INFER, "fraud", None),
        (caller(INFER), INFER, "other", ModelNotFound),
        (caller(INFER), LOAD, "fraud", Forbidden),
        (caller(INFER), PREVIEW, "fraud", ModelNotFound),
        (caller(PREVIEW), PREVIEW, "fraud", None),
        (caller(LOAD), INFER, "fraud", Forbidden),
        (caller(INFER), ADMIN, "", Forbidden),
        (caller(ADMIN, models=("*",)), ADMIN, "", None),
        (caller(ADMIN), ADMIN, "", Forbidden),  # the right for one model is none for the gateway
    ],
)
def test_default_deny(
    who: Caller, operation: Operation, model: str, error: type[GatewayError] | None
) -> None:
    rights = Rights()
    if error is None:
        assert rights.check(who, operation, model) is None
    else:
        with pytest.raises(error):
            rights.check(who, operation, model)


@pytest.mark.parametrize("version", [0, 7, "canary"])
def test_a_hidden_model_is_told_of_as_one_that_does_not_exist(version: int | str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        Rights().check(caller(INFER), INFER, "secret", version)
    assert caught.value.text == not_found("secret", version).text


class Says:
    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    @hookimpl
    def authorize(self, principal: Principal, operation: Operation, model: str) -> Any:
        self.asked.append((principal.id, operation, model))
        return self.answer


class SaysLater(Says):
    @hookimpl
    async def authorize(self, principal: Principal, operation: Operation, model: str) -> Any:
        await asyncio.sleep(0)
        return super().authorize(principal, operation, model)


async def checked(rights: Rights, who: Caller, operation: Operation, model: str) -> None:
    waiting = rights.check(who, operation, model)
    if waiting is not None:
        await waiting


@pytest.mark.parametrize("kind", [Says, SaysLater])
@pytest.mark.parametrize(
    ("answer", "who", "error"),
    [
        (True, caller(), None),
        (False, caller(INFER), Forbidden),
        (False, caller(), ModelNotFound),
        (None, caller(INFER), None),
        (None, caller(), ModelNotFound),
        ("yes", caller(INFER), PluginFailed),
    ],
)
def test_a_plugin_decides_before_the_grants(
    kind: type[Says], answer: Any, who: Caller, error: type[GatewayError] | None
) -> None:
    rights = Rights(hooks(kind(answer)).get("authorize"))
    if error is None:
        asyncio.run(checked(rights, who, INFER, "fraud"))
    else:
        with pytest.raises(error):
            asyncio.run(checked(rights, who, INFER, "fraud"))


async def seen(rights: Rights, who: Caller, model: str) -> bool:
    sees = rights.sees(who, model)
    return await sees if inspect.isawaitable(sees) else sees


@pytest.mark.parametrize(
    ("plugin", "who", "model", "expected"),
    [
        (None, ANYBODY, "fraud", False),
        (None, caller(LOAD), "fraud", True),
        (None, caller(LOAD), "other", False),
        (Says(True), caller(), "other", True),
        (Says(None), caller(), "other", False),
        (SaysLater(True), caller(), "other", True),
        (SaysLater(False), caller(), "other", False),
    ],
)
def test_who_sees_what(plugin: object, who: Caller, model: str, expected: bool) -> None:
    rights = Rights(None if plugin is None else hooks(plugin).get("authorize"))
    assert asyncio.run(seen(rights, who, model)) is expected
