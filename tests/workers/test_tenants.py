"""Shared workers as the controller holds them: who gets room where, and whose end is whose."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from gateway.core.device import Seat
from gateway.core.model import ModelSpec
from gateway.workers.handle import Exit
from gateway.workers.messages import Admit, Beat, Broken, Load, Loaded, LoadFailed, Stop
from gateway.workers.settings import WorkerSettings
from gateway.workers.tenants import LINGER_S, Means, SharedWorkers, Tenant
from tests.fakes.worlds import FakeTime

SHARED, OTHER = Seat("GPU-1", "", is_shared=True), Seat("GPU-2", "", is_shared=True)
SPEC = ModelSpec("m", 1, "", "", (), ())
LOAD = Load("x:Y", "", SPEC)
LOADED = Loaded(SPEC, {})


class Process:
    """What the pool gives: a worker's process."""

    def __init__(self, seat: Seat, on_exit: Callable[[Exit], None], pid: int) -> None:
        self.seat = seat
        self.pid = pid
        self.on_exit = on_exit
        self.sent: list[object] = []
        self.killed = ""
        self.is_ending = self.is_ended = self.is_watched = False

    def send(self, message: object, fds: tuple[int, ...] = ()) -> None:
        self.sent.append(message)
        for fd in fds:
            os.close(fd)

    def watch(self) -> None:
        self.is_watched = True

    def stop(self, grace_s: float) -> None:
        self.is_ending = True

    def kill(self, reason: str = "") -> None:
        self.killed, self.is_ending = reason, True

    def ends(self, code: int | None, *, is_blameless: bool = False) -> None:
        self.is_ended = True
        self.on_exit(Exit(code, self.killed, is_blameless))


class Line:
    """Our end of a tenant's control socket."""

    def __init__(self, on_message: Callable[[Any, tuple[int, ...]], None], on_closed: Callable[[str], None]):
        self.sent: list[object] = []
        self.says = lambda message: on_message(message, ())
        self.closes = lambda reason="": on_closed(reason)
        self.is_closed = False

    def send(self, message: object, fds: tuple[int, ...] = ()) -> None:
        self.sent.append(message)

    def close(self) -> None:
        self.is_closed = True


class Bench:
    """Shared workers, what they are made of, and what their owners hear."""

    def __init__(self, **settings: Any) -> None:
        self.time = FakeTime()
        self.processes: list[Process] = []
        self.lines: list[Line] = []
        self.heard: dict[int, list[object]] = {}
        self.ends: dict[int, Exit] = {}
        ids = iter(range(100, 1000))
        told = WorkerSettings.model_validate({"shared_by": 3, **settings})
        means = Means(told, self._open, ids.__next__, self.time, self.time.clock)  # type: ignore[arg-type]
        self.shared = SharedWorkers(self, means)  # type: ignore[arg-type]

    def spawn(self, on_message: Any, on_exit: Any, seat: Seat) -> Any:
        self.processes.append(Process(seat, on_exit, len(self.processes) + 1))
        return self.processes[-1]

    def _open(self, sock: socket.socket, decoder: Any, on_message: Any, on_closed: Any) -> Any:
        sock.close()
        self.lines.append(Line(on_message, on_closed))
        return self.lines[-1]

    def tenant(self, seat: Seat = SHARED) -> tuple[Tenant, Line]:
        number = len(self.lines)
        heard = self.heard.setdefault(number, [])
        made = self.shared.spawn(heard.append, lambda end: self.ends.update({number: end}), seat)
        assert isinstance(made, Tenant)
        self.shared.check()
        return made, self.lines[-1]


def test_a_seat_that_is_not_shared_has_a_process_of_its_own() -> None:
    bench = Bench()
    own = bench.shared.spawn(lambda _: None, lambda _: None, Seat())
    assert own is bench.processes[0]


def test_tenants_fill_a_worker_before_the_next_is_made() -> None:
    bench = Bench()
    tenants = [bench.tenant()[0] for _ in range(4)]
    assert [one.pid for one in tenants] == [1, 1, 1, 2]
    assert len({one.id for one in tenants}) == 4
    assert [one.seat for one in bench.processes] == [Seat("GPU-1")] * 2, "a process is what it always was"
    assert [len(one.sent) for one in bench.processes] == [3, 1]
    assert isinstance(bench.processes[0].sent[0], Admit)
    assert all(one.is_watched for one in bench.processes)
    assert bench.tenant(OTHER)[0].pid == 3
    tenants[0].stop(1.0)
    bench.lines[0].closes()
    assert bench.tenant()[0].pid == 1, "the fuller one, so that others may become empty"


def test_a_tenant_that_is_asked_to_go_goes_alone() -> None:
    bench = Bench()
    (first, line), _ = bench.tenant(), bench.tenant()
    first.send(LOAD)
    line.says(LOADED)
    assert bench.heard[0] == [LOADED]
    first.stop(1.0)
    assert line.sent == [LOAD, Stop()]
    assert not bench.ends
    line.closes()
    assert bench.ends == {0: Exit(0)}
    bench.time.advance(100.0)
    assert not bench.processes[0].killed


