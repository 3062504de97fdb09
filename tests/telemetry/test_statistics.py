from __future__ import annotations

from itertools import permutations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import Reason
from gateway.core.records import RequestRecord
from gateway.core.statistics import BatchStatistics, ResponseStatistics, Spent, VersionStatistics
from gateway.telemetry.counters import Counters, Merged
from gateway.telemetry.executions import FAIL, SUCCESS
from gateway.telemetry.series import FrontReport
from gateway.telemetry.statistics import statistics
from tests.fakes.loop import FakeClock

MS = 1_000_000


def batch(counters: Counters, requests: int, infer_ns: int, model: str = "m", protocol: str = "rest") -> None:
    """A batch of as many answered requests of one row."""
    counters.executions(model, 1).ran(requests, requests, (1, infer_ns, 2))
    for _ in range(requests):
        counters.record(RequestRecord(model, 1, protocol, None, 0.003, 0.001, infer_ns * 1e-9, 1, requests))


def hand_over(counters: Counters, merged: Merged, front: int) -> None:
    for report in counters.reports():
        merged.update(front, msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=FrontReport))


def test_protocols_and_batches_are_one() -> None:
    counters, merged = Counters(FakeClock(1_700_000_000.5)), Merged()
    batch(counters, 1, 100)
    batch(counters, 3, 500, protocol="grpc")
    batch(counters, 3, 700)
    counters.record(RequestRecord("m", 1, "rest", Reason.MODEL_FAILED, 0.5, 0.25, 0.0, 1, 4))
    counters.record(RequestRecord("m", 1, "rest", Reason.CANCELLED, 0.25))
    hand_over(counters, merged, 0)
    assert statistics(merged) == [
        VersionStatistics(
            "m",
            1,
            1_700_000_000_500,
            7,
            3,
            Spent(7, 21 * MS),
            Spent(2, 750 * MS),
            Spent(7, 7 * MS),
            Spent(7, 7),
            Spent(7, 100 + 3 * 500 + 3 * 700),
            Spent(7, 14),
            (
                BatchStatistics(1, Spent(1, 1), Spent(1, 100), Spent(1, 2)),
                BatchStatistics(3, Spent(2, 2), Spent(2, 1200), Spent(2, 4)),
            ),
        )
    ]


def test_what_was_never_understood_is_no_model_s() -> None:
    counters, merged = Counters(), Merged()
    counters.record(RequestRecord("", 0, "rest", Reason.NOT_FOUND, 0.0))
    counters.record(RequestRecord("broken", 0, "rest", Reason.MODEL_UNAVAILABLE, 0.0))
    hand_over(counters, merged, 0)
    assert statistics(merged) == []


def test_one_model_alone() -> None:
    counters, merged = Counters(), Merged()
    for model in ("b", "a"):
        batch(counters, 2, 10, model)
    hand_over(counters, merged, 0)
    assert [one.name for one in statistics(merged)] == ["a", "b"]
    assert statistics(merged, "b") == statistics(merged)[1:]
    assert statistics(merged, "c") == []


# Per front: batches as (requests, ns).
Fronts = st.lists(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 10**12)), max_size=4), max_size=3)


@settings(deadline=None)
@given(Fronts, st.randoms())
def test_in_whatever_order_fronts_tell_and_die_the_sums_are_the_same(fronts: list, rng) -> None:  # type: ignore[no-untyped-def,type-arg]
    def merged(order: tuple[int, ...]) -> list[VersionStatistics]:
        made = Merged()
        for front in order:
            counters = Counters(FakeClock(5.0))
            for requests, ns in fronts[front]:
                batch(counters, requests, ns)
                if rng.random() < 0.5:
                    hand_over(counters, made, front)
            hand_over(counters, made, front)
            if rng.random() < 0.5:
                made.retire(front)
        return statistics(made)

    first, *others = [merged(order) for order in permutations(range(len(fronts)))]
    assert all(other == first for other in others)
    sent = [one for front in fronts for one in front]
    assert sum(one.execution_count for one in first) == len(sent)
    assert sum(one.inference_count for one in first) == sum(requests for requests, _ in sent)
    assert sum(one.compute_infer.ns for one in first) == sum(requests * ns for requests, ns in sent)


def test_answers_of_all_fronts_are_told_by_their_place() -> None:
    merged = Merged()
    for front in range(2):
        counters = Counters(FakeClock())
        executions = counters.executions("m", 1)
        executions.ran(1, 1, (0, 5, 0))
        executions.response(0, SUCCESS, 10)
        executions.response(1, FAIL, 20)
        hand_over(counters, merged, front)
    merged.retire(0)
    (entry,) = statistics(merged)
    assert entry.responses == (
        ResponseStatistics(0, success=Spent(2, 20)),
        ResponseStatistics(1, fail=Spent(2, 40)),
    )
