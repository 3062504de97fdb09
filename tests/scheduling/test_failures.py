from __future__ import annotations

from math import inf

import pytest

from gateway.core.errors import GatewayError, Overloaded, Reason
from gateway.scheduling.failures import error_of, expire, fail_all
from gateway.scheduling.pending import Pending
from gateway.workers.frames import Failure
from tests.fakes.specs import row_request


def pending(told: list[object], deadline: float = inf) -> Pending:
    return Pending(row_request(1.0), told.append, lambda *_: None, 0.0, deadline)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (Failure.BAD_INPUT, Reason.INVALID_INPUT),
        (Failure.NO_MEMORY, Reason.OVERLOADED),
        (Failure.MODEL_FAILED, Reason.MODEL_FAILED),
        (Failure.UPSTREAM_FAILED, Reason.MODEL_FAILED),
        (Failure.UNAVAILABLE, Reason.OVERLOADED),
        (Failure.TIMED_OUT, Reason.DEADLINE_EXCEEDED),
    ],
)
def test_a_failure_has_a_reason(failure: Failure, reason: Reason) -> None:
    error = error_of(failure, "why")
    assert (error.reason, error.text) == (reason, "why")


def test_one_cause_for_all() -> None:
    told: list[object] = []
    members = [pending(told), pending(told)]
    members[0].in_batch = True
    cause = Overloaded("gone")
    fail_all(members, cause)
    assert told == [cause, cause]
    assert not members[0].in_batch


def test_only_the_late_expire() -> None:
    told: list[object] = []
    late, fine, gone = pending(told, 5.0), pending(told, 5.1), pending(told, 1.0)
    gone.cancel()
    expire([late, fine, gone], 5.0)
    assert [error.reason for error in told if isinstance(error, GatewayError)] == [Reason.DEADLINE_EXCEEDED]
    assert fine.is_open
