"""Model control as frontends see it."""

from __future__ import annotations

import msgspec
import pytest

from gateway.control.messages import Answered, Ask
from gateway.control.questions import Answer, Done, IndexEntry, ModelIndex, Refused
from gateway.core.errors import Forbidden, GatewayError, InvalidInput, Reason
from gateway.pipeline.asking import Asks
from gateway.pipeline.control import NoControl, Repository, RepositoryService
from tests.fakes.loop import FakeClock

ENTRIES = (IndexEntry("a", 1, "READY"), IndexEntry("b", 0, "UNAVAILABLE", "faulty"))


def repository(answer: Answer) -> RepositoryService:
    """One whose controller always gives this answer."""

    def send(ask: Ask, fds: tuple[int, ...]) -> None:
        asks.on_answer(Answered(ask.number, msgspec.msgpack.encode(answer)), ())

    asks = Asks(send, FakeClock())
    return Repository(asks)


@pytest.mark.parametrize(("ready_only", "expected"), [(False, ENTRIES), (True, ENTRIES[:1])])
def test_the_index_is_whole_or_what_can_be_called(ready_only: bool, expected: tuple[IndexEntry, ...]) -> None:
    told: list[object] = []
    repository(ModelIndex(ENTRIES)).index(told.append, ready_only=ready_only)
    assert told == [expected]


def test_a_change_is_done_or_refused() -> None:
    told: list[GatewayError | None] = []
    repository(Done()).load("m", None, (), told.append)
    repository(Done()).unload("m", told.append)
    assert told == [None, None]
    repository(Refused(Reason.INVALID_INPUT, "no")).load("m", None, (), told.append)
    assert isinstance(told[2], InvalidInput)


def test_an_answer_to_another_question_is_an_error_of_ours() -> None:
    told: list[object] = []
    repository(Done()).index(told.append)
    repository(ModelIndex(())).unload("m", told.append)
    assert [type(one) for one in told] == [GatewayError, GatewayError]


def test_a_name_that_is_none_is_refused_before_anybody_is_asked() -> None:
    for change in (
        lambda: repository(Done()).unload("../x", print),
        lambda: repository(Done()).load("", None, (), print),
    ):
        with pytest.raises(InvalidInput):
            change()


def test_where_nobody_may_all_is_forbidden() -> None:
    told: list[object] = []
    closed: RepositoryService = NoControl()
    closed.index(told.append)
    closed.load("m", None, (), told.append)
    closed.unload("m", told.append)
    assert [type(one) for one in told] == [Forbidden] * 3
    assert not closed.is_permitted
