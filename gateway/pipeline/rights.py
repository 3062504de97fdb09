"""The one authoriser: whether a caller may do an operation with a model, whatever protocol asks.

Plugins are asked first; where all decline, the principal's grants decide; what nobody grants is refused. A
model with which a principal may do nothing does not exist for it: it is told what it is told of a name that
nobody has ever used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.core.caller import Caller, Operation, Principal
from gateway.core.errors import Forbidden, GatewayError, Unauthenticated
from gateway.hooks.calling import Hook
from gateway.hooks.tasks import Tasks
from gateway.pipeline.pipeline import not_found

T = TypeVar("T")


class Rights:
    """`authorize` is the hook, None where no plugin implements it."""

    def __init__(self, authorize: Hook | None = None) -> None:
        self._ask = None if authorize is None else authorize.first

    def check(
        self, caller: Caller, operation: Operation, model: str = "", version: int | str = 0
    ) -> Awaitable[None] | None:
        """None where it may, or an awaitable of that; raises Unauthenticated, Forbidden or ModelNotFound.

        `model` "" is the gateway as a whole. What is awaited raises the same.
        """
        principal = caller.principal
        if principal is None:
            raise nobody()
        if self._ask is None and principal.is_granted(operation, model):
            return None
        answer = None if self._ask is None else self._ask(principal, operation, model)
        if answer is None or isinstance(answer, bool):
            self._decide(answer, principal, operation, model, version)
            return None
        return self._check_later(answer, principal, operation, model, version)

    async def _check_later(
        self,
        answer: Awaitable[bool | None],
        principal: Principal,
        operation: Operation,
        model: str,
        version: int | str,
    ) -> None:
        self._decide(await answer, principal, operation, model, version)

    @staticmethod
    def _decide(
        answer: bool | None, principal: Principal, operation: Operation, model: str, version: int | str
    ) -> None:
        if principal.is_granted(operation, model) if answer is None else answer:
            return
        raise refusal(principal, operation, model, version)

    def sees(self, caller: Caller, model: str) -> bool | Awaitable[bool]:
        """Whether it may do anything with the model, as far as grants tell, or infer, as plugins do."""
        if caller.principal is None:
            return False
        if caller.principal.sees(model):
            return True
        if self._ask is None:
            return False
        answer = self._ask(caller.principal, Operation.INFER, model)
        if answer is None or isinstance(answer, bool):
            return bool(answer)
        return _as_bool(answer)


def go_on_if(
    check: Callable[[], Awaitable[None] | None],
    go_on: Callable[[], T],
    refused: Callable[[GatewayError], object],
    tasks: Tasks,
) -> T | None:
    """Goes on where `check` raises nothing: now, and gives what that gives, or after its awaitable."""
    try:
        waiting = check()
    except GatewayError as error:
        refused(error)
        return None
    if waiting is None:
        return go_on()
    tasks.begin(_go_on_later(waiting, go_on, refused), "authorize")
    return None


async def _go_on_later(
    waiting: Awaitable[None], go_on: Callable[[], object], refused: Callable[[GatewayError], object]
) -> None:
    try:
        await waiting
        go_on()
    except GatewayError as error:
        refused(error)


async def _as_bool(answer: Awaitable[bool | None]) -> bool:
    return bool(await answer)


def nobody() -> Unauthenticated:
    """What is said to a caller whom no plugin knows."""
    return Unauthenticated("credentials are needed: none were given, or none that are known here")


def refusal(principal: Principal, operation: Operation, model: str, version: int | str = 0) -> GatewayError:
    """Why the principal may not, in words that tell nothing it could not know."""
    if not model:
        return Forbidden(f"'{principal.id}' has no right '{operation.value}'")
    if operation is Operation.PREVIEW and principal.is_granted(Operation.INFER, model):
        return not_found(model, version)
    if principal.sees(model):
        return Forbidden(f"'{principal.id}' has no right '{operation.value}' for model '{model}'")
    return not_found(model, version)
