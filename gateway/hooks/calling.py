"""The modes of hooks: what the implementations of one hook make together, sync and async alike.

DESIGN: pluggy finds, orders and checks the implementations and is not asked to run them: it would collect
coroutines instead of results. Each mode here is a plain function that gives its outcome at once where no
implementation is async, and an awaitable of it from the first async one on: a hot path without async
plugins has no coroutine in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Final

from gateway.core.errors import GatewayError, PluginFailed
from gateway.hooks.contract import Contract, Fails
from gateway.hooks.guarding import Guarded, drop
from gateway.hooks.values import Release

# What `first_now` gives in place of an answer that is not there yet.
LATER: Final = object()


class Hook:
    """All implementations of one hook in the order of their calls; never empty."""

    __slots__ = ("_answers", "_closed", "contract", "members")

    def __init__(self, contract: Contract, members: Sequence[Guarded]) -> None:
        self.contract: Final = contract
        self.members: Final = tuple(members)
        self._answers = contract.answers
        self._closed = contract.fails is Fails.CLOSED

    # ---- [first] --------------------------------------------------------------------------------

    def first(self, *arguments: Any) -> Any:
        """The first answer that is not None, or an awaitable of it; None where nobody answers."""
        for index, member in enumerate(self.members):
            answer = self._called(member, arguments)
            if answer is not None:
                return self._first_later(answer, index, arguments) if self._is_awaitable(answer) else answer
        return None

    def first_now(self, *arguments: Any) -> Any:
        """As `first`, but LATER where that would have to be waited for."""
        for member in self.members:
            answer = self._called(member, arguments)
            if self._is_awaitable(answer):
                drop(answer)
                return LATER
            if answer is not None:
                return answer
        return None

    async def _first_later(self, answer: Awaitable[Any], index: int, arguments: tuple[Any, ...]) -> Any:
        if (result := await self._settled(self.members[index], answer)) is not None:
            return result
        for number in range(index + 1, len(self.members)):
            if (result := await self.asked(self.members[number], arguments)) is not None:
                return result
        return None

    async def first_of(self, plugin: str, *arguments: Any) -> Any:
        """As `first`, of the members that are that plugin's."""
        for member in self.members:
            if member.plugin == plugin:
                answer = await self.asked(member, arguments)
                if answer is not None:
                    return answer
        return None

    # ---- [chain] --------------------------------------------------------------------------------

    def chain(self, value: Any, *others: Any) -> Any:
        """`value` as the implementations leave it, or an awaitable of that."""
        for index, member in enumerate(self.members):
            answer = self._called(member, (value, *others))
            if self._is_awaitable(answer):
                return self._chain_later(answer, index, value, others)
            if answer is not None:
                value = answer
        return value

    def chain_now(self, value: Any, *others: Any) -> Any:
        """As `chain`, where nobody can wait: an implementation that is async fails."""
        for member in self.members:
            answer = self._called(member, (value, *others))
            if self._is_awaitable(answer):
                failure = member.cannot_wait(answer)
                if self._closed:
                    raise failure
            elif answer is not None:
                value = answer
        return value

    async def _chain_later(
        self, answer: Awaitable[Any], index: int, value: Any, others: tuple[Any, ...]
    ) -> Any:
        if (result := await self._settled(self.members[index], answer)) is not None:
            value = result
        for number in range(index + 1, len(self.members)):
            if (result := await self.asked(self.members[number], (value, *others))) is not None:
                value = result
        return value

    # ---- [gate] ---------------------------------------------------------------------------------

    def gate(self, releases: list[Release], *arguments: Any) -> Awaitable[None] | None:
        """Asks all, or gives an awaitable of having asked; raises what the first to refuse raises.

        Adds to `releases` what is to be called at the end, also where a later one refuses.
        """
        for index, member in enumerate(self.members):
            answer = self._called(member, arguments)
            if self._is_awaitable(answer):
                return self._gate_later(answer, index, releases, arguments)
            if answer is not None:
                releases.append(answer)
        return None

    async def _gate_later(
        self, answer: Awaitable[Any], index: int, releases: list[Release], arguments: tuple[Any, ...]
    ) -> None:
        if (result := await self._settled(self.members[index], answer)) is not None:
            releases.append(result)
        for number in range(index + 1, len(self.members)):
            if (result := await self.asked(self.members[number], arguments)) is not None:
                releases.append(result)

    # ---- [around] -------------------------------------------------------------------------------

    def around(self, *arguments: Any) -> Around:
        """To be entered: enters what they return, the first outermost; leaves it in the opposite order."""
        return Around(self, arguments)

    # ---- [notify] -------------------------------------------------------------------------------

    def notify(self, later: Callable[[Awaitable[Any]], None], *arguments: Any) -> None:
        """Tells all; async ones are handed to `later`. Never fails."""
        for member in self.members:
            try:
                answer = member.call(arguments)
            except Exception:  # ruff: ignore[blind-except] - counted and logged by the guard
                continue
            if answer is not None:
                later(Told(member, answer))

    # ---- [collect] ------------------------------------------------------------------------------

    def collect(self, fault_of: Callable[[Any], str]) -> list[tuple[str, Any]]:
        """What each gives, with its plugin's name; left out is whoever fails or has a fault. Never fails."""
        found: list[tuple[str, Any]] = []
        for member in self.members:
            try:
                answer = member.call(())
            except Exception:  # ruff: ignore[blind-except] - counted and logged by the guard
                continue
            if self._is_awaitable(answer):
                member.cannot_wait(answer)
            elif answer is not None:
                fault = fault_of(answer)
                if fault:
                    member.cannot_be(fault)
                else:
                    found.append((member.plugin, answer))
        return found

    # ---- all ------------------------------------------------------------------------------------

    async def asked(self, member: Guarded, arguments: tuple[Any, ...]) -> Any:
        """One member's settled answer; None where it failed and that is no reason to stop."""
        answer = self._called(member, arguments)
        return await self._settled(member, answer) if self._is_awaitable(answer) else answer

    def _called(self, member: Guarded, arguments: tuple[Any, ...]) -> Any:
        """One member's answer or an awaitable; None where it failed and that is no reason to stop."""
        try:
            return member.call(arguments)
        except PluginFailed:
            if self._closed:
                raise
            return None

    async def _settled(self, member: Guarded, answer: Awaitable[Any]) -> Any:
        """What an awaitable becomes; None where the member failed and that is no reason to stop."""
        try:
            return await member.settled(answer)
        except PluginFailed:
            if self._closed:
                raise
            return None

    def _is_awaitable(self, answer: Any) -> bool:
        return answer is not None and not isinstance(answer, self._answers)


