"""Where a model in Python puts its answers to one request: arrays by name, checked and in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gateway.core.dtypes import DType
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, ModelFailed, Responses, StreamEnded

_END = object()
# How often a generator that awaits something is looked after.
_LOOK_S = 0.05


class Answers:
    """`responses` for whoever has arrays by name; `specs` are the outputs that are wanted."""

    def __init__(self, specs: Sequence[TensorSpec], responses: Responses) -> None:
        self._specs = specs
        self._send = responses.send
        self.fail = responses.fail
        self.is_cancelled = responses.is_cancelled
        self.finish = responses.finish
        self.wait_until_finished = responses.wait_until_finished

    def send(self, answer: object, *, is_last: bool = False) -> None:
        """As contract.Responses.send; raises ModelFailed for an answer that lacks an output."""
        self._send(in_order(answer, self._specs), is_last=is_last)


def in_order(answer: object, specs: Sequence[TensorSpec]) -> list[Array]:
    """The arrays of `answer` that are wanted; raises ModelFailed where one is missing."""
    if answer.__class__ is not dict and not isinstance(answer, Mapping):
        raise ModelFailed(f"infer gave {type(answer).__name__}, not a dict of arrays by name")
    for spec in specs:
        if spec.name not in answer:
            raise ModelFailed(f"the model's answer lacks output '{spec.name}'")
    return [_as_promised(answer[spec.name], spec.dtype) for spec in specs]


def _as_promised(answer: Array, dtype: DType) -> Array:
    """Numpy's own strings as objects, which BYTES travel as; all else as it is, to be checked."""
    if dtype is DType.BYTES and isinstance(answer, np.ndarray) and answer.dtype.kind in "SU":
        return answer.astype(object)
    return answer


def give(given: Any, answers: Answers, settle: Callable[[Any], Any]) -> None:
    """Sends what `infer` returned: the items of a generator of either kind as they come, or one answer.

    A generator that is not read to its end is closed: it sees GeneratorExit where it stands.
    """
    if isinstance(given, AsyncIterator):
        each = _Asynchronous(given, answers.is_cancelled)
        _give_each(answers, lambda: settle(each.following()), lambda: settle(each.close()))
    elif isinstance(given, Iterator):
        _give_each(answers, lambda: next(given, _END), getattr(given, "close", _nothing))
    else:
        answers.send(settle(given), is_last=True)


def _give_each(answers: Answers, following: Callable[[], object], close: Callable[[], object]) -> None:
    try:
        while (answer := following()) is not _END:
            answers.send(answer)
    finally:
        close()


class _Asynchronous:
    """An asynchronous generator; while it awaits something it hears that nobody waits for it any more."""

    def __init__(self, given: AsyncIterator[object], is_cancelled: Callable[[], bool]) -> None:
        self._given = given
        self._is_cancelled = is_cancelled
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._was_cancelled = False

    async def following(self) -> object:
        """Its next answer, _END after the last; raises StreamEnded."""
        self._task = asyncio.current_task()
        if self._timer is None:
            self._look_later()
        try:
            return await anext(self._given, _END)
        except asyncio.CancelledError:
            if self._was_cancelled:
                raise StreamEnded from None
            raise ModelFailed("infer was cancelled, and not by the gateway") from None
        finally:
            self._task = None

    async def close(self) -> None:
        """Must be called after the last answer."""
        if self._timer is not None:
            self._timer.cancel()
        if hasattr(self._given, "aclose"):
            await self._given.aclose()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        if self._is_cancelled() and self._task is not None:
            self._was_cancelled = True
            self._task.cancel()
        else:
            self._look_later()


def _nothing() -> None:
    """An iterator that is no generator holds nothing open."""
