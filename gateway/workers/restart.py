"""When a dead process is started again, and when that is no longer tried. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gateway.workers.settings import WorkerSettings

# Half-width of the random spread around every wait, so that what died together does not return together.
JITTER = 0.2


class RestartPolicy(NamedTuple):
    """`limit` deaths within `window_s` quarantine for `quarantine_s`; before that waits double to `cap_s`."""

    backoff_s: float = 0.5
    cap_s: float = 30.0
    limit: int = 5
    window_s: float = 600.0
    quarantine_s: float = 60.0


class Restart(NamedTuple):
    """Start it again after `delay_s`."""

    delay_s: float


class Quarantine(NamedTuple):
    """Do not start it again before `retry_in_s` are over."""

    retry_in_s: float


def policy_of(settings: WorkerSettings) -> RestartPolicy:
    """The numbers an operator has set."""
    return RestartPolicy(
        settings.restart_backoff_s,
        settings.restart_backoff_cap_s,
        settings.crash_limit,
        settings.crash_window_s,
        settings.quarantine_s,
    )


def backoff(failures: int, policy: RestartPolicy, random: float) -> float:
    """Seconds to wait after `failures` deaths in a row: none after the first, then 0.5, 1, 2 ... cap_s.

    `random` in [0, 1) spreads it by ±20 %. The first restart does not wait, because a process that
    has served for long and is killed once must be back within a second.
    """
    if failures <= 1:
        return 0.0
    # 2**16 times any permitted backoff is above any permitted cap; larger powers would overflow.
    wait_s = min(policy.cap_s, policy.backoff_s * 2.0 ** min(failures - 2, 16))
    return wait_s * (1.0 - JITTER + 2.0 * JITTER * random)


def recent(deaths: tuple[float, ...], now: float, window_s: float) -> tuple[float, ...]:
    """The times of death that still count."""
    return tuple(at for at in deaths if now - at < window_s)


def after_death(
    deaths: tuple[float, ...], now: float, policy: RestartPolicy, random: float
) -> Restart | Quarantine:
    """What follows the last of `deaths` (ascending times, the one just seen included).

    Deaths outlive a quarantine: a version tried again afterwards that dies once more is quarantined
    at once, until the window has passed.
    """
    counted = recent(deaths, now, policy.window_s)
    if len(counted) >= policy.limit:
        return Quarantine(policy.quarantine_s)
    return Restart(backoff(len(counted), policy, random))
