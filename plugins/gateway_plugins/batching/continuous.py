"""Continuous batching: rows enter and leave at every step, so a short request never waits for a long one.

For models that run step by step; the contract is gateway.core.step_batching. Admission is strictly in order:
the first that does not fit, by its rows or by what it can share a batch with, is waited for. Letting others
past it would fill a step better, and starve it for as long as small ones come.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.batching import Policy, Queued
from gateway.core.step_batching import Running, Stepped, begun, goes_on


def step_batch(now: float, running: Sequence[Running], queued: Sequence[Queued], policy: Policy) -> Stepped:
    """Those who are not done, and of those who wait as many as there is room for."""
    staying = tuple(one for one in running if goes_on(one, now))
    room = policy.max_rows - sum(one.rows for one in staying)
    compat = next((one.compat for one in (*staying, *map(begun, queued[:1]))), ())
    admitted: list[Queued] = []
    for one in queued:
        room -= one.rows
        if room < 0 or one.compat != compat:
            break
        admitted.append(one)
    return Stepped(staying, tuple(admitted))