class Told:
    """The rest of telling one member, to be awaited or closed; never fails."""

    __slots__ = ("_answer", "_member")

    def __init__(self, member: Guarded, answer: Awaitable[Any]) -> None:
        self._member = member
        self._answer = answer

    def __await__(self) -> Generator[Any, Any, None]:
        return self._settle().__await__()

    def close(self) -> None:
        """It is not told after all."""
        drop(self._answer)

    async def _settle(self) -> None:
        try:
            await self._member.settled(self._answer)
        except Exception:  # ruff: ignore[blind-except] - counted and logged by the guard
            return


class Around:
    """What the members of a hook return, as one context manager."""

    def __init__(self, hook: Hook, arguments: tuple[Any, ...]) -> None:
        self._hook = hook
        self._arguments = arguments
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> None:
        try:
            for member in self._hook.members:
                if (manager := await self._hook.asked(member, self._arguments)) is not None:
                    await self._stack.enter_async_context(_Within(member, manager))
        except BaseException as error:
            await self._stack.__aexit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(self, *how: Any) -> None:
        await self._stack.__aexit__(*how)


class _Within:
    """A plugin's context manager whose two ends are guarded, and which swallows nothing."""

    def __init__(self, member: Guarded, manager: AbstractAsyncContextManager[Any]) -> None:
        self._member = member
        self._manager = manager

    async def __aenter__(self) -> None:
        await self._member.within(self._manager.__aenter__())

    async def __aexit__(self, *how: Any) -> None:
        error = how[1]
        try:
            await self._member.within(self._manager.__aexit__(*how))
        except GatewayError as raised:
            if raised is not error:
                raise
