from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from gateway.core.errors import Reason
from gateway.model import CallFailed
from gateway.runtimes.calls import Desk, Question
from gateway.runtimes.triton_python.calling import Responses, ask_at
from gateway.runtimes.triton_python.requests import InferenceRequest
from gateway.runtimes.triton_python.responses import InferenceResponse, TritonError, TritonModelException
from gateway.runtimes.triton_python.tensors import Tensor
from tests.fakes.calling import FakeLine, Result

X = np.ones(2, np.float32)
ANSWERS = [{"Y": np.full(1, index)} for index in range(3)]
FULL = CallFailed(Reason.OVERLOADED, "full")


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    ask_at(made)
    yield made
    ask_at(Desk())


def line(desk: Desk, *results: Result) -> FakeLine:
    desk.line = made = FakeLine(*results)
    return made


def request(**more: object) -> InferenceRequest:
    return InferenceRequest(
        model_name="m", requested_output_names=["Y"], inputs=[Tensor("X", X)], request_id="r", **more
    )


def y(response: InferenceResponse) -> int:
    assert not response.has_error()
    return int(response.output_tensors()[0].as_numpy()[0])


def test_a_request_becomes_a_question(desk: Desk) -> None:
    asked = line(desk, *ANSWERS)
    response = request(model_version=3, timeout=5, parameters={"a": 1}).exec()
    assert (response.output_tensors()[0].name(), y(response)) == ("Y", 0)
    assert asked.calls[0].question == Question("m", {"X": X}, 3, ("Y",), False, "r", 5, {"a": 1})
    assert asked.calls[0].closed


def test_what_fails_is_a_response(desk: Desk) -> None:
    line(desk, FULL)
    for response in (request().exec(), asyncio.run(later(request()))):
        error = response.error()
        assert (error.code(), error.message()) == (TritonError.UNAVAILABLE, "full")
        assert response.output_tensors() == []
    line(desk)
    assert request().exec().error().code() == TritonError.INTERNAL
    line(desk, CallFailed(Reason.NOT_FOUND, "who?"))
    assert request().exec().error().code() == TritonError.NOT_FOUND


async def later(one: InferenceRequest) -> InferenceResponse:
    return await one.async_exec()


def test_several_are_under_way_at_once(desk: Desk) -> None:
    asked = line(desk, *ANSWERS)

    async def both() -> list[InferenceResponse]:
        waiting = [request().async_exec(), request().async_exec()]
        assert len(asked.calls) == 2
        return await asyncio.gather(*waiting)

    assert list(map(y, asyncio.run(both()))) == [0, 0]
    assert [call.closed for call in asked.calls] == [1, 1]


def test_outside_of_execute_it_is_raised(desk: Desk) -> None:
    with pytest.raises(TritonModelException, match="only while a request is executed"):
        asyncio.run(later(request()))
    with pytest.raises(TritonModelException, match="only while a request is executed"):
        Responses(Question("m", {}))


def test_all_responses_of_a_decoupled_model(desk: Desk) -> None:
    asked = line(desk, *ANSWERS)
    responses = request().exec(decoupled=True)
    assert list(map(y, responses)) == [0, 1, 2]
    assert list(responses) == []
    assert asked.calls[0].question.several


def test_an_error_is_the_last_response(desk: Desk) -> None:
    line(desk, ANSWERS[0], FULL, ANSWERS[1])
    first, last = request().exec(decoupled=True)
    assert (y(first), last.error().message()) == (0, "full")


def test_all_responses_on_the_event_loop(desk: Desk) -> None:
    line(desk, *ANSWERS, FULL)

    async def read() -> list[InferenceResponse]:
        return [one async for one in request().async_exec(decoupled=True)]

    async def gathered() -> list[InferenceResponse]:
        (responses,) = await asyncio.gather(request().async_exec(decoupled=True))
        return list(responses)

    for way in (read, gathered):
        *all_but_last, last = asyncio.run(way())
        assert (list(map(y, all_but_last)), last.has_error()) == ([0, 1, 2], True)
    line(desk, *ANSWERS)
    assert list(map(y, asyncio.run(read()))) == [0, 1, 2]


def test_responses_that_are_not_wanted_any_more(desk: Desk) -> None:
    asked = line(desk, *ANSWERS)
    responses = request().exec(decoupled=True)
    next(responses)
    responses.cancel()
    assert list(responses) == []
    dropped = request().exec(decoupled=True)
    del dropped
    assert [bool(call.closed) for call in asked.calls] == [True, True]
