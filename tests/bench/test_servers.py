from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from tests.bench.servers import DidNotStart, free_ports, get, running

CPU = frozenset({min(os.sched_getaffinity(0))})
SERVE = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1"]


def test_free_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


def test_a_server_runs_on_its_cores_and_ends_with_the_block(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with running([*SERVE, str(port)], cpus=CPU, ready=(port, "/"), cwd=tmp_path) as process:
        assert get(port, "/")[0] == 200
        assert os.sched_getaffinity(process.pid) == CPU
        assert os.getpgid(process.pid) == process.pid
    assert not psutil.pid_exists(process.pid)


def test_a_server_that_ends_is_reported_with_what_it_said() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no licence')"]
    with pytest.raises(DidNotStart, match="no licence"), running(command, cpus=CPU, ready=(1, "/")):
        pytest.fail("it was never ready")


def test_a_silent_server_is_given_up_and_killed_with_its_children() -> None:
    child = "import signal; signal.pause()"
    ignore = "import signal, subprocess, sys; signal.signal(15, signal.SIG_DFL)"
    command = [sys.executable, "-c", f"{ignore}; subprocess.run([sys.executable, '-c', '{child}'])"]
    (port,) = free_ports(1)
    with (
        pytest.raises(DidNotStart),
        running(command, cpus=CPU, ready=(port, "/"), timeout_s=0.5),
    ):
        pytest.fail("it was never ready")
    left = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == [sys.executable, "-c", child]]
    assert left == []
