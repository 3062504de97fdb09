"""A whole gateway as a child process: started, watched, asked, ended; used from tests without a loop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.fakes.waiting import GENEROUS_S, survivors, until_blocking

START_S = 60.0


class Gateway:
    """A started gateway. Invariant: `log` holds all it has written to standard error, `out` to output."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, log: Path) -> None:
        lines = out.read_text().splitlines()
        self.process = process
        self.out = out
        self.log = log
        # At the last `kill`: a worker that was waiting then, by another name, may be the replacement.
        self.before_kill: set[tuple[int, str]] = set()
        self.http = _after("REST and gRPC", lines)
        self.grpc = _after("  gRPC  ", lines)
        self.metrics = _after("metrics", lines)
        self.curl = next((line.strip() for line in lines if line.strip().startswith("curl")), "")

    def processes(self, kind: str = "") -> list[psutil.Process]:
        """The living processes below the controller: all, or those of a kind.

        "gateway-zygote", "gateway-spare" (a worker without a model yet), "gateway-worker", "front".
        """
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if not kind or _kind_of(process, self.process.pid) == kind:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def infer(
        self, model: str, body: Mapping[str, Any], timeout_s: float = GENEROUS_S
    ) -> tuple[int, Any, Mapping[str, str]]:
        """One REST inference: status, decoded body, headers (lower case)."""
        return self.ask(f"/v2/models/{model}/infer", body, timeout_s)

    def ask(
        self, path: str, body: Mapping[str, Any] | None = None, timeout_s: float = GENEROUS_S
    ) -> tuple[int, Any, Mapping[str, str]]:
        """One request to the HTTP port; GET without a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.http + path, data)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                text, status, headers = answer.read(), answer.status, answer.headers
        except urllib.error.HTTPError as error:
            text, status, headers = error.read(), error.code, error.headers
            error.close()
        return status, json.loads(text) if text else None, {k.lower(): v for k, v in headers.items()}

    def is_healthy(self) -> bool:
        """True while the control plane says that every front accepts."""
        try:
            with urllib.request.urlopen(
                self.metrics.replace("/metrics", "/healthz"), timeout=GENEROUS_S
            ) as answer:
                return bool(answer.status == 200)
        except OSError:  # what HTTP calls an error is one, too
            return False

    def page(self) -> dict[str, float]:
        """The metrics, by sample name with labels."""
        with urllib.request.urlopen(self.metrics, timeout=GENEROUS_S) as answer:
            text = answer.read().decode()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    def kill(self, process: psutil.Process) -> float:
        """SIGKILLs one process and returns the time of it."""
        self.before_kill = {known for one in self.processes() if (known := _identity(one)) is not None}
        os.kill(process.pid, signal.SIGKILL)
        return time.perf_counter()

    def wait_for_replacement(self, kind: str, timeout_s: float = GENEROUS_S) -> psutil.Process:
        """Waits for a process of `kind` that was not there at the last `kill`."""
        found: list[psutil.Process] = []

        def has_come() -> bool:
            known = {*self.before_kill, None}
            found[:] = [one for one in self.processes(kind) if _identity(one) not in known]
            return bool(found)

        until_blocking(has_come, timeout_s)
        return found[0]

    def stop(self, timeout_s: float = GENEROUS_S) -> int:
        """SIGTERM, and the exit status."""
        self.process.terminate()
        return self.process.wait(timeout_s)


def _identity(process: psutil.Process) -> tuple[int, str] | None:
    """The pid and the name; None where it has ended since it was listed."""
    try:
        return process.pid, process.name()
    except psutil.NoSuchProcess:
        return None


@contextmanager
def gateway(
    repository: Path, *flags: str, environment: Mapping[str, str] | None = None
) -> Generator[Gateway, None, None]:
    """`python -m gateway serve` on free ports; everything below it is gone afterwards."""
    command = [sys.executable, "-m", "gateway", "serve", "--repository", str(repository)]
    ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder, "out"), Path(folder, "log")
        with out.open("wb") as stdout, log.open("wb") as stderr:
            process = subprocess.Popen(
                [*command, *ports, *flags],
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **(environment or {})},
            )
        family: list[psutil.Process] = []
        try:
            until_blocking(lambda: "curl" in out.read_text() or process.poll() is not None, START_S)
            assert process.poll() is None, log.read_text()
            yield Gateway(process, out, log)
        finally:
            if process.poll() is None:
                family = psutil.Process(process.pid).children(recursive=True)
                process.kill()
            process.wait(GENEROUS_S)
            left = survivors(family)
            for one in left:
                one.kill()
        assert not left, f"orphans: {left}"


def _after(label: str, lines: Sequence[str]) -> str:
    return next(line.split()[-1] for line in lines if line.startswith(f"  {label.strip()}"))


def _kind_of(process: psutil.Process, controller: int) -> str:
    """What it is. A fork bears the zygote's name for a moment, but is no child of the controller."""
    if "gateway.front" in process.cmdline():
        return "front"
    name = process.name()
    return "" if name == "gateway-zygote" and process.ppid() != controller else name
