"""Questions to a controller that is the test."""

from __future__ import annotations

import os

import msgspec
import pytest

from gateway.control.messages import Answered, Ask
from gateway.control.parcels import pack, unpack
from gateway.control.questions import Answer, Done, GetIndex, LoadModel, ModelFile, Question, Refused
from gateway.core.errors import DeadlineExceeded, GatewayError, InvalidInput, Overloaded, Reason
from gateway.pipeline.asking import Asks
from tests.fakes.loop import FakeClock


class Controller:
    """Hears questions and answers them when told."""

    def __init__(self, limit: int = 3) -> None:
        self.clock = FakeClock()
        self.got: list[tuple[Ask, Question]] = []
        self.asks = Asks(self._send, self.clock, limit)
        self.heard: list[Answer | GatewayError] = []

    def _send(self, ask: Ask, fds: tuple[int, ...]) -> None:
        self.got.append((ask, msgspec.msgpack.decode(unpack(ask.question, fds), type=Question)))

    def answer(self, number: int, answer: Answer) -> None:
        inline, fds = pack(msgspec.msgpack.encode(answer))
        self.asks.on_answer(Answered(number, inline), fds)


def test_a_question_is_answered_once() -> None:
    made = Controller()
    asking = made.asks.ask(GetIndex(), 5.0, made.heard.append)
    assert asking is not None
    ((ask, question),) = made.got
    assert (ask.wait_s, question) == (5.0, GetIndex())
    for _ in range(2):
        made.answer(ask.number, Done())
    assert made.heard == [Done()]
    assert len(made.asks) == 0


def test_a_refusal_is_heard_as_the_error_it_is() -> None:
    made = Controller()
    made.asks.ask(GetIndex(), 5.0, made.heard.append)
    made.answer(1, Refused(Reason.INVALID_INPUT, "no"))
    (error,) = made.heard
    assert isinstance(error, InvalidInput)
    assert error.text == "no"


def test_a_large_question_comes_whole_and_nothing_stays_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    made = Controller()
    large = LoadModel("m", "{}", (ModelFile("1/model.onnx", os.urandom(1 << 20)),))
    made.asks.ask(large, 5.0, made.heard.append)
    assert made.got[0][1] == large
    assert len(os.listdir("/proc/self/fd")) == before


def test_each_question_has_an_end() -> None:
    made = Controller()
    made.asks.ask(GetIndex(), 5.0, made.heard.append)
    made.asks.ask(GetIndex(), 50.0, made.heard.append)
    made.clock.now += 5.0
    made.asks.sweep(made.clock.now)
    (error,) = made.heard
    assert isinstance(error, DeadlineExceeded)
    made.answer(1, Done())
    assert len(made.heard) == 1, "too late"
    assert len(made.asks) == 1


def test_too_many_at_a_time_are_refused() -> None:
    made = Controller(limit=2)
    for _ in range(3):
        made.asks.ask(GetIndex(), 5.0, made.heard.append)
    (error,) = made.heard
    assert isinstance(error, Overloaded)
    assert len(made.got) == 2
    made.answer(1, Done())
    assert made.asks.ask(GetIndex(), 5.0, made.heard.append) is not None


def test_who_has_gone_hears_nothing_and_keeps_the_place_until_the_answer() -> None:
    made = Controller(limit=1)
    asking = made.asks.ask(GetIndex(), 5.0, made.heard.append)
    assert asking is not None
    asking.cancel()
    made.asks.ask(GetIndex(), 5.0, made.heard.append)
    assert isinstance(made.heard.pop(), Overloaded)
    made.answer(1, Done())
    assert made.heard == []
    assert made.asks.ask(GetIndex(), 5.0, made.heard.append) is not None


def test_without_a_controller_every_question_fails() -> None:
    made = Controller()
    made.asks.ask(GetIndex(), 5.0, made.heard.append)
    made.asks.lose()
    made.asks.ask(GetIndex(), 5.0, made.heard.append)
    assert [type(error) for error in made.heard] == [Overloaded, Overloaded]
    assert len(made.got) == 1


def test_what_no_memory_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> int:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("os.memfd_create", no_memory)
    made = Controller()
    large = LoadModel("m", "{}", (ModelFile("1/x", bytes(1 << 20)),))
    assert made.asks.ask(large, 5.0, made.heard.append) is None
    assert isinstance(made.heard[0], Overloaded)
    assert len(made.asks) == 0
