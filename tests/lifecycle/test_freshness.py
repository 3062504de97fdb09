"""Synchronisations that are shared."""

from __future__ import annotations

from gateway.lifecycle.freshness import Freshness, Then


def test_those_who_come_while_one_is_under_way_share_the_next() -> None:
    fronts: list[Then] = []
    fresh, done = Freshness(fronts.append), list[str]()
    for name in ("one", "two", "three"):
        fresh.synchronise(lambda name=name: done.append(name))  # type: ignore[misc]
        fresh.check()
    assert len(fronts) == 1
    fronts.pop()()
    assert (done, len(fronts)) == (["one"], 1)
    fronts.pop()()
    assert (done, len(fronts)) == (["one", "two", "three"], 0)
    fresh.synchronise(lambda: done.append("four"))
    fronts.pop()()
    assert done[-1] == "four"
    fresh.check()


def test_with_no_front_it_is_done_at_once() -> None:
    fresh, done = Freshness(lambda then: then()), list[str]()
    for name in ("one", "two"):
        fresh.synchronise(lambda name=name: done.append(name))  # type: ignore[misc]
    assert done == ["one", "two"]
    fresh.check()
