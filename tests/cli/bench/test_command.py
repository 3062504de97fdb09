"""The command in a process of its own, as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.bench.command import bench_command, loads
from gateway.cli.bench.plan import BenchError, Plan
from gateway.cli.bench.result import Report
from tests.cli.bench.servers import Request, RestServer, http, model_server

MAIN = """
import typer
from gateway.cli.bench.command import bench_command
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(bench_command)
app()
"""


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_sweep_as_json_with_pictures(tmp_path: Path) -> None:
    picture = tmp_path / "out.html"
    with RestServer(model_server) as server:
        done = _bench(
            "fraud", "--url", server.url, "--sweep", "1,2", "--requests", "20", "--warmup", "50ms",
            "--json", "--plot", str(picture),
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    report = msgspec.json.decode(done.stdout, type=Report)
    assert [result.load for result in report.results] == [1, 2]
    assert [(result.requests, result.failed) for result in report.results] == [(20, 0), (20, 0)]
    assert picture.read_text().startswith("<!DOCTYPE html>")


def test_the_table_and_inputs_from_a_file(tmp_path: Path) -> None:
    data = tmp_path / "inputs.json"
    data.write_text(
        json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 30], "data": [0.25] * 30}]})
    )
    token = tmp_path / "token"
    token.write_text("secret\n")
    with RestServer(model_server) as server:
        done = _bench(
            "fraud", "--url", server.url, "--rate", "100", "--requests", "5", "--data", str(data),
            "--token-file", str(token), "--header", "x-key: 7", "--connections", "2",
        )  # fmt: skip
        last = server.requests[-1]
    assert done.returncode == 0, done.stderr
    assert "p99.9 ms" in done.stdout
    assert "2 connections" in done.stdout
    assert json.loads(last.body)["inputs"][0]["data"] == [0.25] * 30
    assert (last.headers["authorization"], last.headers["x-key"]) == ("Bearer secret", "7")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("other",), "http 404: unknown model"),
        (("fraud", "--url", "127.0.0.1:1"), "cannot reach 127.0.0.1:1"),
        (("fraud", "--shape", "x:1,31"), "--shape: 'x' cannot be [1, 31]"),
        (("fraud", "--duration", "soon"), "'soon' is not a duration"),
        (("fraud", "--plot", "x.gif"), "must end in .png or .html"),
        (("fraud", "--sweep", "2,1"), "--sweep"),
        (("fraud", "--sweep", "1,1000000000"), "--concurrency"),
        (("fraud", "--token-file", "/no/such/file"), "--token-file"),
        (("fraud", "--protocol", "soap"), "soap"),
    ],
)
def test_bad_input_ends_with_status_2_and_says_why(arguments: tuple[str, ...], said: str) -> None:
    # In this process: nine others would take ten seconds to say one line each.
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(bench_command)
    with RestServer(model_server) as server:
        where = () if "--url" in arguments else ("--url", server.url)
        done = CliRunner().invoke(app, [*arguments, *where], catch_exceptions=False)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(("option", "status"), [((), 0), (("--fail-on-error",), 1)])
def test_failed_requests_are_a_failure_on_request(option: tuple[str, ...], status: int) -> None:
    def busy(request: Request) -> bytes:
        return model_server(request) if request.method == "GET" else http(b"full", "503 Busy")

    with RestServer(busy) as server:
        done = _bench("fraud", "--url", server.url, "--requests", "5", "--concurrency", "1", *option)
    assert done.returncode == status
    assert "5 of http 503 full" in done.stdout


def test_loads_of_a_sweep() -> None:
    plan = Plan(model="m")
    assert loads(plan, None) == (plan,)
    assert [item.concurrency for item in loads(plan, "1,8")] == [1, 8]
    rates = loads(msgspec.structs.replace(plan, rate=1.0), "10,20.5")
    assert [item.rate for item in rates] == [10, 20.5]
    with pytest.raises(BenchError, match="whole number"):
        loads(plan, "1.5")
