from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway_plugins.payload_log.sinks import FileSink, HttpSink

EVENTS: list[dict[str, Any]] = [{"id": "1"}, {"id": "2"}]


def test_a_file_gets_a_line_an_event(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "log")

    async def run() -> None:
        await sink.write(EVENTS)
        await sink.write(EVENTS[:1])
        await sink.aclose()

    asyncio.run(run())
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["1", "2", "1"]


@pytest.mark.parametrize("status", [200, 204, 302, 500])
def test_an_address_gets_batches_and_has_them_if_it_says_so(status: int) -> None:
    got: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.headers["content-type"], await request.json()))
        return web.Response(status=status)

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/events", take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sink = HttpSink(f"http://127.0.0.1:{runner.addresses[0][1]}/events")
        try:
            await sink.write(EVENTS)
        finally:
            await sink.aclose()
            await runner.cleanup()

    if status < 300:
        asyncio.run(run())
    else:
        with pytest.raises(OSError, match=f"status {status}"):
            asyncio.run(run())
    assert got == [("application/cloudevents-batch+json", EVENTS)]
