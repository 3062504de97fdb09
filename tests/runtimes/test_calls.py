from __future__ import annotations

import asyncio

import numpy as np
import pytest

from gateway.core.errors import Reason
from gateway.model import CallFailed
from gateway.runtimes.calls import (
    Desk,
    NotExecuting,
    Question,
    desk_of,
    wait_for_one,
    wait_for_one_async,
)
from tests.fakes.calling import FakeLine
from tests.fakes.streaming_model import StreamingLab

ANSWER = {"Y": np.ones(1)}
QUESTION = Question("m", {})


def test_a_desk_without_a_line_says_why() -> None:
    with pytest.raises(NotExecuting, match="only while a request is executed"):
        Desk().ask(QUESTION)


def test_a_question_goes_to_the_line_that_is_there() -> None:
    desk, line = Desk(), FakeLine(ANSWER)
    desk.line = line
    call = desk.ask(QUESTION)
    assert wait_for_one(QUESTION, call) is ANSWER
    assert (line.calls[0].question, line.calls[0].closed) == (QUESTION, 1)
    assert asyncio.run(wait_for_one_async(QUESTION, desk.ask(QUESTION))) is ANSWER
    assert line.calls[1].closed == 1


def test_no_answer_is_a_failure_and_every_call_is_closed() -> None:
    line = FakeLine()
    with pytest.raises(CallFailed, match="model 'm' gave no answer") as none:
        wait_for_one(QUESTION, line.ask(QUESTION))
    assert none.value.reason is Reason.MODEL_FAILED
    failing = FakeLine(CallFailed(Reason.NOT_FOUND, "who?"))
    with pytest.raises(CallFailed, match="who"):
        asyncio.run(wait_for_one_async(QUESTION, failing.ask(QUESTION)))
    assert (line.calls[0].closed, failing.calls[0].closed) == (1, 1)


def test_only_models_that_may_call_have_a_desk() -> None:
    assert desk_of(StreamingLab()) is None
