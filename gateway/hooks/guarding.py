"""One implementation of a hook, and what it may do wrong: raise, hang, block, return rubbish."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Final

from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, PluginFailed
from gateway.hooks.breaker import Breaker
from gateway.hooks.contract import Contract
from gateway.hooks.watch import Hung, Watch

log = logging.getLogger("gateway.plugins")

# The ways to fail; bounded, a metric label. SKIPPED: nobody asked it, because it had failed too often.
RAISED, TIMED_OUT, BLOCKED, GARBAGE, SKIPPED = "raised", "timed_out", "blocked", "garbage", "skipped"

# Told of (plugin, hook, way) for each failure.
OnFailure = Callable[[str, str, str], None]


class Guarded:
    """One plugin at one hook. `call` may give an awaitable, for `settled`; both raise what it refuses with.

    Invariant: whatever it does that is not in the contract is counted, logged once a breaker's opening,
    and seen by the request as PluginFailed only.
    """

    __slots__ = (
        *("_answers", "_breaker", "_clock", "_function", "_on_failure", "_picks", "_watch"),
        *("contract", "plugin"),
    )

    def __init__(
        self,
        plugin: str,
        contract: Contract,
        function: Callable[..., Any],
        picks: tuple[int, ...] | None,
        watch: Watch,
        clock: Clock,
        on_failure: OnFailure,
    ) -> None:
        self.plugin: Final = plugin
        self.contract: Final = contract
        self._answers = contract.answers
        self._function = function
        # Which of the hook's arguments it takes; None where it takes all of them in their order.
        self._picks = picks
        self._watch = watch
        self._clock = clock
        self._on_failure = on_failure
        self._breaker = Breaker()

    def call(self, arguments: tuple[Any, ...]) -> Any:
        """Its answer or an awaitable; raises GatewayError where it refuses, PluginFailed where it fails."""
        if self._breaker.is_open and not self._breaker.permits(self._clock()):
            self._on_failure(self.plugin, self.contract.name, SKIPPED)
            raise PluginFailed(self.plugin, self.contract.name)
        watch, picks = self._watch, self._picks
        if picks is not None:
            arguments = tuple([arguments[index] for index in picks])
        outer = watch.begin()
        try:
            answer = self._function(*arguments)
        except GatewayError:
            self._well()
            raise
        except Hung as hung:
            raise self._failure(BLOCKED, hung) from None
        except Exception as error:  # ruff: ignore[blind-except] - whatever a plugin raises stays the plugin's
            raise self._failure(RAISED, error) from None
        finally:
            watch.running = outer
        if answer is None or isinstance(answer, self._answers):
            if self._breaker.is_open:
                self._well()
            return answer
        if isinstance(answer, Awaitable):
            return answer
        raise self._garbage(answer)

    async def settled(self, answer: Awaitable[Any]) -> Any:
        """What an awaitable of `call` becomes, within the hook's time."""
        result = await self.within(answer)
        if result is None or isinstance(result, self.contract.answers):
            self._well()
            return result
        raise self._garbage(result)

    async def within(self, work: Awaitable[Any]) -> Any:
        """The result of something that is the plugin's, within the hook's time and watched at every step."""
        try:
            async with asyncio.timeout(self.contract.timeout_s):
                return await _Watched(work, self._watch)
        except GatewayError:
            self._well()
            raise
        except TimeoutError as late:
            raise self._failure(TIMED_OUT, late) from None
        except Hung as hung:
            raise self._failure(BLOCKED, hung) from None
        except Exception as error:  # ruff: ignore[blind-except] - whatever a plugin raises stays the plugin's
            raise self._failure(RAISED, error) from None

    def cannot_wait(self, answer: Awaitable[Any]) -> PluginFailed:
        """The failure of having given an awaitable where nothing can be waited for."""
        drop(answer)
        return self._failure(GARBAGE, TypeError("it is async where it must not be"))

    def cannot_be(self, fault: str) -> PluginFailed:
        """The failure of an answer of the right type with something in it that must not be."""
        return self._failure(GARBAGE, TypeError(fault))

    def _well(self) -> None:
        if self._breaker.is_open:
            self._breaker.went_well()
            log.info("plugin '%s' answers again at '%s'", self.plugin, self.contract.name)

    def _garbage(self, answer: object) -> PluginFailed:
        # Its type only: what it is may be a secret, or a megabyte.
        return self._failure(GARBAGE, TypeError(f"it returned a {type(answer).__name__}"))

    def _failure(self, way: str, error: BaseException) -> PluginFailed:
        name = self.contract.name
        self._on_failure(self.plugin, name, way)
        opens = self._breaker.failed(self._clock())
        where = _where(error)
        log.error("plugin '%s' at '%s': %s: %s%s", self.plugin, name, way, type(error).__name__, where)
        if opens:
            log.error("plugin '%s' at '%s' fails too often and is left alone for a while", self.plugin, name)
        return PluginFailed(self.plugin, name)


def drop(work: Awaitable[Any]) -> None:
    """Lets go of what will not be awaited."""
    close = getattr(work, "close", None)
    if close is not None:
        close()


class _Watched:
    """An awaitable whose steps are watched, as each of them runs on the loop like a call."""

    def __init__(self, work: Awaitable[Any], watch: Watch) -> None:
        self._work = work
        self._watch = watch

    def __await__(self) -> Generator[Any, Any, Any]:
        steps: Any = self._work.__await__()
        step: Callable[[], Any] = partial(steps.send, None)
        while True:
            outer = self._watch.begin()
            try:
                awaited = step()
            except StopIteration as end:
                return end.value
            finally:
                self._watch.running = outer
            try:
                step = partial(steps.send, (yield awaited))
            except BaseException as error:  # ruff: ignore[blind-except] - a cancellation, for the plugin to see
                step = partial(steps.throw, error)


def _where(error: BaseException) -> str:
    """The line of the plugin that raised; an exception's text is not told, for it may hold a secret."""
    trace = error.__traceback__
    if isinstance(error, TypeError) and trace is None:
        return f" ({error})"
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    code = trace.tb_frame.f_code
    return f" in {code.co_name}, line {trace.tb_lineno} of {code.co_filename}"
