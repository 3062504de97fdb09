"""The actor of one upstream: asks it, asks again where that is safe, and keeps asking how it is.

Everything here runs on one event loop, and nothing awaits between the look at the breaker and the
change of it. A request has one deadline for all its attempts: that of its callers, or the configured
time where that is shorter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

from gateway.core.clock import Clock
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, LoadError, TimedOut, Unavailable, UpstreamCounts
from gateway.runtimes.remote import breaker as breakers
from gateway.runtimes.remote import retrying
from gateway.runtimes.remote.breaker import Breaker, Policy, State
from gateway.runtimes.remote.description import complete
from gateway.runtimes.remote.faults import RULES, Fault, Kind, error_of
from gateway.runtimes.remote.retrying import Budget, Failure
from gateway.runtimes.remote.target import Target
from gateway.runtimes.remote.transport import Encoded, Transport

# How long an answer to "how are you" may take.
PROBE_S = 5.0


class Caller:
    """Invariant: `_under_way` requests were begun and have not ended."""

    def __init__(
        self, target: Target, transport: Transport, clock: Clock, random: Random, refresh: Callable[[], None]
    ) -> None:
        self._target = target
        self._transport = transport
        self._clock = clock
        self._random = random
        self._refresh = refresh  # reads anew what may have changed since, such as the token
        self._policy = Policy(target.failures_to_open, target.open_s)
        self._breaker = Breaker()
        self._budget = Budget(at=clock())
        self._changed: Callable[[str], None] = _nobody
        self._due = asyncio.Event()
        self._under_way = 0
        self._requests = self._retries = self._refused = self._trips = 0

    def watch(self, changed: Callable[[str], None]) -> None:
        """From now on `changed` is told why the upstream cannot be asked, "" once it can."""
        self._changed = changed
        if trouble := breakers.trouble_of(self._breaker):
            changed(trouble)

    def counts(self) -> UpstreamCounts:
        """What was counted so far; any thread may call it."""
        state = self._breaker.state.value
        return UpstreamCounts(state, self._requests, self._retries, self._refused, self._trips)

    def check(self) -> None:
        """Asserts the invariants; for tests."""
        assert self._under_way >= 0
        assert 0.0 <= self._budget.tokens <= retrying.MOST
        assert self._breaker.state is State.HALF_OPEN or self._breaker.trials == 0

    # ---- requests -------------------------------------------------------------------------------

    async def run(self, encoded: Encoded, wanted: Sequence[TensorSpec], timeout_s: float) -> list[Array]:
        """The wanted outputs; raises BadInput, Unavailable, TimedOut or UpstreamFailed, of contract."""
        self._requests += 1
        self._budget = retrying.earned(self._budget, self._clock())
        # A caller who gives it less time than is configured says nothing of it with a time-out.
        is_patient = timeout_s >= self._target.timeout_s
        deadline = self._clock() + min(timeout_s, self._target.timeout_s)
        attempt = 1
        while True:
            try:
                return await self._attempt(encoded, wanted, deadline, is_patient=is_patient)
            except Fault as fault:
                wait_s = self._wait_s(fault, attempt, deadline)
                if wait_s is None:
                    raise error_of(fault) from None
            self._budget = retrying.spent(self._budget)
            self._retries += 1
            attempt += 1
            await asyncio.sleep(wait_s)

    async def _attempt(
        self, encoded: Encoded, wanted: Sequence[TensorSpec], deadline: float, *, is_patient: bool
    ) -> list[Array]:
        now = self._clock()
        if (wait_s := breakers.refusal(self._breaker, now)) is not None:
            self._refused += 1
            reason = breakers.trouble_of(self._breaker) or "it is being tried after a failure"
            raise Unavailable(f"the upstream does not answer: {reason}", wait_s)
        if now >= deadline:
            raise TimedOut("the time was over before the upstream was asked")
        self._breaker = breakers.begun(self._breaker)
        self._under_way += 1
        try:
            arrays = await self._transport.send(encoded, wanted, deadline - now)
        except Fault as fault:
            self._take(fault, is_patient=is_patient)
            raise
        except BaseException:
            self._set(breakers.ended(self._breaker))
            raise
        else:
            self._set(breakers.answered(self._breaker))
            return arrays
        finally:
            self._under_way -= 1

    def _take(self, fault: Fault, *, is_patient: bool) -> None:
        if fault.kind is Kind.TIMED_OUT and not is_patient:
            self._set(breakers.ended(self._breaker))
        elif RULES[fault.kind].counts:
            now, random = self._clock(), self._random.random()
            self._set(breakers.failed(self._breaker, now, self._policy, fault.text, random))
        else:
            self._set(breakers.answered(self._breaker))

    def _wait_s(self, fault: Fault, attempt: int, deadline: float) -> float | None:
        failure = Failure(attempt, RULES[fault.kind].is_safe, fault.retry_after_s)
        return retrying.wait_s(
            failure,
            self._budget,
            most_retries=self._target.retries,
            left_s=deadline - self._clock(),
            random=self._random.random(),
        )

    def _set(self, breaker: Breaker) -> None:
        before, self._breaker = self._breaker, breaker
        if (trouble := breakers.trouble_of(breaker)) != breakers.trouble_of(before):
            self._changed(trouble)
        if breaker.state is State.OPEN and breaker.until != before.until:
            self._trips += 1
            self._due.set()  # the next question is at another time now

    # ---- how it is ------------------------------------------------------------------------------

    async def keep_asking(self, spec: ModelSpec) -> None:
        """Asks the upstream how it is, until cancelled; once it is back, whether it still fits `spec`."""
        while True:
            await self._wait_until_due()
            trouble = await self._ask(spec)
            now, random = self._clock(), self._random.random()
            self._set(breakers.probed(self._breaker, now, self._policy, trouble, random))

    async def _wait_until_due(self) -> None:
        while True:
            breaker = self._breaker
            is_open = breaker.state is State.OPEN
            wait_s = breaker.until - self._clock() if is_open else self._target.probe_interval_s
            self._due.clear()
            try:
                async with asyncio.timeout(max(wait_s, 0.0)):
                    await self._due.wait()
            except TimeoutError:
                return

    async def _ask(self, spec: ModelSpec) -> str:
        """Why the upstream cannot be asked; "" where it can."""
        with suppress(LoadError):  # what was good stays in use
            self._refresh()
        try:
            await self._transport.check_ready(PROBE_S)
            if self._breaker.state is State.OPEN:
                complete(spec, await self._transport.describe(PROBE_S), max_batch_known=True)
        except Fault as fault:
            return fault.text
        except LoadError as error:
            return f"it is not what it was: {error}"
        return ""


def _nobody(trouble: str) -> None:
    """Nobody watches yet."""
