"""Events as objects: what is put where, and that a store that is away loses nothing."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from gateway.core.caller import ANYBODY
from gateway.core.messages import InferRequest, InferResponse
from gateway.testing import start
from gateway_plugins.payload_log import stores
from gateway_plugins.payload_log.plugin import PayloadLog
from gateway_plugins.payload_log.settings import ObjectStoreSettings, PayloadLogSettings
from gateway_plugins.payload_log.stores import StoreSink

EVENTS: list[dict[str, Any]] = [{"id": "1"}, {"id": "2"}]


class Store:
    """Takes objects as S3 does, while it is well."""

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.asked = 0
        self.is_well = True
        self.has_one = asyncio.Event()

    async def put(self, request: web.Request) -> web.Response:
        self.asked += 1
        if not self.is_well:
            return web.Response(status=503)
        lines = (await request.read()).decode().splitlines()
        self.objects[request.path] = [json.loads(line) for line in lines]
        self.has_one.set()
        return web.Response(headers={"ETag": '"1"'})

    def run(self, act: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        async def served() -> None:
            app = web.Application()
            app.router.add_put("/{path:.*}", self.put)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            try:
                endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
                options = {"endpoint": endpoint, "region": "us-east-1"}
                await act({"url": "s3://bucket/log", "options": options, "allow_http": True})
            finally:
                await runner.cleanup()

        asyncio.run(served())


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    return Store()


def test_a_batch_is_an_object_by_day(store: Store) -> None:
    async def write(settings: dict[str, Any]) -> None:
        sink = StoreSink(ObjectStoreSettings.model_validate(settings), lambda: 1.7e9)
        await sink.write(EVENTS)
        await sink.write(EVENTS[:1])
        await sink.aclose()

    store.run(write)
    assert sorted(map(len, store.objects.values())) == [1, 2]
    for path in store.objects:
        assert re.fullmatch(r"/bucket/log/2023/11/14/221320-[0-9a-f-]{36}\.jsonl", path)


def test_a_store_that_is_away_is_an_error_that_quotes_nothing(store: Store) -> None:
    store.is_well = False

    async def write(settings: dict[str, Any]) -> None:
        sink = StoreSink(ObjectStoreSettings.model_validate(settings), lambda: 1.7e9)
        with pytest.raises(OSError, match=r"^\w+$"):
            await sink.write(EVENTS)

    store.run(write)
    assert store.asked == 1


def test_events_are_gathered_and_none_is_lost_at_the_end(store: Store) -> None:
    async def log(settings: dict[str, Any]) -> None:
        told = {"share": 1.0, "store": {**settings, "gather_s": 600}}
        plugin = PayloadLog(PayloadLogSettings.model_validate(told), start())
        await plugin.on_start()
        for number in range(1500):
            plugin.transform_response(
                InferResponse("m", 1, ()), InferRequest("m", 0, (), id=str(number)), ANYBODY
            )
        await store.has_one.wait()
        await plugin.on_stop()

    store.run(log)
    assert sorted(map(len, store.objects.values())) == [500, 1000]
    told = [one["data"]["request_id"] for events in store.objects.values() for one in events]
    assert sorted(map(int, told)) == list(range(1500))


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"url": "https://host/path"}, "pattern"),
        ({"url": "s3://user:secret@bucket/log"}, "pattern"),
        ({"url": "file:///etc"}, "pattern"),
        ({"url": "s3://bucket", "options": {"aws_secret_access_key": "x"}}, "is a credential"),
    ],
)
def test_what_is_no_store(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        ObjectStoreSettings.model_validate(settings)


def test_one_place_it_is(tmp_path: Path) -> None:
    store = {"url": "s3://bucket"}
    with pytest.raises(ValidationError, match="one of file, url and store"):
        PayloadLogSettings.model_validate({"store": store, "file": tmp_path / "log"})


def test_an_option_that_fits_nothing_stops_the_start() -> None:
    settings = ObjectStoreSettings.model_validate({"url": "s3://bucket", "options": {"colour": "red"}})
    with pytest.raises(ValueError, match=r"^store: it cannot be opened: \w+$"):
        StoreSink(settings, lambda: 0.0)


def test_without_the_extra_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(stores, "import_module", absent)
    with pytest.raises(ValueError, match="extra 'stores'"):
        StoreSink(ObjectStoreSettings.model_validate({"url": "s3://bucket"}), lambda: 0.0)