def test_an_empty_worker_is_kept_for_a_while() -> None:
    bench = Bench()
    for _ in range(2):
        tenant, line = bench.tenant()
        tenant.stop(1.0)
        line.closes()
        bench.time.advance(LINGER_S - 1)
    assert len(bench.processes) == 1
    bench.time.advance(2)
    assert bench.processes[0].is_ending
    assert bench.tenant()[0].pid == 2
    bench.processes[0].ends(0)
    assert list(bench.ends) == [0, 1]


def test_what_does_not_stop_takes_all_along_and_only_it_is_to_blame() -> None:
    bench = Bench(term_grace_s=2)
    (first, line), _ = bench.tenant(), bench.tenant()
    first.send(LOAD)
    line.says(LOADED)
    first.stop(5.0)
    bench.time.advance(6.9)
    assert not bench.processes[0].killed
    bench.time.advance(0.2)
    assert bench.processes[0].killed == "a model it hosts: it did not stop"
    bench.processes[0].ends(-9)
    assert bench.ends[0] == Exit(-9, "it did not stop")
    assert bench.ends[1].is_blameless


def test_what_loads_is_waited_for_as_long_as_its_load_may_take() -> None:
    bench = Bench(load_timeout_s=30)
    (first, line), _ = bench.tenant(), bench.tenant()
    first.send(LOAD)
    bench.time.advance(10.0)
    first.terminate()
    bench.time.advance(19.9)
    assert not bench.processes[0].killed
    line.says(LoadFailed("no good"))
    line.closes()
    bench.time.advance(10.0)
    assert not bench.processes[0].killed
    assert bench.ends == {0: Exit(0)}


def test_a_batch_that_hangs_ends_the_worker() -> None:
    bench = Bench(hung_after_s=5)
    (_, line), _ = bench.tenant(), bench.tenant()
    line.says(Beat(4.9, 1))
    assert not bench.processes[0].killed
    line.says(Beat(5.1, 1))
    assert "a batch ran for more than 5 s" in bench.processes[0].killed
    bench.processes[0].ends(-9)
    assert bench.ends == {
        0: Exit(-9, "a batch ran for more than 5 s"),
        1: Exit(-9, "a model it hosts: a batch ran for more than 5 s", is_blameless=True),
    }


def test_a_broken_engine_is_told_of_and_blamed() -> None:
    bench = Bench()
    (_, line), (_, other) = bench.tenant(), bench.tenant()
    line.says(Broken("CUDA failure 700"))
    other.closes()
    line.closes()
    assert not bench.ends, "the process says how it ended"
    bench.processes[0].ends(1)
    assert (bench.ends[0], bench.ends[1].is_blameless) == (Exit(1, "CUDA failure 700"), True)


@pytest.mark.parametrize("is_blameless", [True, False])
def test_a_death_that_nobody_can_explain_is_held_against_all(*, is_blameless: bool) -> None:
    bench = Bench()
    bench.tenant(), bench.tenant()
    bench.lines[0].closes()
    bench.processes[0].ends(-11, is_blameless=is_blameless)
    assert list(bench.ends.values()) == [Exit(-11, "", is_blameless)] * 2
    assert bench.tenant()[0].pid == 2


def test_a_front_that_sees_the_end_first_blames_nobody() -> None:
    bench = Bench()
    (first, line), _ = bench.tenant(), bench.tenant()
    first.kill("the worker closed the channel")
    line.closes()
    bench.processes[0].ends(-11)
    bench.time.advance(10.0)
    assert list(bench.ends.values()) == [Exit(-11)] * 2


def test_a_front_that_cannot_rely_on_one_has_all_killed() -> None:
    bench = Bench()
    (first, _), _ = bench.tenant(), bench.tenant()
    first.kill("it answers nonsense")
    assert not bench.processes[0].killed
    bench.time.advance(1.0)
    assert bench.processes[0].killed == "a model it hosts: it answers nonsense"
    bench.processes[0].ends(-9)
    assert (bench.ends[0].reason, bench.ends[1].is_blameless) == ("it answers nonsense", True)


def test_a_tenant_that_breaks_the_protocol_is_killed() -> None:
    bench = Bench()
    bench.tenant()
    bench.lines[0].closes("it sent nonsense")
    assert "it sent nonsense" in bench.processes[0].killed


def test_what_cannot_be_sent_any_more_leaves_nothing_open() -> None:
    bench = Bench()
    tenant, _ = bench.tenant()
    bench.processes[0].ends(-9)
    ours, theirs = os.pipe()
    tenant.send(Stop(), (theirs,))
    assert os.read(ours, 1) == b""
    os.close(ours)
