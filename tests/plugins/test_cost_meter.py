"""Who pays for what, and that nothing is lost on the way to the file."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path

import pytest

from gateway.core.caller import Credentials, Grant, Operation, Principal
from gateway.core.errors import Reason
from gateway.core.measures import fault_of
from gateway.core.records import RequestRecord
from gateway.hooks import hookimpl
from gateway.testing import Bench, start
from gateway_plugins import cost_meter
from gateway_plugins.cost_meter import COLUMNS, CostMeter, CostMeterSettings


def record(
    principal: str = "anna",
    rows: int = 1,
    batch_rows: int = 1,
    compute_s: float = 0.0,
    reason: Reason | None = None,
) -> RequestRecord:
    return RequestRecord(
        *("fraud", 1, "rest", reason, 0.1, 0.0, compute_s, rows, batch_rows),
        principal=principal,
        tenant="shop",
    )


def meter(file: Path) -> CostMeter:
    return CostMeter(CostMeterSettings(file=file), start())


def lines(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


def test_a_batch_is_paid_for_by_rows(tmp_path: Path) -> None:
    plugin, file = meter(tmp_path / "costs.csv"), tmp_path / "costs.csv"
    for told in (
        record(rows=3, batch_rows=12, compute_s=0.4),
        record("bob", rows=9, batch_rows=12, compute_s=0.4),
        record(reason=Reason.MODEL_FAILED, batch_rows=0),
        RequestRecord("", 0, "rest", Reason.NOT_FOUND, 0.0),
    ):
        plugin.on_request(told)
    asyncio.run(plugin.write())
    asyncio.run(plugin.write())
    anna, bob = lines(file)
    assert list(anna) == list(COLUMNS)
    assert (anna["principal"], anna["requests"], anna["failed"], anna["rows"]) == ("anna", "2", "1", "4")
    assert (anna["device_seconds"], bob["device_seconds"]) == ("0.100000", "0.300000")
    assert anna["until"] == "2023-11-14T22:13:20+00:00"


def test_what_cannot_be_written_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    plugin = meter(folder / "costs.csv")
    folder.rmdir()
    for _ in range(2):
        plugin.on_request(record())
        asyncio.run(plugin.write())
    assert caplog.text.count("costs cannot be written") == 1
    folder.mkdir()
    plugin.on_request(record())
    asyncio.run(plugin.write())
    assert [one["requests"] for one in lines(folder / "costs.csv")] == ["3"]


def test_keys_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_meter, "_MAX_KEYS", 2)
    plugin = meter(tmp_path / "costs.csv")
    for name in ("a", "b", "c", "d", "a"):
        plugin.on_request(record(name))
    asyncio.run(plugin.write())
    told = {one["principal"]: one["requests"] for one in lines(tmp_path / "costs.csv")}
    assert told == {"a": "2", "b": "1", "(others)": "2"}


def test_a_name_is_no_formula(tmp_path: Path) -> None:
    plugin = meter(tmp_path / "costs.csv")
    plugin.on_request(record("=1+1"))
    asyncio.run(plugin.write())
    assert lines(tmp_path / "costs.csv")[0]["principal"] == "'=1+1"


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not there"):
        meter(tmp_path / "none" / "costs.csv")


class Anna:
    @hookimpl
    def authenticate(self, credentials: Credentials) -> Principal:
        return Principal("anna", "shop", (Grant(frozenset({Operation.INFER})),))


def test_in_a_gateway(tmp_path: Path) -> None:
    async def run() -> None:
        async with Bench(Anna(), meter(tmp_path / "costs.csv")) as bench:
            for protocol in ("rest", "grpc"):
                await bench.infer("echo", {"x": [[1.0], [2.0]]}, protocol=protocol)

    asyncio.run(run())
    (line,) = lines(tmp_path / "costs.csv")
    assert (line["tenant"], line["principal"], line["model"]) == ("shop", "anna", "echo")
    assert (line["requests"], line["rows"]) == ("2", "4")
    assert float(line["device_seconds"]) >= 0.0


def test_all_that_was_used_is_on_the_page(tmp_path: Path) -> None:
    plugin = meter(tmp_path / "costs.csv")
    for _ in range(2):
        plugin.on_request(record(rows=3, batch_rows=12, compute_s=0.4))
        asyncio.run(plugin.write())
    told = {one.name: one.value for one in plugin.measures()}
    assert told == {
        "requests": 2, "failed": 0, "rows": 6, "device_seconds": pytest.approx(0.2), "tokens": 0,
    }  # fmt: skip
    assert plugin.measures()[0].labels == (("tenant", "shop"), ("principal", "anna"), ("model", "fraud"))


def test_callers_without_end_share_a_line_on_the_page(tmp_path: Path) -> None:
    plugin = meter(tmp_path / "costs.csv")
    for number in range(3000):
        plugin.on_request(record(f"p{number}"))
    told = plugin.measures()
    assert fault_of(told) == ""
    assert sum(one.value for one in told if one.name == "requests") == 3000


def test_each_element_of_the_outputs_that_are_meant_is_a_token(tmp_path: Path) -> None:
    file = tmp_path / "costs.csv"

    async def run() -> None:
        async with Bench(CostMeter(CostMeterSettings(file=file, tokens=("x",)), start())) as bench:
            await bench.infer("echo", {"x": [[1.0, 2.0, 3.0]]})
            await bench.infer("echo", {"x": [[4.0]]}, protocol="grpc")

    asyncio.run(run())
    assert [line["tokens"] for line in lines(file)] == ["4"]
    assert "transform_response" in meter(file).unused
