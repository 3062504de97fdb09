"""That the measure of streams counts right; what it measures is for `make bench`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench import streams
from tests.bench.servers import Server
from tests.fakes.gateway_process import gateway


def test_what_is_counted_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RESPONSES", 100)
    streams.write_repository(tmp_path)
    with gateway(tmp_path, "--insecure-dev") as running:
        http, grpc = (int(address.rpartition(":")[2]) for address in (running.http, running.grpc))
        server, cpus = Server("gateway", running.process.pid, http, grpc), frozenset(os.sched_getaffinity(0))
        for row in (streams.over_sse(server, cpus), streams.over_grpc(server, cpus)):
            assert len(row.ours.rounds) == streams.ROUNDS
            assert row.figure > 0
