"""Workers made by a real zygote, killed on purpose."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

import psutil
import pytest

from gateway.control.channel import ControlChannel, packet_pair
from gateway.core.clock import monotonic_s
from gateway.core.model import ModelSpec
from gateway.workers.handle import Exit, WorkerHandle
from gateway.workers.messages import Connect, Load, Loaded, LoadFailed
from gateway.workers.processes import reap_strays
from gateway.workers.settings import WorkerSettings
from gateway.workers.supervisor import Supervisor
from tests.fakes.waiting import soon, until

SPEC = ModelSpec("m", 1, "", "fake", (), ())
FAKE = "tests.fakes.worker_child:main"


class Owner:
    """Owns one worker and writes down what it hears of it."""

    def __init__(self, supervisor: Supervisor, mode: str) -> None:
        self.heard: list[Loaded | LoadFailed] = []
        self.ends: list[Exit] = []
        self.handle: WorkerHandle = supervisor.spawn(self.heard.append, self.ends.append)
        self.handle.send(Load("fake:Fake", mode, SPEC))


@asynccontextmanager
async def supervised(entry: str = FAKE, **settings: object) -> AsyncGenerator[Supervisor, None]:
    made = WorkerSettings.model_validate({"preload": (), "stop_grace_s": 1.0, **settings})
    supervisor = Supervisor(made, ControlChannel, monotonic_s, Random(1), entry)
    supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.close(1.0)
        supervisor.abandon()
        await supervisor.wait_until_gone(5.0)
        supervisor.check()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    gc.collect()  # what earlier tests left to the collector must not be closed while we count
    fds = len(os.listdir("/proc/self/fd"))
    asyncio.run(scenario())  # type: ignore[arg-type]
    reap_strays(())
    assert not psutil.Process().children(recursive=True)
    assert len(os.listdir("/proc/self/fd")) == fds


def test_a_worker_loads_serves_and_stops() -> None:
    async def scenario() -> None:
        async with supervised() as supervisor:
            owner = Owner(supervisor, "ok")
            await until(lambda: owner.heard)
            assert owner.heard == [Loaded(SPEC, {"session": 0.001})]
            ours, theirs = packet_pair()
            owner.handle.send(Connect(0, 1), (theirs.detach(),))
            ours.setblocking(False)
            ours.send(b"hello")
            echoed: list[bytes] = []
            asyncio.get_running_loop().add_reader(ours, lambda: echoed.append(ours.recv(100)))
            await until(lambda: echoed)
            asyncio.get_running_loop().remove_reader(ours)
            ours.close()
            assert echoed == [b"hello"]
            owner.handle.stop(1.0)
            await until(lambda: owner.ends)
            assert owner.ends == [Exit(0)]
            supervisor.check()

    run(scenario)


@pytest.mark.parametrize(
    ("entry", "mode", "code"), [(FAKE, "die", -9), ("tests.fakes.worker_child:crash", "ok", 1)]
)
def test_how_a_worker_ended_is_told_once(entry: str, mode: str, code: int) -> None:
    async def scenario() -> None:
        async with supervised(entry) as supervisor:
            owner = Owner(supervisor, mode)
            await until(lambda: owner.ends)
            assert owner.ends == [Exit(code)]

    run(scenario)


def test_a_killed_worker_is_noticed_at_once() -> None:
    async def scenario() -> None:
        async with supervised() as supervisor:
            owner, other = Owner(supervisor, "ok"), Owner(supervisor, "ok")
            await until(lambda: owner.heard and other.heard)
            assert owner.handle.pid is not None
            before = time.perf_counter()
            os.kill(owner.handle.pid, signal.SIGKILL)
            await until(lambda: owner.ends)
            assert time.perf_counter() - before < soon(0.5)
            assert str(owner.ends[0]) == "SIGKILL"
            assert not other.ends

    run(scenario)


def test_workers_survive_the_zygote_which_is_back_within_a_second() -> None:
    async def scenario() -> None:
        async with supervised() as supervisor:
            old = Owner(supervisor, "ok")
            await until(lambda: old.heard)
            zygote = supervisor.zygote_pid
            assert zygote is not None
            before = time.perf_counter()
            os.kill(zygote, signal.SIGKILL)
            await until(lambda: supervisor.zygote_pid not in {None, zygote})
            new = Owner(supervisor, "ok")
            await until(lambda: new.heard)
            assert time.perf_counter() - before < soon(1.0)
            assert not old.ends
            assert old.handle.pid is not None
            # Its parent is dead: we have adopted it, so its end and how it came are still told.
            os.kill(old.handle.pid, signal.SIGSEGV)
            await until(lambda: old.ends)
            assert old.ends == [Exit(-signal.SIGSEGV)]
            assert supervisor.statistics().zygote_starts == 2

    run(scenario)


def test_a_fork_in_a_dying_zygote_is_blameless() -> None:
    async def scenario() -> None:
        async with supervised() as supervisor:
            first = Owner(supervisor, "ok")
            await until(lambda: first.heard)
            assert supervisor.zygote_pid is not None
            os.kill(supervisor.zygote_pid, signal.SIGSTOP)
            owner = Owner(supervisor, "ok")
            os.kill(supervisor.zygote_pid, signal.SIGKILL)
            await until(lambda: owner.ends)
            assert owner.ends == [Exit(None, "the zygote died", True)]

    run(scenario)


def test_a_hung_zygote_is_replaced() -> None:
    async def scenario() -> None:
        async with supervised(zygote_timeout_s=1.5) as supervisor:
            await until(lambda: supervisor.zygote.is_prepared)
            zygote = supervisor.zygote_pid
            assert zygote is not None
            os.kill(zygote, signal.SIGSTOP)
            owner = Owner(supervisor, "ok")
            await until(lambda: owner.ends)
            assert owner.ends[0].is_blameless
            await until(lambda: supervisor.zygote_pid not in {None, zygote})

    run(scenario)


@pytest.mark.parametrize("mode", ["silent", "busy"])
def test_a_hung_worker_is_ended(mode: str) -> None:
    async def scenario() -> None:
        async with supervised(heartbeat_timeout_s=1.1, term_grace_s=0.2) as supervisor:
            owner, healthy = Owner(supervisor, mode), Owner(supervisor, "ok")
            await until(lambda: owner.ends)
            assert owner.ends[0].code == -signal.SIGTERM
            assert "s (SIGTERM)" in str(owner.ends[0])
            assert not healthy.ends
            assert supervisor.statistics().hung == 1

    run(scenario)


def test_a_stopped_process_is_ended_by_force() -> None:
    async def scenario() -> None:
        async with supervised(heartbeat_timeout_s=1.1, term_grace_s=0.2) as supervisor:
            owner = Owner(supervisor, "ok")
            await until(lambda: owner.heard)
            assert owner.handle.pid is not None
            os.kill(owner.handle.pid, signal.SIGSTOP)
            await until(lambda: owner.ends)
            assert owner.ends[0].code == -signal.SIGKILL

    run(scenario)


def test_a_worker_that_will_not_stop_is_killed() -> None:
    async def scenario() -> None:
        async with supervised(term_grace_s=0.1) as supervisor:
            owner = Owner(supervisor, "deaf")
            await until(lambda: owner.heard)
            owner.handle.stop(0.1)
            await until(lambda: owner.ends)
            assert owner.ends == [Exit(-signal.SIGKILL)]

    run(scenario)


def test_a_worker_given_up_before_its_fork_is_ended_after_it() -> None:
    async def scenario() -> None:
        async with supervised() as supervisor:
            owner = Owner(supervisor, "mute")
            owner.handle.kill("not wanted any more")
            await until(lambda: owner.ends)
            assert owner.ends == [Exit(-signal.SIGKILL, "not wanted any more")]

    run(scenario)


def test_missing_modules_are_reported_and_not_fatal() -> None:
    async def scenario() -> None:
        async with supervised(preload=("no_such_engine",)) as supervisor:
            await until(lambda: supervisor.zygote.is_prepared)
            assert supervisor.zygote.missing == (
                ("no_such_engine", "ModuleNotFoundError: No module named 'no_such_engine'"),
            )

    run(scenario)
