"""Statistics as the pipeline asks for them."""

from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import pytest

from gateway.control.messages import Answered, Ask
from gateway.control.questions import Answer, Done, Question, Refused, Statistics
from gateway.core.errors import GatewayError, Overloaded, Reason
from gateway.core.model import ModelKey
from gateway.core.statistics import Spent, VersionStatistics
from gateway.lifecycle.desk import SYNC_S
from gateway.pipeline.asking import Asks
from gateway.pipeline.statistics import STATISTICS_S, ask_statistics
from tests.fakes.loop import FakeClock
from tests.fakes.waiting import until

KEYS = (ModelKey("m", 1), ModelKey("m", 2))


def ask(answer: Answer) -> tuple[list[Question], object]:
    """What was asked of a controller that answers so, and what was told."""
    asked: list[Question] = []
    told: list[object] = []

    def send(ask: Ask, fds: tuple[int, ...]) -> None:
        asked.append(msgspec.msgpack.decode(ask.question, type=Question))
        asks.on_answer(Answered(ask.number, msgspec.msgpack.encode(answer)), ())

    asks = Asks(send, FakeClock())
    partial(ask_statistics, asks)("m", KEYS, told.append)
    return asked, told[0] if told else told


async def soon(answer: Answer) -> tuple[list[Question], object]:
    """The same where the answer is read in more than one turn of the loop."""
    asked: list[Question] = []
    told: list[object] = []

    def send(ask: Ask, fds: tuple[int, ...]) -> None:
        asks.on_answer(Answered(ask.number, msgspec.msgpack.encode(answer)), ())

    asks = Asks(send, FakeClock())
    partial(ask_statistics, asks)("m", KEYS, told.append)
    assert not told
    await until(lambda: told)
    return asked, told[0]


def raw(entry: VersionStatistics) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode((entry,)))


def test_each_version_has_its_entry_and_those_never_called_zeros() -> None:
    second = VersionStatistics("m", 2, 7, success=Spent(1, 1 << 63))
    _, told = asyncio.run(soon(Statistics((raw(VersionStatistics("m", 3)), raw(second)))))
    assert told == (VersionStatistics("m", 1), second)
    assert ask(Statistics(()))[1] == (VersionStatistics("m", 1), VersionStatistics("m", 2))


def test_what_cannot_be_read_is_an_error_and_no_silence() -> None:
    _, told = ask(Statistics((msgspec.Raw(b"\xc0"),)))
    assert type(told) is GatewayError


@pytest.mark.parametrize(
    ("answer", "kind"), [(Refused(Reason.OVERLOADED, "no"), Overloaded), (Done(), GatewayError)]
)
def test_a_refusal_and_an_answer_to_another_question_are_errors(
    answer: Answer, kind: type[GatewayError]
) -> None:
    assert type(ask(answer)[1]) is kind


def test_the_controller_gives_up_before_whoever_asked() -> None:
    assert STATISTICS_S > SYNC_S
