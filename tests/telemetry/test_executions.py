from __future__ import annotations

import msgspec
import pytest

from gateway.telemetry.executions import (
    CANCEL,
    EMPTY,
    FAIL,
    MAX_RESPONSES,
    SIZES_A_PART,
    SUCCESS,
    Executions,
)
from gateway.telemetry.series import BatchSums, ExecutionSeries, ResponseSums
from tests.fakes.loop import FakeClock

TIMINGS = (10, 500, 7)


def make(clock: FakeClock | None = None) -> Executions:
    return Executions("m", 1, clock or FakeClock())


def test_a_batch_is_counted_once_by_its_rows() -> None:
    clock = FakeClock()
    counting = make(clock)
    assert not counting.is_changed
    counting.ran(4, 1, TIMINGS)
    clock.now += 1
    counting.ran(4, 1, TIMINGS)
    counting.ran(1, 1, TIMINGS)
    assert counting.is_changed
    (part,) = counting.parts()
    assert part == ExecutionSeries(
        "m", 1, {1: BatchSums(1, *TIMINGS), 4: BatchSums(2, 20, 1000, 14)}, 0, 0, 0, 0, clock.now
    )
    assert not counting.is_changed


@pytest.mark.parametrize(
    ("requests", "gone", "shared"), [(1, 0, 0), (1, 1, -1), (5, 0, 4), (5, 2, 2), (5, 5, -1)]
)
def test_durations_count_once_for_each_request_that_was_answered(
    requests: int, gone: int, shared: int
) -> None:
    counting = make()
    counting.ran(requests * 2, requests, TIMINGS)
    for _ in range(gone):
        counting.dropped(2, TIMINGS)
    (part,) = counting.parts()
    assert (part.shared_input_ns, part.shared_infer_ns, part.shared_output_ns) == tuple(
        shared * one for one in TIMINGS
    )
    assert part.dropped_rows == gone * 2


def test_many_sizes_travel_in_parts_and_come_together() -> None:
    counting = make()
    for size in range(1, 2 * SIZES_A_PART + 2):
        counting.ran(size, 1, TIMINGS)
    parts = counting.parts()
    assert [len(part.batches) for part in parts] == [SIZES_A_PART, SIZES_A_PART, 1]
    assert all(len(msgspec.msgpack.encode(part)) < 64 << 10 for part in parts)
    whole = parts[0]
    for part in parts[1:]:
        whole.take(part)
    assert sum(sums.count for sums in whole.batches.values()) == 2 * SIZES_A_PART + 1


def test_answers_are_counted_by_their_place_and_the_last_place_is_all_that_follow() -> None:
    counting = make()
    counting.response(0, SUCCESS, 10)
    counting.response(0, SUCCESS, 20)
    counting.response(1, EMPTY, 5)
    for index in (MAX_RESPONSES - 1, MAX_RESPONSES, 10**9):
        counting.response(index, FAIL, 1)
    counting.response(2, CANCEL, 7)
    assert counting.is_changed
    batches, responses = counting.parts()
    assert (batches.responses, responses.batches) == ({}, {})
    assert responses.responses == {
        0: ResponseSums(2, 30),
        1: ResponseSums(empties=1, empty_ns=5),
        2: ResponseSums(cancels=1, cancel_ns=7),
        MAX_RESPONSES - 1: ResponseSums(failures=3, failure_ns=3),
    }


def test_answers_fit_a_packet_and_are_added_up() -> None:
    counting = make()
    for index in range(MAX_RESPONSES):
        counting.response(index, SUCCESS, 1 << 62)
    *_, part = counting.parts()
    assert part.weight <= SIZES_A_PART
    assert len(msgspec.msgpack.encode(part)) < 64 << 10
    whole = ExecutionSeries("m", 1, {})
    whole.take(part)
    whole.add(part)
    assert whole.responses[3] == ResponseSums(2, 1 << 63)
    assert ExecutionSeries("m", 1, {}).responses == {}
