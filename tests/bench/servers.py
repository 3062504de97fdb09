"""Servers under test: started in a process group of their own on given cores, awaited, stopped by pid."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from tests.bench.bodies import Signature
from tests.bench.environments import Missing, environment

_STUB = "triton_python_backend_stub"

# Where our package lies as plain Python, and where `make compiled` puts it.
PLAIN, COMPILED = Path(), Path("build/compiled")


class DidNotStart(Exception):
    """A server that ended or stayed silent; the text carries the end of what it printed."""


class Server(msgspec.Struct, frozen=True):
    """A server that has answered: where it listens and its first process. Port 0 is not served.

    `headers` are what it wants to be sent with each request.
    """

    name: str
    pid: int
    http_port: int
    grpc_port: int = 0
    headers: Mapping[str, str] = {}

    def signature(self, model: str) -> Signature:
        """The model's tensors as the server tells them; loads the model where that is needed."""
        status, body = get(self.http_port, f"/v2/models/{model}", headers=self.headers)
        if status != 200:
            raise DidNotStart(f"{self.name}: metadata of {model}: {status} {body!r}")
        return msgspec.json.decode(body, type=Signature)


def get(
    port: int, path: str, timeout_s: float = 30.0, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """One GET on loopback; raises OSError where nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """Ports that are free now; all held open together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def running(
    command: Sequence[str],
    *,
    cpus: frozenset[int],
    ready: tuple[int, str],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 60.0,
) -> Generator[subprocess.Popen[bytes]]:
    """Runs `command` on `cpus` until the block ends; enters when GET of `ready` answers 200.

    Raises DidNotStart with the end of its output. Stops it with SIGTERM, after 20 s with SIGKILL to
    its own process group, which nothing else is in.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
            # Set before exec, so that every thread and child it ever has inherits the cores.
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        )
        try:
            if not _wait_until_ready(process, ready, timeout_s):
                raise DidNotStart(f"{' '.join(command[:4])} …:\n{_tail(output)}")
            yield process
        finally:
            _stop(process)


@contextmanager
def gateway(
    repository: Path,
    *,
    cpus: frozenset[int],
    fronts: int = 1,
    more: str = "",
    root: Path = PLAIN,
    flags: Sequence[str] = ("--insecure-dev",),
    headers: Mapping[str, str] | None = None,
) -> Generator[Server]:
    """Our gateway over `repository`, REST and gRPC on ports of its own.

    `more` of its configuration; `root` is the folder whose package `gateway` runs.
    """
    http_port, grpc_port, metrics_port = free_ports(3)
    server = f"[server]\nhttp_port = {http_port}\ngrpc_port = {grpc_port}\nmetrics_port = {metrics_port}\n"
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as folder:
        file = Path(folder) / "gateway.toml"
        file.write_text(f"{server}fronts = {fronts}\n{more}")
        command = [sys.executable, "-m", "gateway", "serve", *flags]
        command += ["--repository", str(repository.absolute()), "--config", str(file)]
        ready = (http_port, "/v2/health/ready")
        with running(command, cpus=cpus, ready=ready, cwd=root) as process:
            yield Server("gateway", process.pid, http_port, grpc_port, headers or {})


@contextmanager
def triton(repository: Path, *, cpus: frozenset[int], more: Sequence[str] = ()) -> Generator[Server]:
    """The tritonserver of the wheel nvidia-pytriton, with its Python backend, over `repository`.

    `more` of its flags.
    """
    home = _triton_home()
    http_port, grpc_port = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="bench-triton-") as folder:
        backends = _link_backends(home, Path(folder))
        command = [str(home / "bin" / "tritonserver"), f"--model-repository={repository.absolute()}"]
        command += [f"--backend-directory={backends}", "--allow-metrics=false", "--http-address=127.0.0.1"]
        command += [f"--http-port={http_port}", f"--grpc-port={grpc_port}", "--grpc-address=127.0.0.1"]
        command += ["--disable-auto-complete-config", "--log-verbose=0", "--log-info=false", *more]
        ready = (http_port, "/v2/health/ready")
        with running(command, cpus=cpus, ready=ready, env=_triton_environment(home)) as process:
            yield Server("triton", process.pid, http_port, grpc_port)


def _triton_home() -> Path:
    """The folder of the wheel's tritonserver; raises Missing."""
    venv = environment("triton", "bench-triton")
    found = sorted(venv.glob("lib/python3.*/site-packages/pytriton/tritonserver"))
    if not found:
        raise Missing(f"the wheel in {venv} has no tritonserver")
    return found[0]


def _link_backends(home: Path, folder: Path) -> Path:
    """A backend directory in `folder`: the wheel's, with the stub of the environment's Python in it."""
    version = home.parents[2].name.removeprefix("python")
    stub = home / "python_backend_stubs" / version / _STUB
    if not stub.is_file():
        raise Missing(f"the wheel has no Python backend stub for Python {version}")
    python = folder / "backends" / "python"
    shutil.copytree(home / "backends" / "python", python)
    # A link, not a copy: the stub finds its libraries relative to where it really is.
    (python / _STUB).symlink_to(stub)
    return python.parent


def _triton_environment(home: Path) -> dict[str, str]:
    """Libraries the wheel bundles, libpython for the stub, and the environment's own packages."""
    packages = home.parents[1]
    libraries = [str(packages / "nvidia_pytriton.libs")]
    if directory := sysconfig.get_config_var("LIBDIR"):
        libraries.append(directory)
    return {
        "LD_LIBRARY_PATH": ":".join(libraries),
        # The stub reads no PYTHONPATH; it looks for its home beside the first python3 on PATH.
        "PATH": f"{home.parents[4] / 'bin'}:{os.environ['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }


def _wait_until_ready(process: subprocess.Popen[bytes], ready: tuple[int, str], timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < until:
        try:
            if get(*ready, timeout_s=5.0)[0] == 200:
                return True
        except (OSError, http.client.HTTPException):
            pass  # not listening yet
        time.sleep(0.02)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):  # the group is killed below
            process.wait(20)
    with suppress(ProcessLookupError):  # all of them have gone by themselves
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(output: object, size: int = 4000) -> str:
    output.seek(0)  # type: ignore[attr-defined]
    return output.read()[-size:].decode(errors="replace")  # type: ignore[attr-defined,no-any-return]
