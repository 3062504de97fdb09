"""How files for Triton's Python backend call other models: `exec` and `async_exec` of a request.

What goes wrong with the called model is a response with an error, as those files expect; only what the
file itself does wrong, a call outside of `execute` above all, is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, ClassVar

from gateway.core.errors import Reason
from gateway.model import CallFailed
from gateway.runtimes.calls import Answer, Call, Desk, NotExecuting, Question, only_answer
from gateway.runtimes.triton_python.responses import InferenceResponse, TritonError, TritonModelException
from gateway.runtimes.triton_python.tensors import Tensor

_CODES = {
    Reason.INVALID_INPUT: TritonError.INVALID_ARG,
    Reason.TOO_LARGE: TritonError.INVALID_ARG,
    Reason.NOT_FOUND: TritonError.NOT_FOUND,
    Reason.UNSUPPORTED: TritonError.UNSUPPORTED,
    Reason.CANCELLED: TritonError.CANCELLED,
    Reason.OVERLOADED: TritonError.UNAVAILABLE,
    Reason.QUEUE_TIMEOUT: TritonError.UNAVAILABLE,
    Reason.DEADLINE_EXCEEDED: TritonError.UNAVAILABLE,
    Reason.MODEL_LOADING: TritonError.UNAVAILABLE,
    Reason.MODEL_UNAVAILABLE: TritonError.UNAVAILABLE,
}


class _Process:
    """The desk of the one model of this process, which a request made by its file must find."""

    desk: ClassVar[Desk] = Desk()


def ask_at(desk: Desk) -> None:
    """Makes `desk` the one at which the requests of this process's model are asked."""
    _Process.desk = desk


def _call(question: Question) -> Call:
    try:
        return _Process.desk.ask(question)
    except NotExecuting as error:
        raise TritonModelException(str(error)) from None


def ask(question: Question) -> InferenceResponse:
    """The response to `question`, which is waited for."""
    call = _call(question)
    try:
        return _response(only_answer(question, call.wait()))
    except CallFailed as failure:
        return _error(failure)
    finally:
        call.close()


def ask_later(question: Question) -> asyncio.Future[InferenceResponse]:
    """The response to `question`, which is asked at once; must be called with a running event loop."""
    loop = asyncio.get_running_loop()
    return asyncio.ensure_future(_wait(question, _call(question)), loop=loop)


async def _wait(question: Question, call: Call) -> InferenceResponse:
    try:
        return _response(only_answer(question, await call.wait_async()))
    except CallFailed as failure:
        return _error(failure)
    finally:
        call.close()


class Responses:
    """All responses to a question, which is asked at once; to be read by `for`, or by `async for`.

    An error is the last response. Awaiting it gives itself: so files get it of `async_exec`.
    """

    def __init__(self, question: Question) -> None:
        self._call = _call(question)
        self._is_over = False

    def __iter__(self) -> Responses:
        return self

    def __next__(self) -> InferenceResponse:
        if self._is_over:
            raise StopIteration
        try:
            answer = self._call.wait()
        except CallFailed as failure:
            return self._last(failure)
        if answer is None:
            self._is_over = True
            raise StopIteration
        return _response(answer)

    def __aiter__(self) -> Responses:
        return self

    async def __anext__(self) -> InferenceResponse:
        if self._is_over:
            raise StopAsyncIteration
        try:
            answer = await self._call.wait_async()
        except CallFailed as failure:
            return self._last(failure)
        if answer is None:
            self._is_over = True
            raise StopAsyncIteration
        return _response(answer)

    def __await__(self) -> Generator[Any, None, Responses]:
        return _at_once(self).__await__()

    def cancel(self) -> None:
        """No more responses are wanted."""
        self._is_over = True
        self._call.close()

    def _last(self, failure: CallFailed) -> InferenceResponse:
        self._is_over = True
        return _error(failure)

    def __del__(self) -> None:
        if hasattr(self, "_call"):
            self._call.close()


async def _at_once(responses: Responses) -> Responses:
    return responses


def _response(answer: Answer) -> InferenceResponse:
    return InferenceResponse([Tensor(name, array) for name, array in answer.items()])


def _error(failure: CallFailed) -> InferenceResponse:
    return InferenceResponse([], TritonError(failure.text, _CODES.get(failure.reason, TritonError.INTERNAL)))
