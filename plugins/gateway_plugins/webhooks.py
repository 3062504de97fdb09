"""What happens to models, told to addresses that the operator names: CloudEvents (1.0, JSON), signed.

DESIGN: each address has a queue of its own, so that one that is away holds up no other; it is bounded, and
what does not fit is dropped and counted. An event is sent until the address has taken it (2xx), four times at
most, and always under its id, by which the receiver knows one that it has already.
Signed as Standard Webhooks 1.0.0 has it (spec/standard-webhooks.md of that project): HMAC-SHA256 over
"<id>.<seconds>.<body>". The key is read from a file at the start and appears nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from gateway.core.caller import matches
from gateway.core.clock import Clock
from gateway.core.events import Event
from gateway.hooks import Start, hookimpl
from gateway_plugins.outbound import checked_url, new_session

log = logging.getLogger("gateway.plugins")

TYPE = "org.model-gateway"
TIMEOUT_S = 10.0
# Between attempts.
WAITS_S = (1.0, 5.0, 30.0)
_KIND = "application/cloudevents+json"
# As Standard Webhooks has it: 24 to 64 bytes.
_KEY_BYTES = range(24, 65)
_PREFIX = "whsec_"


class TargetSettings(BaseModel):
    """[[plugins.settings.webhooks.targets]]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="Where events are posted; https, or with allow_http http on this machine.")
    allow_http: bool = Field(False, description="Whether http:// to this machine is good enough.")
    key_file: Path = Field(description="File of the key: whsec_ and 24 to 64 bytes in base64.")
    events: tuple[str, ...] = Field(("*",), min_length=1, description="Patterns of kinds of events.")
    models: tuple[str, ...] = Field(("*",), min_length=1, description="Patterns of models.")
    queue: int = Field(1000, ge=1, le=100_000, description="Events that wait; more are dropped and counted.")


class WebhooksSettings(BaseModel):
    """[plugins.settings.webhooks]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    targets: tuple[TargetSettings, ...] = Field(min_length=1, description="Who is told.")


class _Target:
    """One address and what waits for it."""

    def __init__(self, settings: TargetSettings) -> None:
        self.url = checked_url(settings.url, is_http_allowed=settings.allow_http)
        self._settings = settings
        self._key = _key_of(settings.key_file)
        self.waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(settings.queue)
        self.counts = {"sent": 0, "failed": 0, "dropped": 0}

    def wants(self, event: Event) -> bool:
        of = self._settings
        return any(matches(one, event.kind) for one in of.events) and any(
            matches(one, event.model) for one in of.models
        )

    def put(self, identity: str, body: bytes) -> None:
        if self.waiting.full():
            self.counts["dropped"] += 1
        else:
            self.waiting.put_nowait((identity, body))

    def headers(self, identity: str, seconds: int, body: bytes) -> Mapping[str, str]:
        signed = hmac.digest(self._key, f"{identity}.{seconds}.".encode() + body, hashlib.sha256)
        return {
            "content-type": _KIND,
            "webhook-id": identity,
            "webhook-timestamp": str(seconds),
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }


class Webhooks:
    """Tells addresses of the operator what happens to models: signed CloudEvents."""

    Settings = WebhooksSettings

    def __init__(self, settings: WebhooksSettings, start: Start) -> None:
        self._wall: Clock = start.wall
        self._waits_s = WAITS_S
        self._targets: list[_Target] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        # Events are told in the controller alone.
        self.unused = () if start.process == "controller" else ("on_start", "on_stop")
        for number, one in enumerate(settings.targets):
            try:
                self._targets.append(_Target(one))
            except ValueError as error:
                raise ValueError(f"targets.{number}: {error}") from None

    @hookimpl
    def on_event(self, event: Event) -> None:
        """Puts it in the queues of those who want it."""
        identity = f"evt_{uuid4().hex}"
        body = _body(event, identity, self._wall())
        for target in self._targets:
            if target.wants(event):
                target.put(identity, body)

    @property
    def counts(self) -> list[Mapping[str, int]]:
        """What became of events, by target: sent, failed, dropped."""
        return [target.counts for target in self._targets]

    @hookimpl
    async def on_start(self) -> None:
        """Begins to send."""
        self._session = new_session(TIMEOUT_S)
        self._tasks = [
            asyncio.create_task(self._send_all(target, self._session), name="webhooks")
            for target in self._targets
        ]

    @hookimpl
    async def on_stop(self) -> None:
        """Sends what waits, for two seconds, and says what was not sent."""
        idle = [asyncio.create_task(target.waiting.join()) for target in self._targets]
        await asyncio.wait(idle, timeout=2.0)
        for task in (*self._tasks, *idle):
            task.cancel()
        await asyncio.gather(*self._tasks, *idle, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        lost = sum(target.waiting.qsize() for target in self._targets)
        if lost:
            log.warning("webhooks: %d events were not sent before the end", lost)

    async def _send_all(self, target: _Target, session: aiohttp.ClientSession) -> None:
        while True:
            identity, body = await target.waiting.get()
            try:
                is_sent = await self._send(target, session, identity, body)
                target.counts["sent" if is_sent else "failed"] += 1
            finally:
                target.waiting.task_done()

    async def _send(
        self, target: _Target, session: aiohttp.ClientSession, identity: str, body: bytes
    ) -> bool:
        """True once the address has taken it."""
        for wait_s in (*self._waits_s, None):
            headers = target.headers(identity, int(self._wall()), body)
            try:
                async with session.post(
                    target.url, data=body, headers=headers, allow_redirects=False
                ) as answer:
                    if 200 <= answer.status < 300:
                        return True
                    fault = f"status {answer.status}"
            except (OSError, TimeoutError, aiohttp.ClientError) as error:
                fault = type(error).__name__
            if wait_s is not None:
                await asyncio.sleep(wait_s)
        log.error("webhooks: event %s could not be sent: %s", identity, fault)
        return False


def _body(event: Event, identity: str, wall: float) -> bytes:
    told = {
        "specversion": "1.0",
        "id": identity,
        "source": f"/models/{event.model}/versions/{event.version}",
        "type": f"{TYPE}.{event.kind}",
        "time": datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": {"model": event.model, "version": event.version, **event.data},
    }
    return json.dumps(told, separators=(",", ":")).encode()


def _key_of(file: Path) -> bytes:
    """Raises ValueError, which quotes nothing of the file."""
    try:
        text = file.read_text(encoding="ascii").strip()
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except OSError as error:
        raise ValueError(f"key_file: {file.name} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, binascii.Error):
        raise ValueError(f"key_file: {file.name} holds no base64") from None
    if not text.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
        raise ValueError(f"key_file: {file.name} must hold {_PREFIX} and 24 to 64 bytes in base64")
    return key
