"""Whether a failed request is sent again, and when: the budget and the back-off. Pure."""

from __future__ import annotations

from typing import NamedTuple

# One retry for five requests, and one a second where there are hardly any: an upstream that is down gets
# at most a fifth more work. The bucket's depth is what may come at once after a quiet time.
RATIO = 0.2
FLOOR_PER_S = 1.0
MOST = 10.0
FIRST_WAIT_S = 0.05
MOST_WAIT_S = 1.0
JITTER = 0.2


class Budget(NamedTuple):
    """A bucket of retries. Invariant: 0 <= `tokens` <= MOST."""

    tokens: float = 3.0
    at: float = 0.0


class Failure(NamedTuple):
    """What is known of a failed attempt: `attempt` counts from 1, `retry_after_s` 0 where nobody said."""

    attempt: int
    is_safe: bool
    retry_after_s: float = 0.0


def earned(budget: Budget, now: float) -> Budget:
    """After one more request: its share, and what has come with the time."""
    tokens = budget.tokens + RATIO + FLOOR_PER_S * max(now - budget.at, 0.0)
    return Budget(min(tokens, MOST), now)


def wait_s(
    failure: Failure, budget: Budget, *, most_retries: int, left_s: float, random: float
) -> float | None:
    """How long to wait before it is sent again, None where it is not; then `spent` is what remains.

    Only what was not run is sent again, never beyond the caller's time, and not before the upstream
    wants it; `random` in 0..1.
    """
    if not failure.is_safe or failure.attempt > most_retries or budget.tokens < 1.0:
        return None
    doubled = min(FIRST_WAIT_S * 2.0 ** (failure.attempt - 1), MOST_WAIT_S)
    wait = max(doubled * (1.0 - JITTER + 2.0 * JITTER * random), failure.retry_after_s)
    # What would come back with no time left to run is not worth the upstream's work.
    return wait if wait < left_s else None


def spent(budget: Budget) -> Budget:
    """After a retry."""
    return budget._replace(tokens=budget.tokens - 1.0)
