"""Real front processes (without a data plane), told the world, killed, drained."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random

import msgspec
import psutil
import pytest

from gateway.control.messages import Answered, Ask, Demand, ModelView, VersionView
from gateway.control.parcels import pack, unpack
from gateway.core.clock import monotonic_s
from gateway.core.model import ModelKey
from gateway.lifecycle.front_contract import FrontSettings, Reply
from gateway.lifecycle.fronts import FrontFailed, Fronts
from gateway.workers.messages import Connect, ToWorker
from gateway.workers.processes import reap_strays
from tests.fakes.front_process import Told
from tests.fakes.waiting import soon, until

MODULE = "tests.fakes.front_process"
KEY = ModelKey("m", 1)
ABSENT = ModelView("m", (VersionView(1, "absent"),))
FAILED = ModelView("m", (VersionView(1, "failed", None, "why", 5.0),))


class Heard:
    """What fronts said: implements FrontTelemetry and FrontEvents."""

    def __init__(self) -> None:
        self.told: dict[int, Told] = {}
        self.died: list[int] = []
        self.demands: list[Demand] = []
        self.activated: list[ModelKey] = []
        self.suspected: list[tuple[int, str]] = []
        self.replies: list[Reply] = []

    def on_counters(self, front: int, data: bytes) -> None:
        self.told[front] = msgspec.msgpack.decode(data, type=Told)

    def on_demand(self, front: int, demand: Demand) -> None:
        self.demands.append(demand)

    def on_front_died(self, front: int) -> None:
        self.died.append(front)
        self.told.pop(front, None)

    def on_activate(self, key: ModelKey, wait_s: float) -> None:
        self.activated.append(key)

    def on_suspect(self, worker: int, reason: str) -> None:
        self.suspected.append((worker, reason))

    def on_ask(self, ask: Ask, fds: tuple[int, ...], reply: Reply) -> None:
        inline, answer_fds = pack(b"you said " + unpack(ask.question, fds))
        self.replies.append(reply)
        reply(Answered(ask.number, inline), answer_fds)


class EchoWorker:
    """A worker whose data channels answer at once with what they get."""

    def __init__(self, worker_id: int) -> None:
        self.id = worker_id
        self.generations: list[int] = []
        self.socks: list[socket.socket] = []

    def send(self, message: ToWorker, fds: tuple[int, ...] = ()) -> None:
        assert isinstance(message, Connect)
        self.generations.append(message.generation)
        sock = socket.socket(fileno=fds[0])
        self.socks.append(sock)
        asyncio.get_running_loop().add_reader(sock, self._echo, sock)

    def _echo(self, sock: socket.socket) -> None:
        with contextlib.suppress(ConnectionResetError):  # killed with a packet unread
            if packet := sock.recv(1000):
                sock.send(packet)
                return
        self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(sock)
        self.socks.remove(sock)
        sock.close()

    def close(self) -> None:
        for sock in tuple(self.socks):
            self._drop(sock)


class Running:
    """Fronts and what is heard of them."""

    def __init__(self, count: int, **config: object) -> None:
        self.heard = Heard()

        def configure(front: int, ports: Mapping[str, int]) -> str:
            return json.dumps({
                "mode": "ok",
                **{f"{name}_port": port for name, port in ports.items()},
                **config,
            })

        settings = FrontSettings(count, MODULE, start_timeout_s=0.5)
        self.fronts = Fronts(settings, configure, self.heard, monotonic_s, Random(1))

    def pid(self, index: int) -> int:
        return self.heard.told[index].pid

    def is_renewed(self, index: int, old: int) -> bool:
        return index in self.heard.told and self.pid(index) != old


@asynccontextmanager
async def running(count: int = 1, **config: object) -> AsyncGenerator[Running, None]:
    made = Running(count, **config)
    made.fronts.start(made.heard, made.heard)
    try:
        yield made
        made.fronts.check()
    finally:
        await made.fronts.kill()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    gc.collect()  # what earlier tests left to the collector must not be closed while we count
    reap_strays(())  # a controller in this process has made it the parent of whatever loses its own
    fds = len(os.listdir("/proc/self/fd"))
    asyncio.run(scenario())  # type: ignore[arg-type]
    assert not psutil.Process().children(recursive=True)
    assert len(os.listdir("/proc/self/fd")) == fds


def test_a_port_chosen_by_the_first_is_kept_by_all_and_for_ever() -> None:
    async def scenario() -> None:
        async with running(3) as made:
            assert await made.fronts.wait_until_listening() == {"http": 40_000}
            await until(lambda: len(made.heard.told) == 3)
            assert [json.loads(made.heard.told[n].config).get("http_port") for n in range(3)] == [
                None,
                40_000,
                40_000,
            ]
            old = made.pid(0)
            os.kill(old, signal.SIGKILL)
            await until(lambda: made.is_renewed(0, old))
            assert json.loads(made.heard.told[0].config)["http_port"] == 40_000

    run(scenario)


def test_the_world_reaches_fronts_that_are_there_and_those_yet_to_come() -> None:
    async def scenario() -> None:
        async with running(1) as made:
            await made.fronts.wait_until_listening()
            assert not made.fronts.are_listening, "nothing is known of the repository yet"
            made.fronts.publish((ABSENT, ModelView("n", ())))
            made.fronts.publish((FAILED,), ("n",))
            await until(lambda: 0 in made.heard.told and made.heard.told[0].numbers == [1, 2])
            assert made.heard.told[0].world == {"m": FAILED}
            assert made.heard.told[0].is_complete
            assert made.fronts.are_listening
            old = made.pid(0)
            before = time.perf_counter()
            os.kill(old, signal.SIGKILL)
            await until(lambda: made.is_renewed(0, old) and made.heard.told[0].numbers)
            assert time.perf_counter() - before < soon(1.0)
            assert made.heard.told[0].numbers == [1]
            (version,) = made.heard.told[0].world["m"].versions
            assert 3.0 < version.retry_in_s < 5.0
            assert made.heard.died == [0]
            assert made.fronts.restarts == 1

    run(scenario)


def test_workers_are_connected_to_every_front_with_generations_of_their_own() -> None:
    async def scenario() -> None:
        async with running(2) as made:
            await made.fronts.wait_until_listening()
            made.fronts.publish((ABSENT,))
            worker = EchoWorker(7)
            made.fronts.attach(worker, KEY)
            await until(lambda: [told.echoes for told in made.heard.told.values()] == [["worker 7"]] * 2)
            old = made.pid(1)
            os.kill(old, signal.SIGKILL)
            await until(lambda: made.is_renewed(1, old) and made.heard.told[1].echoes)
            assert worker.generations == [1, 2, 3]
            assert made.heard.told[1].attached == {7: (3, KEY)}
            detached: list[bool] = []
            made.fronts.detach(7, lambda: detached.append(True))
            assert not detached
            await until(lambda: detached)
            made.fronts.detach(7, lambda: detached.append(True))
            assert len(detached) == 2, "unknown by now: at once"
            worker.close()

    run(scenario)


def test_a_front_that_dies_has_nothing_in_a_worker_any_more() -> None:
    async def scenario() -> None:
        async with running(1) as made:
            await made.fronts.wait_until_listening()
            worker = EchoWorker(7)
            made.fronts.attach(worker, KEY)
            await until(lambda: made.heard.told)
            os.kill(made.pid(0), signal.SIGSTOP)
            detached: list[bool] = []
            made.fronts.detach(7, lambda: detached.append(True))
            os.kill(made.pid(0), signal.SIGKILL)
            await until(lambda: detached)
            worker.close()

    run(scenario)


def test_a_front_about_to_be_restarted_is_not_started_after_a_kill() -> None:
    async def scenario() -> None:
        async with running(1) as made:
            await made.fronts.wait_until_listening()
            await until(lambda: made.heard.told)
            os.kill(made.pid(0), signal.SIGKILL)
            await until(lambda: made.fronts.restarts == 1, pause_s=0.0)
            assert made.fronts.pids() == ()
            await made.fronts.kill()
            assert made.fronts.pids() == (), "the restart was due at once"

    run(scenario)


def test_a_worker_that_dies_while_it_is_detached() -> None:
    async def scenario() -> None:
        async with running(1) as made:
            await made.fronts.wait_until_listening()
            worker = EchoWorker(7)
            made.fronts.attach(worker, KEY)
            detached: list[bool] = []
            made.fronts.detach(7, lambda: detached.append(True))
            made.fronts.forget(7)
            made.fronts.forget(7)
            assert detached == [True]
            worker.close()

    run(scenario)


def test_what_fronts_ask_for_is_passed_on() -> None:
    async def scenario() -> None:
        async with running(1, activate=["m"], suspect=4) as made:
            await until(lambda: made.heard.suspected)
            assert made.heard.activated == [KEY]
            assert made.heard.suspected == [(4, "a lie")]

    run(scenario)


def test_questions_are_answered_to_the_front_that_asked_whatever_their_size() -> None:
    async def scenario() -> None:
        large = "x" * 80_000
        async with running(2, ask=["why", large]) as made:
            await made.fronts.wait_until_listening()
            expected = [(0, b"you said why", 12), (1, b"you said " + b"x" * 11, 80_009)]
            await until(lambda: [told.answers for told in made.heard.told.values()] == [expected] * 2)
            old = made.fronts.pids()[0]
            os.kill(old, signal.SIGKILL)
            await until(lambda: made.fronts.restarts == 1)
            inline, fds = pack(b"y" * 300_000)
            made.heard.replies[0](Answered(0, inline), fds)  # nobody is there to hear it

    run(scenario)


def test_a_synchronisation_ends_when_every_front_has_heard_all_or_is_gone() -> None:
    async def scenario() -> None:
        async with running(2) as made:
            await made.fronts.wait_until_listening()
            await until(lambda: len(made.heard.told) == 2)
            done: list[str] = []
            made.fronts.publish((ABSENT,))
            made.fronts.sync(lambda: done.append("first"))
            assert not done
            await until(lambda: done)
            await until(lambda: all(told.world == {"m": ABSENT} for told in made.heard.told.values()))
            os.kill(made.pid(1), signal.SIGSTOP)
            made.fronts.sync(lambda: done.append("second"))
            await asyncio.sleep(0.05)
            assert done == ["first"], "one of them has not heard it"
            os.kill(made.pid(1), signal.SIGKILL)
            await until(lambda: done == ["first", "second"])

    run(scenario)


def test_a_front_that_cannot_start_is_the_end() -> None:
    async def scenario() -> None:
        async with running(1, mode="exit") as made:
            with pytest.raises(FrontFailed, match="exit status 3"):
                await made.fronts.wait_until_listening()

    run(scenario)


def test_a_front_that_never_listens_is_ended() -> None:
    async def scenario() -> None:
        async with running(1, mode="never") as made:
            await until(lambda: made.heard.told)
            made.fronts.check_hung(monotonic_s())
            made.fronts.check_hung(monotonic_s() + 1.0)
            with pytest.raises(FrontFailed, match="SIGKILL"):
                await made.fronts.wait_until_listening()

    run(scenario)


@pytest.mark.parametrize(("mode", "is_patient"), [("ok", True), ("deaf", False)])
def test_a_drain_ends_all_that_listen_to_it(mode: str, is_patient: bool) -> None:
    async def scenario() -> None:
        async with running(2, mode=mode) as made:
            await made.fronts.wait_until_listening()
            await made.fronts.drain(0.1, 5.0 if is_patient else 0.2)
            assert len(made.fronts.pids()) == (0 if is_patient else 2)
            await made.fronts.kill()
            assert made.fronts.pids() == ()
            assert made.fronts.restarts == 0

    run(scenario)
