"""Answers what fronts ask: the index at once, statistics when they are new, changes when they are done.

DESIGN: the one actor of model control. Each question is a task of its own; those that change the same
model are one after the other, in the order they came. What was asked for is done even if whoever asked
has gone. A task may fail with a GatewayError, and anything else is a bug that costs this one answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import NamedTuple, assert_never
from weakref import WeakValueDictionary

import msgspec

from gateway.control.messages import Answered, Ask
from gateway.control.parcels import pack, unpack
from gateway.control.questions import (
    Answer,
    ChangeLog,
    ChangeTrace,
    Done,
    GetIndex,
    GetStatistics,
    LoadModel,
    ModelIndex,
    Question,
    Statistics,
    UnloadModel,
    refusal,
)
from gateway.core.errors import GatewayError, Overloaded
from gateway.core.model import check_name
from gateway.core.statistics import VersionStatistics
from gateway.lifecycle.freshness import Freshness
from gateway.lifecycle.front_contract import Reply
from gateway.lifecycle.loads import Loads
from gateway.lifecycle.observing import Observing

log = logging.getLogger("gateway.lifecycle")

# A front acts upon a change within milliseconds, and one that is starting within a second or two.
SYNC_S = 10.0
_ENDING = "the gateway is ending"
_DONE_BUT = "it is done, but a front does not answer"

# Calls back when every front has acted upon all it was told until now.
Synchronise = Callable[[Callable[[], None]], None]
# What is known by now: of one model, or of all ("").
Count = Callable[[str], Awaitable[Sequence[VersionStatistics]]]
# Entries that are encoded together: a front decodes as many in a turn of its loop.
PART = 100


class _Asked(NamedTuple):
    ask: Ask
    fds: tuple[int, ...]  # none once somebody else owns them
    reply: Reply


class Desk:
    """Implements `FrontQuestions`: answers while `run` runs, refuses before and after; always once."""

    def __init__(self, loads: Loads, synchronise: Synchronise, count_up: Count, observing: Observing) -> None:
        self._loads = loads
        self._observing = observing
        self._synchronise = synchronise
        self._freshness = Freshness(synchronise)
        self._count_up = count_up
        self._group: asyncio.TaskGroup | None = None
        # Taken and not yet answered. A task that is cancelled before its first step has no `finally`.
        self._open: dict[int, _Asked] = {}
        self._numbers = count(1)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode: Callable[[bytes], Question] = msgspec.msgpack.Decoder(Question).decode

    async def run(self) -> None:
        """Answers until it is cancelled; what is then still open is refused."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await asyncio.Event().wait()
        finally:
            self._group = None
            for number in tuple(self._open):
                self._reply(number, refusal(Overloaded(_ENDING)))

    def on_ask(self, ask: Ask, fds: tuple[int, ...], reply: Reply) -> None:
        """Takes a question; see FrontQuestions."""
        number = next(self._numbers)
        self._open[number] = _Asked(ask, fds, reply)
        if self._group is None:
            self._reply(number, refusal(Overloaded(_ENDING)))
        else:
            self._group.create_task(self._serve(number), name=f"ask {number}")

    async def _serve(self, number: int) -> None:
        try:
            answer = await self.answer(await self._question(number))
        except GatewayError as error:
            answer = refusal(error)
        except Exception as error:  # a bug in here costs one answer, not the gateway
            log.error("a question could not be answered", exc_info=error)
            answer = refusal(GatewayError("internal error"))
        self._reply(number, answer)

    async def _question(self, number: int) -> Question:
        ask, fds, reply = self._open[number]
        if not fds:
            return self._decode(ask.question)
        self._open[number] = _Asked(ask, (), reply)
        # In a thread: that may be a copy of many megabytes.
        return await asyncio.to_thread(lambda: self._decode(unpack(ask.question, fds)))

    def _reply(self, number: int, answer: Answer) -> None:
        ask, unread, reply = self._open.pop(number)
        for fd in unread:
            os.close(fd)
        try:
            inline, fds = pack(self._encode(answer))
        except OSError as error:
            log.error("there is no memory for an answer: %s", error.strerror)
            inline, fds = pack(self._encode(refusal(Overloaded("there is no memory for the answer"))))
        reply(Answered(ask.number, inline), fds)

    async def answer(self, question: Question) -> Answer:
        """What is asked for, done or told; raises GatewayError. For whoever is in this process."""
        match question:
            case GetIndex():
                return ModelIndex(self._loads.index())
            case GetStatistics(model):
                await _wait_for(self._freshness.synchronise, "a front does not answer")
                entries = await self._count_up(model)
                parts = [entries[at : at + PART] for at in range(0, len(entries), PART)]
                return Statistics(tuple([msgspec.Raw(self._encode(part)) for part in parts]))
            case LoadModel(name):
                async with self._turn(name):
                    await self._loads.load(question, self._load_part)
                    await _wait_for(self._synchronise, _DONE_BUT)
            case UnloadModel(name, unload_dependents):
                async with self._turn(name):
                    await self._loads.unload(name)
                    for part in self._loads.parts_of(name) if unload_dependents else ():
                        async with self._turn(part):
                            await self._loads.unload(part)
                    await _wait_for(self._synchronise, _DONE_BUT)
            case ChangeTrace(model, change):
                self._observing.change_trace(model, change)
                await _wait_for(self._synchronise, _DONE_BUT)
            case ChangeLog(change):
                self._observing.change_log(change)
                await _wait_for(self._synchronise, _DONE_BUT)
            case _:
                assert_never(question)
        return Done()

    async def _load_part(self, name: str) -> None:
        """Loads a model of an ensemble, whose turn is held: ensembles form no circle, so this ends."""
        async with self._turn(name):
            await self._loads.load(LoadModel(name), self._load_part)

    def _turn(self, name: str) -> asyncio.Lock:
        """The lock of one model; gone when nobody holds it or waits for it."""
        turn = self._turns.get(check_name(name)) or asyncio.Lock()
        self._turns[name] = turn
        return turn


async def _wait_for(synchronise: Synchronise, otherwise: str) -> None:
    done = asyncio.Event()
    synchronise(done.set)
    try:
        async with asyncio.timeout(SYNC_S):
            await done.wait()
    except TimeoutError:
        raise Overloaded(otherwise, retry_after_s=1.0) from None
