import msgspec

from gateway.core.errors import Reason
from gateway.core.records import RequestRecord
from gateway.telemetry.counters import Counters, Merged
from gateway.telemetry.series import BATCH_BOUNDS, FrontReport, Gauges, Histogram, QueueDepth


def record(model: str = "m", reason: Reason | None = None, duration_s: float = 0.002) -> RequestRecord:
    return RequestRecord(
        model, 1, "rest", reason, duration_s, 0.001, 0.0001, 1, 4, is_cold=reason is not None
    )


def gauges(waiting: int = 0, connections: int = 0) -> Gauges:
    return Gauges((QueueDepth("m", 1, waiting, 1),), connections, {})


def hand_over(counters: Counters, merged: Merged, front: int, state: Gauges | None = None) -> None:
    """Through the bytes that travel, as the processes do it."""
    for report in counters.reports(state or gauges()):
        merged.update(front, msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=FrontReport))


def test_values_fall_into_the_first_bucket_not_below_them() -> None:
    histogram = Histogram.of(BATCH_BOUNDS)
    for value in (1.0, 2.0, 3.0, 1000.0):
        histogram.observe(value)
    assert histogram.counts == [1, 1, 1, 0, 0, 0, 0, 0, 0, 1]
    assert histogram.total == 1006.0


def test_fronts_add_up_and_a_dead_one_s_counts_stay() -> None:
    merged = Merged()
    for front in (0, 1):
        counters = Counters()
        counters.record(record())
        counters.record(record(reason=Reason.OVERLOADED))
        hand_over(counters, merged, front, gauges(waiting=2, connections=3))
    assert merged.series()[0].outcomes == {"OK": 2, "OVERLOADED": 2}
    assert merged.queues() == [QueueDepth("m", 1, 4, 2)]
    assert merged.connections() == 6
    merged.retire(0)
    successor = Counters()
    successor.record(record())
    hand_over(successor, merged, 0)
    (series,) = merged.series()
    assert series.outcomes == {"OK": 3, "OVERLOADED": 2}
    assert sum(series.duration.counts) == 5
    assert series.cold == 2
    assert merged.connections() == 3


def test_only_what_changed_travels_and_sums_stay_whole() -> None:
    counters, merged = Counters(), Merged()
    for number in range(300):
        counters.record(record(f"m{number:03}"))
    packets = counters.reports(gauges())
    assert [len(packet.series) for packet in packets] == [128, 128, 44]
    assert [packet.gauges is not None for packet in packets] == [True, False, False]
    assert all(len(msgspec.msgpack.encode(packet)) < 128 << 10 for packet in packets)
    for packet in packets:
        merged.update(0, packet)
    counters.record(record("m007"))
    (second,) = counters.reports(gauges())
    assert [series.model for series in second.series] == ["m007"]
    merged.update(0, second)
    assert sum(series.outcomes["OK"] for series in merged.series()) == 301
    assert counters.reports(gauges())[0].series == []
