"""Answers that were given before, for models whose answers depend on nothing but what they are asked.

DESIGN: an answer is remembered by everything it could depend on: tenant (nobody's answer tells of another's
question), model, version, inputs, parameters and the outputs asked for. Of equal questions that come at once
one goes to the model and the others wait for its answer; if it fails they go themselves, for an error is no
answer. What is remembered is bounded in bytes and in time, and what was not used for the longest goes first.
A question counts against limits whether it is answered from here or not: those are asked before.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.caller import Caller, matches
from gateway.core.measures import Measure
from gateway.core.messages import SEQUENCE_PARAMETERS, InferRequest, InferResponse
from gateway.core.tensor import Tensor
from gateway.hooks import Start, hookimpl

# A question's place in the books beside its bytes: keys, tuples and the like.
_ENTRY_BYTES = 1024


class ResponseCacheSettings(BaseModel):
    """[plugins.settings.response_cache]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = Field(
        min_length=1, description="Patterns of models that answer equals equally."
    )
    ttl_s: float = Field(60.0, gt=0, le=86_400, description="How long an answer is remembered.")
    max_bytes: int = Field(256 << 20, ge=1 << 10, description="Of all answers in one front.")
    max_answer_bytes: int = Field(1 << 20, ge=1, description="Of one answer; longer ones are not remembered.")
    max_wait_s: float = Field(10.0, gt=0, le=30, description="How long one waits for the answer of another.")


class _Kept(NamedTuple):
    response: InferResponse
    size: int
    ends: float


class _Asking:
    """A request that is under way; `answered` is there once others may wait for it."""

    def __init__(self) -> None:
        self.key = b""
        self.answered: asyncio.Future[InferResponse | None] | None = None


class ResponseCache:
    """Answers equal questions from memory, and asks the model once for those that come at once."""

    Settings = ResponseCacheSettings

    def __init__(self, settings: ResponseCacheSettings, start: Start) -> None:
        self._settings = settings
        self._clock = start.clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._size = 0
        self._asking: dict[int, _Asking] = {}  # by the identity of the request, which its asking keeps alive
        self._leading: dict[bytes, _Asking] = {}
        self.hits = self.misses = self.shared = 0

    @hookimpl(trylast=True)
    def admit(self, request: InferRequest, caller: Caller) -> Callable[[], None] | None:
        """Refuses nobody; remembers that the request is under way, until it has ended."""
        if not any(matches(pattern, request.model) for pattern in self._settings.models):
            return None
        if SEQUENCE_PARAMETERS & request.parameters.keys():
            return None
        asking = self._asking[id(request)] = _Asking()
        return partial(self._ended, request, asking)

    @hookimpl
    def answer(
        self, request: InferRequest, version: int, caller: Caller
    ) -> InferResponse | Awaitable[InferResponse | None] | None:
        """The answer of an equal question, if it is known or will be."""
        asking = self._asking.get(id(request))
        if asking is None or not version:
            return None
        key = key_of(request, version, caller)
        if (kept := self._known(key)) is not None:
            self.hits += 1
            return _for(request, kept.response)
        leader = self._leading.get(key)
        if leader is not None and leader.answered is not None:
            self.shared += 1
            return self._wait(leader.answered, request)
        self.misses += 1
        asking.key, asking.answered = key, asyncio.get_running_loop().create_future()
        self._leading[key] = asking
        return None

    @hookimpl(trylast=True)
    def transform_response(self, response: InferResponse, request: InferRequest, caller: Caller) -> None:
        """Changes nothing; remembers the answer, as the other plugins have left it."""
        asking = self._asking.get(id(request))
        if asking is None or asking.answered is None or asking.answered.done():
            return
        size = sum(len(tensor.data) for tensor in response.outputs)
        if size <= self._settings.max_answer_bytes:
            copied = _copied(response)
            self._keep(asking.key, copied, size + _ENTRY_BYTES)
            asking.answered.set_result(copied)

    @hookimpl
    def measures(self) -> tuple[Measure, ...]:
        """How often an answer was known, was another's, was not known; and what is remembered."""
        asked = {"hit": self.hits, "shared": self.shared, "miss": self.misses}
        return (
            *[Measure("lookups", "counter", count, (("result", how),)) for how, count in asked.items()],
            Measure("bytes", "gauge", self._size, (), "Of the answers that are remembered."),
            Measure("answers", "gauge", len(self._kept), (), "Answers that are remembered."),
        )

    # ---- what is known -----------------------------------------------------------------------------

    def _known(self, key: bytes) -> _Kept | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if self._clock() >= kept.ends:
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def _keep(self, key: bytes, response: InferResponse, size: int) -> None:
        if key in self._kept:
            self._forget(key)
        self._kept[key] = _Kept(response, size, self._clock() + self._settings.ttl_s)
        self._size += size
        while self._size > self._settings.max_bytes:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: bytes) -> None:
        self._size -= self._kept.pop(key).size

    # ---- who waits for whom ------------------------------------------------------------------------

    async def _wait(
        self, answered: asyncio.Future[InferResponse | None], request: InferRequest
    ) -> InferResponse | None:
        wait_s = min(self._settings.max_wait_s, max(0.0, request.deadline - self._clock()))
        try:
            async with asyncio.timeout(wait_s):
                response = await asyncio.shield(answered)
        except TimeoutError:
            return None
        return None if response is None else _for(request, response)

    def _ended(self, request: InferRequest, asking: _Asking) -> None:
        """However it did: those that wait for it go on."""
        self._asking.pop(id(request), None)
        if asking.answered is not None:
            if self._leading.get(asking.key) is asking:
                del self._leading[asking.key]
            if not asking.answered.done():
                asking.answered.set_result(None)


def key_of(request: InferRequest, version: int, caller: Caller) -> bytes:
    """What tells questions apart: each part with its length, so that none can pass into another."""
    digest = blake2b(digest_size=32)

    def add(part: bytes | bytearray | memoryview) -> None:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)

    for text in (caller.tenant, request.model, str(version), request.protocol):
        add(text.encode())
    for tensor in request.inputs:
        add(f"{tensor.name}\0{tensor.dtype.name}\0{tensor.shape}".encode())
        add(tensor.data)
    add(b"")
    add(repr(sorted((name, type(one).__name__, one) for name, one in request.parameters.items())).encode())
    for output in request.outputs:
        add(f"{output.name}\0{sorted(output.parameters.items())!r}".encode())
    return digest.digest()


def _copied(response: InferResponse) -> InferResponse:
    """The same answer in memory of its own."""
    outputs = tuple([Tensor(one.name, one.dtype, one.shape, bytes(one.data)) for one in response.outputs])
    return InferResponse(response.model, response.version, outputs, "", response.parameters)


def _for(request: InferRequest, response: InferResponse) -> InferResponse:
    """The answer under the request's own id."""
    return InferResponse(response.model, response.version, response.outputs, request.id, response.parameters)
