"""The order of last uses, whatever happens between two looks."""

from __future__ import annotations

from contextlib import closing
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from gateway.lifecycle.recency import Recency

TICKETS = st.integers(0, 9)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), TICKETS, st.just(0)),
        st.tuples(st.just("use"), TICKETS, st.just(0)),
        st.tuples(st.just("discard"), TICKETS, st.just(0)),
        st.tuples(st.just("look"), st.just(0), st.integers(0, 10)),
    ),
    max_size=200,
)


@given(STEPS)
def test_every_look_finds_the_living_in_the_order_of_their_last_use(
    steps: list[tuple[str, int, int]],
) -> None:
    recency, used = Recency(), dict[int, float]()
    for now, (what, ticket, count) in enumerate(steps):
        if what == "add":
            used[ticket] = float(now)
            recency.add(ticket, now)
        elif what == "use" and ticket in used:
            used[ticket] = float(now)
        elif what == "discard":
            used.pop(ticket, None)
            recency.discard(ticket)
        elif what == "look":
            with closing(recency.oldest_first(used.__getitem__)) as found:
                seen = list(islice(found, count))
            assert seen == sorted(used, key=lambda one: (used[one], one))[:count]


def test_the_oldest_is_found_without_asking_of_the_others() -> None:
    recency, asked = Recency(), list[int]()
    for ticket in range(500):
        recency.add(ticket, ticket)

    def used_at(ticket: int) -> float:
        asked.append(ticket)
        return float(ticket)

    with closing(recency.oldest_first(used_at)) as found:
        assert next(found) == 0
    assert asked == [0]


def test_what_was_discarded_takes_no_room() -> None:
    recency = Recency()
    for ticket in range(10_000):
        recency.add(ticket, ticket)
        recency.discard(ticket)
    assert len(recency._heap) < 20


def test_one_that_came_back_within_the_same_instant_is_listed_once() -> None:
    recency = Recency()
    recency.add(1, 5.0)
    recency.discard(1)
    recency.add(1, 5.0)
    recency.add(2, 5.0)
    for _look in range(2):
        with closing(recency.oldest_first(lambda _ticket: 5.0)) as found:
            assert list(found) == [1, 2]
