"""The whole control plane with real processes, but fronts and workers without an engine or a socket."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import psutil
import pytest

from gateway.config import GatewayConfig, validate
from gateway.controller import Controller
from gateway.wire.accepting import listening_socket
from tests.fakes.front_process import Told
from tests.fakes.waiting import soon, survivors, until, until_blocking

FRONT = "tests.fakes.front_of_gateway"
CHILD = "tests.fakes.worker_child:always_ok"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        folder = tmp_path / name / "1"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"anything")
    return tmp_path


def config(repository: Path, **server: object) -> GatewayConfig:
    return validate({
        "repository": {"paths": [str(repository)], "poll_s": 0.1},
        "workers": {"preload": [], "stop_grace_s": 1.0},
        "server": {"http_port": 0, "grpc_port": 0, "metrics_port": 0, "drain_timeout_s": 1.0, **server},
    })


class FrontReports:
    """What the only front was told, read from its counters."""

    def __init__(self, controller: Controller) -> None:
        self.latest: Told | None = None
        controller.fronts._telemetry = self

    def on_counters(self, front: int, data: bytes) -> None:
        self.latest = msgspec.msgpack.decode(data, type=Told)

    def on_front_died(self, front: int) -> None:
        self.latest = None

    def state(self, name: str) -> str:
        view = self.latest.world.get(name) if self.latest else None
        return view.versions[-1].state if view and view.versions else ""


def serve(
    made: GatewayConfig, scenario: Callable[[Controller, FrontReports, Mapping[str, int]], Awaitable[None]]
) -> int:
    """Runs a controller around `scenario`, then stops it in order."""

    async def main() -> int:
        controller = Controller(made, worker_entry=CHILD, front_module=FRONT, seed=1)
        told = FrontReports(controller)
        announced: list[Mapping[str, int]] = []

        async def act() -> None:
            try:
                await until(lambda: announced)
                await scenario(controller, told, announced[0])
                controller.lifecycle.check()
                controller.supervisor.check()
                controller.fronts.check()
            finally:
                controller.stop()

        async with asyncio.TaskGroup() as group:
            group.create_task(act())
            status = group.create_task(controller.serve(announced.append))
        return status.result()

    gc.collect()  # what earlier tests left to the collector must not be closed while we count
    fds = len(os.listdir("/proc/self/fd"))
    status = asyncio.run(main())
    assert not psutil.Process().children(recursive=True)
    # The system's watch of the repository is closed by a thread that nobody waits for.
    until_blocking(lambda: len(os.listdir("/proc/self/fd")) == fds)
    return status


def test_from_a_folder_to_a_served_model_and_back(repository: Path) -> None:
    async def scenario(controller: Controller, told: FrontReports, ports: Mapping[str, int]) -> None:
        assert ports.keys() == {"http", "metrics"}
        await until(lambda: told.state("a") == "ready")  # the fake front asks for it
        assert told.state("b") == "absent"
        await until(lambda: told.latest and told.latest.echoes)
        (repository / "b" / "1" / "model.onnx").unlink()
        await until(lambda: told.latest and told.latest.world["b"].broken)
        folder = repository / "a" / "2"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"newer")
        # It is loaded beside the first, which serves until then.
        await until(lambda: told.latest and [one.version for one in told.latest.world["a"].versions] == [2])
        assert told.state("a") == "ready"
        statistics = controller.statistics()
        assert statistics.front_restarts == 0
        assert statistics.supervisor.zygote_starts == 1

    assert serve(config(repository), scenario) == 0


@pytest.mark.parametrize("kind", ["front", "zygote", "worker"])
def test_whatever_is_killed_is_back_within_a_second(repository: Path, kind: str) -> None:
    async def scenario(controller: Controller, told: FrontReports, ports: Mapping[str, int]) -> None:
        await until(lambda: told.latest and told.latest.echoes)
        workers = [pid for pid in controller.supervisor.pids() if pid != controller.supervisor.zygote_pid]
        pids = {
            "front": controller.fronts.pids()[0],
            "zygote": controller.supervisor.zygote_pid,
            "worker": workers[0],
        }
        victim = pids[kind]
        assert victim is not None
        before = time.perf_counter()
        os.kill(victim, signal.SIGKILL)
        match kind:
            case "front":
                await until(lambda: told.latest and told.latest.pid != victim and told.latest.echoes)
            case "zygote":
                await until(lambda: controller.supervisor.zygote_pid not in {None, victim})
                await until(lambda: controller.supervisor.zygote.is_prepared)
            case "worker":
                await until(lambda: told.latest and len(told.latest.echoes) == 2)
        assert time.perf_counter() - before < soon(1.0)
        assert told.state("a") == "ready"

    assert serve(config(repository), scenario) == 0


def test_a_front_that_cannot_start_ends_the_gateway(repository: Path) -> None:
    async def main() -> int:
        controller = Controller(
            config(repository), worker_entry=CHILD, front_module="tests.fakes.no_such_module"
        )
        return await controller.serve(lambda ports: None)

    assert asyncio.run(main()) == 1
    assert not psutil.Process().children(recursive=True)


def test_a_metrics_port_in_use_ends_the_gateway(repository: Path, caplog: pytest.LogCaptureFixture) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def main() -> int:
            made = config(repository, metrics_port=port)
            return await Controller(made, worker_entry=CHILD, front_module=FRONT).serve(lambda ports: None)

        assert asyncio.run(main()) == 1
    assert f"server.metrics_port = {port}: Address already in use" in caplog.text


@pytest.mark.parametrize("kind", ["http_port", "grpc_port"])
def test_the_shared_port_of_another_gateway_ends_the_gateway(
    repository: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """SO_REUSEPORT, by which fronts share a port, would let it be shared with anybody."""
    with listening_socket("127.0.0.1", 0, reuse_port=True) as taken:
        port = taken.getsockname()[1]

        async def main() -> int:
            made = config(repository, fronts=2, **{kind: port})
            return await Controller(made, worker_entry=CHILD, front_module=FRONT).serve(lambda ports: None)

        assert asyncio.run(main()) == 1
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in caplog.text


def test_a_repository_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    missing = tmp_path / "later"

    async def scenario(controller: Controller, told: FrontReports, ports: Mapping[str, int]) -> None:
        await until(lambda: told.latest)
        assert told.latest is not None
        assert not told.latest.is_complete
        folder = missing / "z" / "1"
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(b"x")
        await until(lambda: told.state("z") == "absent")

    assert serve(config(missing), scenario) == 0


def test_a_second_stop_hurries(repository: Path) -> None:
    async def scenario(controller: Controller, told: FrontReports, ports: Mapping[str, int]) -> None:
        await until(lambda: told.latest and told.latest.echoes)
        os.kill(controller.fronts.pids()[0], signal.SIGSTOP)
        controller.stop()
        controller.stop()

    before = time.perf_counter()
    assert serve(config(repository, drain_timeout_s=600.0), scenario) == 0
    assert time.perf_counter() - before < soon(10.0)


def test_nothing_outlives_a_killed_controller(repository: Path) -> None:
    driver = (
        "import asyncio, sys\n"
        "from gateway.controller import Controller\n"
        "from tests.test_controller import CHILD, FRONT, config\n"
        "from pathlib import Path\n"
        "async def main():\n"
        "    made = Controller(config(Path(sys.argv[1])), worker_entry=CHILD, front_module=FRONT)\n"
        "    await made.serve(lambda ports: print('up', flush=True))\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", driver, str(repository)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        root = psutil.Process(process.pid)
        until_blocking(lambda: {"gateway-zygote", "gateway-spare"} <= {p.name() for p in root.children(True)})
        family = root.children(recursive=True)
        assert len(family) == 3
        # One of them stopped: it cannot see a socket close.
        next(one for one in family if one.name() == "gateway-spare").suspend()
        process.kill()
        assert not survivors(family)


@pytest.mark.parametrize(("wanted", "cores", "count"), [(3, 1, 3), ("auto", 1, 1), ("auto", 8, 4)])
def test_how_many_fronts(wanted: int | str, cores: int, count: int) -> None:
    assert validate({"server": {"fronts": wanted}}).server.front_count(cores) == count
