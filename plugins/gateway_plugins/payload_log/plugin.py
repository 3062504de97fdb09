"""The plugin `payload_log`: what models were asked and what they answered, beside the requests' way."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from random import Random
from typing import Any
from uuid import UUID

import aiohttp

from gateway.core.caller import Caller, matches
from gateway.core.measures import Measure
from gateway.core.messages import InferRequest, InferResponse
from gateway.hooks import Start, hookimpl
from gateway_plugins.payload_log.events import event
from gateway_plugins.payload_log.settings import PayloadLogSettings
from gateway_plugins.payload_log.sinks import FileSink, HttpSink, Sink
from gateway_plugins.payload_log.stores import StoreSink

log = logging.getLogger("gateway.plugins")

BATCH = 100
OBJECT = 1000  # events of one object in a store
# Between attempts while the sink does not take them.
RETRY_S = 1.0


class PayloadLog:
    """Logs requests with their answers as CloudEvents: sampled, redacted, to a file, address or store."""

    Settings = PayloadLogSettings

    def __init__(self, settings: PayloadLogSettings, start: Start, random: Random | None = None) -> None:
        if settings.file is not None and not settings.file.parent.is_dir():
            raise ValueError(f"file: the folder of {settings.file.name} is not there")
        self._settings = settings
        # Made here, so that one that cannot be stops the start.
        self._store = None if settings.store is None else StoreSink(settings.store, start.wall)
        self._batch = BATCH if settings.store is None else OBJECT
        self._wall = start.wall
        self._random = random or Random()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue(settings.queue)
        self._taken: list[dict[str, Any]] = []  # being written now
        self._task: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[bool] | None = None
        self._sink: Sink | None = None
        self._is_taking = True
        self.written = self.dropped = 0

    @hookimpl
    def transform_response(self, response: InferResponse, request: InferRequest, caller: Caller) -> None:
        """Changes nothing. What is logged is made of the tensors here: they are gone afterwards."""
        settings = self._settings
        if self._random.random() >= settings.share:
            return
        if not any(matches(pattern, response.model) for pattern in settings.models):
            return
        if self._events.full():
            self.dropped += 1
            return
        identity = str(UUID(int=self._random.getrandbits(128), version=4))
        self._events.put_nowait(event(settings, identity, self._wall(), request, response, caller))

    @hookimpl
    async def on_start(self) -> None:
        """Begins to write."""
        self._sink = self._made()
        self._task = asyncio.create_task(self._write(self._sink), name="payload_log")

    @hookimpl
    async def on_stop(self) -> None:
        """Writes what waits, once more, and says what was dropped."""
        if self._task is not None and self._sink is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            if self._writing is not None:  # what is on its way is not sent twice
                await self._writing
            while self._has_more() and await self._has_written(self._sink):
                continue
            await self._sink.aclose()
        lost = self.dropped + len(self._taken) + self._events.qsize()
        if lost:
            log.warning("%d events of the payload log were dropped", lost)

    @hookimpl
    def measures(self) -> tuple[Measure, ...]:
        """What became of events, and how many wait."""
        became = {"written": self.written, "dropped": self.dropped}
        waiting = len(self._taken) + self._events.qsize()
        return (
            *[Measure("events", "counter", count, (("result", how),)) for how, count in became.items()],
            Measure("waiting", "gauge", waiting, (), "Events that are not yet written."),
        )

    def _made(self) -> Sink:
        settings = self._settings
        if self._store is not None:
            return self._store
        return HttpSink(settings.url) if settings.file is None else FileSink(settings.file)

    async def _write(self, sink: Sink) -> None:
        while True:
            if not self._taken:
                self._taken.append(await self._events.get())
                await self._gather()
            self._has_more()
            if not await self._has_written(sink):
                await asyncio.sleep(RETRY_S)

    async def _gather(self) -> None:
        """Waits for more, where each write makes an object."""
        store = self._settings.store
        if store is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(store.gather_s):
                    while len(self._taken) < self._batch:
                        self._taken.append(await self._events.get())

    def _has_more(self) -> bool:
        """Takes as much of what waits as may be written at once; True where there is anything."""
        while len(self._taken) < self._batch and not self._events.empty():
            self._taken.append(self._events.get_nowait())
        return bool(self._taken)

    async def _has_written(self, sink: Sink) -> bool:
        """As `_write_taken`, which goes on where this is cancelled."""
        self._writing = asyncio.create_task(self._write_taken(sink), name="payload_log write")
        return await asyncio.shield(self._writing)

    async def _write_taken(self, sink: Sink) -> bool:
        """Writes what was taken; what cannot be written stays taken."""
        try:
            await sink.write(self._taken)
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            if self._is_taking:
                log.error("the payload log cannot be written (%s); it waits", type(error).__name__)
            self._is_taking = False
            return False
        self._is_taking = True
        self.written += len(self._taken)
        self._taken = []
        return True
