"""Events at an address: signed, tried again under one id, bounded, and in nobody's way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.core.events import Event
from gateway.testing import start
from gateway_plugins import webhooks
from gateway_plugins.webhooks import TargetSettings, Webhooks, WebhooksSettings

# The example of Standard Webhooks' own libraries.
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOADED = Event("model_loaded", "fraud", 2, {"load_s": 0.25})
FAILED = Event("model_load_failed", "simple", 1, {"reason": "no file"})


class Receiver:
    """Takes events, but for the first `refuses`."""

    def __init__(self, refuses: int = 0) -> None:
        self.refuses = refuses
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.seen: list[str] = []

    async def take(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers["webhook-id"])
        if len(self.seen) <= self.refuses:
            return web.Response(status=503)
        self.got.append((dict(request.headers), await request.read()))
        return web.Response(status=204)

    def run(self, act: Callable[[str], Awaitable[None]]) -> None:
        async def served() -> None:
            app = web.Application()
            app.router.add_post("/events", self.take)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            try:
                await act(f"http://127.0.0.1:{runner.addresses[0][1]}/events")
            finally:
                await runner.cleanup()

        asyncio.run(served())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "WAITS_S", (0.0, 0.0, 0.0))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text(f"{KEY}\n")
    return tmp_path / "key"


def made(url: str, key: Path, process: str = "controller", **more: Any) -> Webhooks:
    target = {"url": url, "key_file": key, "allow_http": True, **more}
    return Webhooks(WebhooksSettings.model_validate({"targets": [target]}), start(process))


def sent(receiver: Receiver, key: Path, *events: Event, **more: Any) -> Webhooks:
    """The plugin after its end."""
    found: list[Webhooks] = []

    async def act(url: str) -> None:
        plugin = made(url, key, **more)
        found.append(plugin)
        await plugin.on_start()
        for event in events:
            plugin.on_event(event)
        await plugin.on_stop()

    receiver.run(act)
    return found[0]


def test_the_signature_is_that_of_the_standard(key: Path) -> None:
    target = webhooks._Target(TargetSettings.model_validate({"url": "https://host/", "key_file": key}))
    headers = target.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_event_is_a_signed_cloud_event(key: Path) -> None:
    receiver = Receiver()
    assert sent(receiver, key, LOADED).counts == [{"sent": 1, "failed": 0, "dropped": 0}]
    ((headers, body),) = receiver.got
    assert headers["Content-Type"] == "application/cloudevents+json"
    told = json.loads(body)
    assert (told["specversion"], told["type"]) == ("1.0", "org.model-gateway.model_loaded")
    assert told["source"] == "/models/fraud/versions/2"
    assert told["data"] == {"model": "fraud", "version": 2, "load_s": 0.25}
    assert told["id"] == headers["webhook-id"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.digest(base64.b64decode(KEY.removeprefix("whsec_")), signed, hashlib.sha256)
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def test_one_that_is_refused_is_sent_again_under_its_id(key: Path) -> None:
    receiver = Receiver(refuses=3)
    assert sent(receiver, key, LOADED).counts[0]["sent"] == 1
    assert len(receiver.seen) == 4
    assert len(set(receiver.seen)) == 1


def test_one_that_is_never_taken_is_given_up_and_told_of(key: Path, caplog: pytest.LogCaptureFixture) -> None:
    receiver = Receiver(refuses=4)
    assert sent(receiver, key, LOADED, FAILED).counts == [{"sent": 1, "failed": 1, "dropped": 0}]
    assert "could not be sent: status 503" in caplog.text
    assert KEY.removeprefix("whsec_") not in caplog.text


def test_only_what_is_wanted_is_sent(key: Path) -> None:
    receiver = Receiver()
    sent(receiver, key, LOADED, FAILED, events=["*_failed"])
    sent(receiver, key, LOADED, FAILED, models=["fraud"])
    assert [json.loads(body)["data"]["model"] for _, body in receiver.got] == ["simple", "fraud"]


def test_what_does_not_fit_the_queue_is_dropped_and_counted(key: Path) -> None:
    receiver = Receiver()
    assert sent(receiver, key, *[LOADED] * 8, queue=5).counts == [{"sent": 5, "failed": 0, "dropped": 3}]


def test_a_front_sends_nothing(key: Path) -> None:
    assert made("https://host/", key, "front").unused == ("on_start", "on_stop")


@pytest.mark.parametrize(
    ("url", "text", "fault"),
    [
        ("http://host/", KEY, "must begin with https://"),
        ("https://user@host/", KEY, "no user"),
        ("https://host/", "whsec_!", "holds no base64"),
        ("https://host/", "whsec_AAAA", "24 to 64 bytes"),
        ("https://host/", KEY.removeprefix("whsec_"), "must hold whsec_"),
        ("https://host/", None, "cannot be read"),
    ],
)
def test_what_cannot_be_used_stops_the_start(tmp_path: Path, url: str, text: str | None, fault: str) -> None:
    file = tmp_path / "key"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=rf"^targets\.0: .*{fault}") as raised:
        made(url, file)
    assert KEY not in str(raised.value)
