from __future__ import annotations

import pytest

from gateway.core.errors import Forbidden, GatewayError, InvalidInput
from gateway.core.log_settings import LogChange, LogSettings
from gateway.core.trace_settings import TraceChange, TraceSettings
from gateway.pipeline.observing import Observing
from gateway.pipeline.tracing import Scope
from tests.fakes.observing import observing


def change(of: Observing, model: str, wanted: TraceChange) -> GatewayError | None:
    heard: list[GatewayError | None] = []
    of.change_trace(model, wanted, heard.append)
    return heard[0]


def test_nobody_may_change_anything_where_nobody_can_be_asked() -> None:
    closed = Observing()
    heard: list[GatewayError | None] = []
    closed.change_log(LogChange(), heard.append)
    assert isinstance(heard[0], Forbidden)
    assert isinstance(change(closed, "", TraceChange()), Forbidden)
    assert (closed.is_permitted, closed.trace(), closed.log) == (False, TraceSettings(), LogSettings())


def test_a_model_inherits_what_it_was_not_given() -> None:
    one = observing(TraceSettings(rate=10))
    assert change(one, "m", TraceChange(("TENSORS",))) is None
    assert change(one, "", TraceChange(rate=3)) is None
    assert (one.trace("m"), one.trace("n")) == (TraceSettings(("TENSORS",), 3), TraceSettings(rate=3))
    assert change(one, "m", TraceChange(levels=None)) is None
    assert one.trace("m") == TraceSettings(rate=3)
    assert isinstance(change(one, "m", TraceChange(rate=-1)), InvalidInput)
    one.close()


def test_what_is_left_of_the_traces_is_told_and_shared_by_who_inherits_it() -> None:
    one = observing()
    scopes: dict[str, Scope] = {}
    one.on_scopes = scopes.update
    change(one, "", TraceChange(("TIMESTAMPS",), 1, 5))
    change(one, "m", TraceChange(("TENSORS",)))
    change(one, "own", TraceChange(count=2))
    assert scopes["m"].samples()
    assert scopes[""].samples()
    assert [one.trace(model).count for model in ("", "m", "n", "own")] == [3, 3, 3, 2]
    change(one, "own", TraceChange(count=None))
    assert one.trace("own").count == 3
    one.close()


def test_a_change_elsewhere_does_not_begin_the_counting_of_requests_anew() -> None:
    one = observing(TraceSettings(("TIMESTAMPS",), 3))
    scopes: dict[str, Scope] = {}
    one.on_scopes = scopes.update
    change(one, "m", TraceChange(rate=2))
    assert [scopes[""].samples() for _ in range(2)] == [False, False]
    change(one, "m", TraceChange(rate=5))
    assert scopes[""].samples()


@pytest.mark.parametrize("level", [0, 4])
def test_the_log_is_told_as_it_is(level: int) -> None:
    one = observing()
    heard: list[GatewayError | None] = []
    one.change_log(LogChange(verbose_level=level), heard.append)
    assert (heard, one.log) == ([None], LogSettings(verbose_level=level))
