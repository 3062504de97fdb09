from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.answers import Answers, give, in_order
from gateway.runtimes.contract import ModelFailed, StreamEnded
from gateway.runtimes.event_loop import WorkerLoop
from tests.fakes.responses import KeptResponses

Y = TensorSpec("Y", DType.INT32, (1,))
TEXT = TensorSpec("T", DType.BYTES, (1,))


def one(value: int) -> dict[str, Any]:
    return {"Y": np.array([value], np.int32), "more": None}


def values(kept: KeptResponses) -> list[tuple[int, bool]]:
    return [(int(results[0][0]), is_last) for results, is_last in kept.sent]


def given(what: Any, limit: int = 100) -> KeptResponses:
    kept, loop = KeptResponses(limit), WorkerLoop()
    try:
        give(what, Answers([Y], kept), loop.settle)
    finally:
        loop.close()
    return kept


async def later(value: int) -> dict[str, Any]:
    return one(value)


async def each_later(closed: list[str]) -> AsyncIterator[dict[str, Any]]:
    try:
        for value in range(3):
            yield one(value)
    except GeneratorExit:
        closed.append("closed")
        raise


def each(closed: list[str]) -> Iterator[dict[str, Any]]:
    try:
        for value in range(3):
            yield one(value)
    except GeneratorExit:
        closed.append("closed")
        raise


@pytest.mark.parametrize("what", [lambda: one(5), lambda: later(5)])
def test_one_answer_is_the_last(what: Callable[[], Any]) -> None:
    assert values(given(what())) == [(5, True)]


@pytest.mark.parametrize("generator", [each, each_later])
def test_a_generator_gives_its_answers_one_by_one(generator: Callable[[list[str]], Any]) -> None:
    closed: list[str] = []
    assert values(given(generator(closed))) == [(0, False), (1, False), (2, False)]
    assert closed == []


def test_any_iterator_will_do() -> None:
    assert values(given(iter([one(1)]))) == [(1, False)]


@pytest.mark.parametrize("generator", [each, each_later])
def test_a_generator_is_closed_where_nobody_reads_on(generator: Callable[[list[str]], Any]) -> None:
    closed: list[str] = []
    with pytest.raises(StreamEnded):
        given(generator(closed), limit=1)
    assert closed == ["closed"]


def test_what_is_no_answer() -> None:
    with pytest.raises(ModelFailed, match="infer gave int, not a dict of arrays by name"):
        given(iter([7]))
    with pytest.raises(ModelFailed, match="the model's answer lacks output 'Y'"):
        in_order({"Z": 1}, [Y])


def test_texts_are_bytes() -> None:
    assert in_order({"T": np.array(["a"])}, [TEXT])[0].dtype == object


def test_a_generator_that_awaits_hears_that_nobody_waits() -> None:
    ends: list[str] = []

    async def endless() -> AsyncIterator[dict[str, Any]]:
        yield one(1)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    with pytest.raises(StreamEnded):
        given(endless(), limit=1)
    assert ends == ["cancelled"]


def test_a_generator_that_cancels_itself_fails() -> None:
    async def cancels() -> AsyncIterator[dict[str, Any]]:
        yield one(1)
        raise asyncio.CancelledError

    with pytest.raises(ModelFailed, match="not by the gateway"):
        given(cancels())
