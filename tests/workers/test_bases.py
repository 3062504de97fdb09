"""Which zygote a worker comes from, and how long that lives."""

from __future__ import annotations

import pytest

from gateway.core.environment import Base
from gateway.workers.bases import IDLE_S, MAX_DEATHS, Bases
from tests.fakes.worlds import FakeTime

TORCH, OTHER = Base(("torch",)).encode(), Base(("other",)).encode()


class Server:
    """A fork server that lives until it is told to end."""

    def __init__(self, base: Base | None) -> None:
        self.base = base
        self.starts = self.deaths = 0
        self.is_prepared = False
        self.pid: int | None = None
        self.looks = 0
        self.has_given_up = False

    def start(self) -> None:
        self.starts += 1
        self.pid = 1

    def check_hung(self, now: float) -> None:
        self.looks += 1

    def close(self) -> None:
        self.pid = None

    def give_up(self) -> None:
        self.has_given_up = True
        self.close()


class Bench:
    def __init__(self, most: int = 2) -> None:
        self.time = FakeTime()
        self.made: list[Server] = []
        self.bases = Bases(self._make, most, self.time.clock)  # type: ignore[arg-type]
        self.bases.start()

    def _make(self, base: Base | None) -> Server:
        self.made.append(Server(base))
        return self.made[-1]

    def look(self, seconds: float) -> None:
        self.time.advance(seconds)
        self.bases.look(self.time.now)


def test_what_preloads_nothing_comes_from_the_common_one() -> None:
    bench = Bench()
    assert bench.bases.of("") == (bench.made[0], "")
    assert [one.base for one in bench.made] == [None]


def test_each_base_has_one_that_is_made_when_it_is_needed() -> None:
    bench = Bench()
    first, again, other = bench.bases.of(TORCH), bench.bases.of(TORCH), bench.bases.of(OTHER)
    assert first == again == (bench.made[1], TORCH)
    assert other[0] is bench.made[2]
    assert [one.base for one in bench.made[1:]] == [Base(("torch",)), Base(("other",))]
    assert bench.bases.of(Base(("third",)).encode()) == (bench.made[0], ""), "there are two already"
    bench.look(1.0)
    assert [one.looks for one in bench.made] == [1, 1, 1]


def test_it_ends_when_nobody_has_needed_it_for_long() -> None:
    bench = Bench()
    for _ in range(2):
        bench.bases.of(TORCH)
    bench.look(10 * IDLE_S)
    bench.bases.ended(TORCH)
    bench.look(10 * IDLE_S)
    bench.bases.ended(TORCH)
    bench.look(IDLE_S - 1)
    assert bench.made[1].pid is not None
    bench.look(2.0)
    assert bench.made[1].pid is None
    assert bench.bases.of(TORCH)[0] is bench.made[2]
    bench.look(1.0)
    assert len(bench.bases.all) == 2


def test_one_that_does_not_come_up_is_given_up() -> None:
    bench = Bench()
    bench.bases.of(TORCH)
    bench.made[1].deaths = MAX_DEATHS
    bench.look(1.0)
    assert bench.made[1].has_given_up
    assert bench.bases.of(TORCH) == (bench.made[0], "")
    bench.bases.ended(TORCH)
    bench.look(1.0)


@pytest.mark.parametrize("is_prepared", [True, False])
def test_one_that_came_up_may_die_now_and_then(*, is_prepared: bool) -> None:
    bench = Bench()
    bench.bases.of(TORCH)
    bench.made[1].deaths, bench.made[1].is_prepared = MAX_DEATHS, is_prepared
    bench.look(1.0)
    assert (bench.bases.of(TORCH)[0] is bench.made[1]) == is_prepared


def test_all_are_let_go_together() -> None:
    bench = Bench()
    bench.bases.of(TORCH)
    bench.bases.close()
    assert [one.pid for one in bench.made] == [None, None]
