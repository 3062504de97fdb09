"""Answers what fronts ask: the index at once, loads and unloads as they are done.

DESIGN: the one actor of model control. Each question is a task of its own; those that change the same
model are one after the other, in the order they came. What was asked for is done even if whoever asked
has gone. A task may fail with a GatewayError, and anything else is a bug that costs this one answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import assert_never
from weakref import WeakValueDictionary

import msgspec

from gateway.control.messages import Answered, Ask
from gateway.control.parcels import pack, unpack
from gateway.control.questions import (
    Answer,
    Done,
    GetIndex,
    LoadModel,
    ModelIndex,
    Question,
    UnloadModel,
    refusal,
)
from gateway.core.errors import GatewayError, Overloaded
from gateway.core.model import check_name
from gateway.lifecycle.fronts import Reply
from gateway.lifecycle.loads import Loads

log = logging.getLogger("gateway.lifecycle")

_ENDING = "the gateway is ending"

# Calls back when every front has acted upon all it was told until now.
Synchronise = Callable[[Callable[[], None]], None]


class Desk:
    """Implements `FrontQuestions`: answers while `run` runs, refuses before and after; always once."""

    def __init__(self, loads: Loads, synchronise: Synchronise) -> None:
        self._loads = loads
        self._synchronise = synchronise
        self._group: asyncio.TaskGroup | None = None
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

    def on_ask(self, ask: Ask, fds: tuple[int, ...], reply: Reply) -> None:
        """Takes a question; see FrontQuestions."""
        if self._group is None:
            for fd in fds:
                os.close(fd)
            self._reply(ask, reply, refusal(Overloaded(_ENDING)))
            return
        self._group.create_task(self._serve(ask, fds, reply), name=f"ask {ask.number}")

    async def _serve(self, ask: Ask, fds: tuple[int, ...], reply: Reply) -> None:
        answer: Answer = refusal(Overloaded(_ENDING))
        try:
            # In a thread where files came along: that may be a copy of many megabytes.
            question = await asyncio.to_thread(self._open, ask, fds) if fds else self._open(ask, fds)
            answer = await self._answer(question)
        except GatewayError as error:
            answer = refusal(error)
        except Exception as error:  # a bug in here costs one answer, not the gateway
            log.error("a question could not be answered", exc_info=error)
            answer = refusal(GatewayError("internal error"))
        finally:
            self._reply(ask, reply, answer)

    def _open(self, ask: Ask, fds: tuple[int, ...]) -> Question:
        return self._decode(unpack(ask.question, fds))

    def _reply(self, ask: Ask, reply: Reply, answer: Answer) -> None:
        inline, fds = pack(self._encode(answer))
        reply(Answered(ask.number, inline), fds)

    async def _answer(self, question: Question) -> Answer:
        match question:
            case GetIndex():
                return ModelIndex(self._loads.index())
            case LoadModel(name):
                async with self._turn(name):
                    await self._loads.load(question)
                    await self._synchronised()
            case UnloadModel(name):
                async with self._turn(name):
                    await self._loads.unload(name)
                    await self._synchronised()
            case _:
                assert_never(question)
        return Done()

    def _turn(self, name: str) -> asyncio.Lock:
        """The lock of one model; gone when nobody holds it or waits for it."""
        turn = self._turns.get(check_name(name)) or asyncio.Lock()
        self._turns[name] = turn
        return turn

    async def _synchronised(self) -> None:
        done = asyncio.Event()
        self._synchronise(done.set)
        await done.wait()
