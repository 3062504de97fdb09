from __future__ import annotations

from math import inf

import pytest

from gateway.core.model import BatchPolicy, QueuePolicy
from gateway.scheduling.queue_policy import deadline_of, has_levels, level_of, longest_wait_s, queue_of
from tests.fakes.specs import row_request

THREE = BatchPolicy(
    priority_levels=3,
    default_priority_level=2,
    queue_policy=QueuePolicy(max_queue_size=5),
    priority_policies=((1, QueuePolicy(default_timeout_s=1.0, allow_timeout_override=True)),),
)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (BatchPolicy(), False),
        (BatchPolicy(priority_levels=1, default_priority_level=1), False),
        (BatchPolicy(queue_policy=QueuePolicy("delay", allow_timeout_override=True)), False),
        (BatchPolicy(preserve_ordering=True), False),
        (BatchPolicy(priority_levels=2, default_priority_level=1), True),
        (BatchPolicy(queue_policy=QueuePolicy(max_queue_size=1)), True),
        (
            BatchPolicy(
                priority_levels=1,
                default_priority_level=1,
                priority_policies=((1, QueuePolicy(default_timeout_s=0.1)),),
            ),
            True,
        ),
    ],
)
def test_who_needs_levels(policy: BatchPolicy, expected: bool) -> None:
    assert has_levels(policy) is expected


@pytest.mark.parametrize(("priority", "level"), [(0, 2), (1, 1), (2, 2), (3, 3), (4, 2), (2**64 - 1, 2)])
def test_a_priority_beyond_the_levels_is_the_default(priority: int, level: int) -> None:
    assert level_of(THREE, priority) == level
    assert level_of(BatchPolicy(), priority) == 0


def test_a_level_without_a_policy_of_its_own_has_the_default() -> None:
    assert queue_of(THREE, 1).default_timeout_s == 1.0
    assert queue_of(THREE, 3) is THREE.queue_policy


@pytest.mark.parametrize(
    ("default_s", "is_allowed", "asked_s", "expected"),
    [
        (0.0, True, 0.5, inf),
        (0.0, False, inf, inf),
        (1.0, False, 0.5, 1.0),
        (1.0, True, 0.5, 0.5),
        (1.0, True, 1.5, 1.0),
        (1.0, True, inf, 1.0),
    ],
)
def test_a_timeout_counts_where_it_is_allowed_and_smaller(
    default_s: float, is_allowed: bool, asked_s: float, expected: float
) -> None:
    queue = QueuePolicy(default_timeout_s=default_s, allow_timeout_override=is_allowed)
    assert longest_wait_s(queue, asked_s) == expected


@pytest.mark.parametrize(
    ("policy", "priority", "expected"),
    [(BatchPolicy(), 0, 100.5), (THREE, 0, 100.5), (THREE, 1, 160.0)],
)
def test_a_timeout_is_a_deadline_where_no_policy_has_one(
    policy: BatchPolicy, priority: int, expected: float
) -> None:
    request = row_request(1.0, timeout_at=100.5, priority=priority)
    assert deadline_of(policy, request, 160.0) == expected
    assert deadline_of(policy, request, 100.1) == 100.1, "it never moves the caller's own deadline back"
