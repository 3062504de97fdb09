"""Workers that wait: kept, handed out, replaced, and slowly where they keep dying."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from gateway.core.device import CPU, Seat
from gateway.workers.handle import Exit
from gateway.workers.messages import Prepare
from gateway.workers.restart import RestartPolicy
from gateway.workers.warm_pool import QUIET_S, WarmPool
from tests.fakes.worlds import FakeTime

ANY, GPU = Seat(), Seat("GPU-1")


class Handle:
    """What the supervisor gives."""

    def __init__(
        self, seat: Seat, on_message: Callable[[Any], None], on_exit: Callable[[Exit], None]
    ) -> None:
        self.seat = seat
        self.tell, self.end = on_message, on_exit
        self.sent: list[object] = []
        self.is_ending = self.is_ended = False

    def send(self, message: object, fds: tuple[int, ...] = ()) -> None:
        self.sent.append(message)

    def stop(self, grace_s: float) -> None:
        self.is_ending = True

    def dies(self) -> None:
        self.is_ended = True
        self.end(Exit(-9))


class Supervisor:
    def __init__(self) -> None:
        self.made: list[Handle] = []

    def spawn(self, on_message: Any, on_exit: Any, seat: Seat) -> Any:
        self.made.append(Handle(seat, on_message, on_exit))
        return self.made[-1]


class Bench:
    def __init__(self, **kept: int) -> None:
        self.time = FakeTime()
        self.supervisor = Supervisor()
        self.pool = WarmPool(
            self.supervisor,
            ("x:Y",),
            RestartPolicy(),
            self.time,
            Random(1),  # type: ignore[arg-type]
        )
        self.pool.keep({ANY: kept.get("cpu", 1), **({GPU: kept["gpu"]} if "gpu" in kept else {})})

    def quiet(self, times: int = 1) -> None:
        self.time.advance(QUIET_S * times)
        self.pool.check()

    def spawn(self, seat: Seat = ANY) -> tuple[Any, list[Any], list[Exit]]:
        heard, ends = list[Any](), list[Exit]()
        return self.pool.spawn(heard.append, ends.append, seat), heard, ends


def test_some_wait_prepared_and_are_handed_out_at_once() -> None:
    bench = Bench(cpu=2)
    bench.quiet(4)
    assert bench.pool.waiting == 2
    first, second = bench.supervisor.made
    assert first.sent == [Prepare(("x:Y",))]
    handle, heard, ends = bench.spawn()
    assert handle is first
    first.tell("loaded")
    first.dies()
    assert (heard, ends) == (["loaded"], [Exit(-9)])
    bench.quiet(4)
    assert bench.pool.waiting == 2
    assert bench.spawn()[0] is second


def test_what_was_handed_out_is_replaced_however_many_loads_follow() -> None:
    bench = Bench()
    bench.quiet()
    waited = 0
    for _ in range(20):
        bench.time.advance(QUIET_S / 2)
        waited += bench.pool.waiting
        bench.spawn()
    assert 8 <= waited <= 12, "every second one"


def test_whoever_asks_for_another_seat_gets_a_new_one() -> None:
    bench = Bench()
    bench.quiet()
    handle, _, _ = bench.spawn(GPU)
    assert handle.seat == GPU
    assert bench.pool.waiting == 1


def test_those_for_a_gpu_open_it_beforehand() -> None:
    bench = Bench(cpu=0, gpu=1)
    bench.quiet(2)
    (made,) = bench.supervisor.made
    assert made.sent == [Prepare(("x:Y",), is_on_gpu=True)]
    assert Seat(CPU) != GPU


def test_one_that_ends_is_no_models_fault_and_replaced_more_and_more_slowly() -> None:
    bench = Bench()
    bench.quiet()
    waits = []
    for _ in range(4):
        before = bench.time.now
        bench.supervisor.made[-1].dies()
        made = len(bench.supervisor.made)
        while len(bench.supervisor.made) == made:
            bench.time.advance(0.05)
        waits.append(bench.time.now - before)
    assert waits == sorted(waits)
    assert waits[-1] > 1.0


def test_fewer_or_none() -> None:
    bench = Bench(cpu=2)
    bench.quiet(4)
    bench.pool.keep({})
    assert [one.is_ending for one in bench.supervisor.made] == [True, True]
    for one in bench.supervisor.made:
        one.dies()
    bench.quiet(10)
    assert (bench.pool.waiting, len(bench.supervisor.made)) == (0, 2)


def test_after_the_end_nothing_is_made() -> None:
    bench = Bench()
    bench.quiet()
    bench.pool.close()
    bench.supervisor.made[0].dies()
    bench.quiet(50)
    assert len(bench.supervisor.made) == 1
