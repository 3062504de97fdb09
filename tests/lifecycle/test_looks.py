"""Which models a look must be at."""

from __future__ import annotations

from gateway.lifecycle.looks import Looks
from gateway.repository.catalogue import Catalogue, ModelEntry
from tests.fakes.worlds import FakeTime


class Told:
    """Says what the test says."""

    def __init__(self) -> None:
        self.names: frozenset[str] | None = frozenset()

    def take(self) -> frozenset[str] | None:
        names, self.names = self.names, frozenset()
        return names


class Bench:
    def __init__(self) -> None:
        self.time, self.told = FakeTime(), Told()
        self.looks = Looks(self.told, 60.0, self.time.clock)
        assert self.looks.next(()) is None, "the first is at everything"


def catalogue(**states: str) -> Catalogue:
    return Catalogue({name: ModelEntry(name, (), broken=state) for name, state in states.items()})


def test_nobody_tells_so_it_is_always_everything() -> None:
    looks = Looks(None, 60.0, FakeTime().clock)
    assert [looks.next(("a",)) for _ in range(3)] == [None] * 3


def test_what_was_told_and_what_must_always_be_looked_at() -> None:
    bench = Bench()
    assert bench.looks.next(()) == frozenset()
    bench.told.names = frozenset({"a"})
    assert bench.looks.next(("b",)) == {"a", "b"}
    assert bench.looks.next(("b",)) == {"b"}


def test_everything_now_and_then_and_where_nobody_can_tell() -> None:
    bench = Bench()
    bench.time.advance(59.0)
    assert bench.looks.next(()) == frozenset()
    bench.time.advance(1.0)
    assert bench.looks.next(()) is None
    assert bench.looks.next(()) == frozenset()
    bench.told.names = None
    assert bench.looks.next(()) is None
    bench.looks.failed()
    assert bench.looks.next(()) is None, "nobody knows what that look would have found"


def test_what_two_looks_do_not_agree_on_is_looked_at_again() -> None:
    bench = Bench()
    bench.looks.saw(catalogue(a="1", b="1", c="1"), catalogue(a="1", b="2", d="1"))
    assert bench.looks.next(()) == {"b", "c", "d"}
    bench.looks.saw(catalogue(a="1", b="2", d="1"), catalogue(a="1", b="2", d="1"))
    assert bench.looks.next(()) == frozenset()


def test_what_was_adopted_is_looked_at_once() -> None:
    bench = Bench()
    bench.looks.adopted("a")
    assert bench.looks.next(()) == {"a"}
    assert bench.looks.next(()) == frozenset()
