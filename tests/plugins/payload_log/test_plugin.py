"""The log beside the requests: sampled, bounded, and never in their way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.core.caller import ANYBODY
from gateway.core.messages import InferRequest, InferResponse
from gateway.testing import Bench, Function, start
from gateway_plugins.payload_log.plugin import PayloadLog
from gateway_plugins.payload_log.settings import PayloadLogSettings

REQUEST, RESPONSE = InferRequest("m", 0, ()), InferResponse("m", 1, ())


def made(file: Path | None = None, **settings: Any) -> PayloadLog:
    told = {"share": 1.0, **({"file": file} if file else {}), **settings}
    return PayloadLog(PayloadLogSettings.model_validate(told), start(), Random(1))


class Sink:
    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.fails = False
        self.is_closed = False

    async def write(self, events: Sequence[dict[str, Any]]) -> None:
        if self.fails:
            raise OSError
        self.got += events

    async def aclose(self) -> None:
        self.is_closed = True


def test_a_share_of_the_requests_of_the_models_that_are_meant(tmp_path: Path) -> None:
    plugin = made(tmp_path / "log", share=0.1, models=["m*"])
    for _ in range(5000):
        plugin.transform_response(RESPONSE, REQUEST, ANYBODY)
        plugin.transform_response(InferResponse("other", 1, ()), REQUEST, ANYBODY)
    assert plugin._events.qsize() == pytest.approx(500, abs=70)


def test_what_waits_is_bounded_and_what_is_dropped_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin, sink = made(tmp_path / "log", queue=5), Sink()
    for _ in range(8):
        plugin.transform_response(RESPONSE, REQUEST, ANYBODY)
    assert plugin.dropped == 3
    sink.fails = True

    async def run() -> None:
        await plugin.on_start()
        plugin._sink = sink
        plugin._task.cancel()  # type: ignore[union-attr]
        await plugin.on_stop()

    asyncio.run(run())
    assert sink.is_closed
    assert "8 events of the payload log were dropped" in caplog.text


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_in_a_gateway(tmp_path: Path, protocol: str) -> None:
    async def run() -> None:
        async with Bench(made(tmp_path / "log", redact=["x"]), models={"echo": Function()}) as bench:
            answers = [await bench.infer("echo", {"x": [[5.0]]}, protocol=protocol) for _ in range(3)]
            assert all(one.is_ok for one in answers)
            await bench.infer("nobody", {"x": [[5.0]]}, protocol=protocol)
            assert not bench.failures

    asyncio.run(run())
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert len({one["id"] for one in events}) == 3
    assert {one["data"]["inputs"][0]["data"] for one in events} == {"[redacted]"}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"file": "/tmp/a", "url": "https://a.test"},
        {"url": "http://a.test"},
        {"url": "https://u:p@a.test"},
        {"url": "ftp://a.test"},
        {"file": "/tmp/a", "share": 0},
        {"file": "/no/such/folder/log"},
    ],
)
def test_settings_that_lead_nowhere_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"file|url|share"):
        made(**settings)


def test_what_became_of_events_is_on_the_page(tmp_path: Path) -> None:
    plugin = made(tmp_path / "log", queue=5)
    for _ in range(8):
        plugin.transform_response(RESPONSE, REQUEST, ANYBODY)

    def told() -> list[float]:
        return [one.value for one in plugin.measures()]

    assert told() == [0, 3, 5]

    async def run() -> None:
        await plugin.on_start()
        await plugin.on_stop()

    asyncio.run(run())
    assert told() == [5, 3, 0]
