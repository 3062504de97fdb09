from __future__ import annotations

from gateway.core.trace_settings import TraceChange, TraceSettings, TraceValues


def test_what_is_not_set_is_inherited() -> None:
    own = TraceSettings(("TIMESTAMPS",), 10, 5, 2)
    assert TraceValues().over(own) == own
    assert TraceValues(levels=(), count=0).over(own) == TraceSettings((), 10, 0, 2)


def test_a_change_sets_takes_back_and_leaves() -> None:
    values = TraceValues(("TENSORS",), 3)
    assert values.changed(TraceChange()) == values
    assert values.changed(TraceChange(levels=None, count=7)) == TraceValues(None, 3, 7)
    assert values.changed(TraceChange((), 1, None, 0)) == TraceValues((), 1, None, 0)
