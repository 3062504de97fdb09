"""A listing that has suddenly lost more than half is asked for twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.model import ModelKey
from gateway.lifecycle.disappearance import Keys, believe

NONE: Keys = frozenset()


def keys(*numbers: int) -> Keys:
    return frozenset(ModelKey("m", number) for number in numbers)


@pytest.mark.parametrize(
    ("known", "seen", "doubted", "gone", "still_doubted"),
    [
        (keys(), keys(), NONE, keys(), keys()),
        (keys(1, 2), keys(1, 2, 3), NONE, keys(), keys()),
        (keys(1, 2), keys(1), NONE, keys(2), keys()),  # half is believed
        (keys(1), keys(), NONE, keys(), keys(1)),  # more than half is not
        (keys(1), keys(), keys(1), keys(1), keys()),  # ... but the second time it is
        (keys(1, 2, 3), keys(3), NONE, keys(), keys(1, 2)),
        (keys(1, 2, 3), keys(3), keys(1, 2), keys(1, 2), keys()),
        (keys(1, 2, 3), keys(1, 2, 3), keys(1, 2), keys(), keys()),  # a glitch, over
        (keys(1, 2, 3), keys(), keys(1, 2), keys(1, 2), keys(3)),  # a new doubt beside a confirmed one
    ],
)
def test_what_is_believed(known: Keys, seen: Keys, doubted: Keys, gone: Keys, still_doubted: Keys) -> None:
    assert believe(known, seen, doubted) == (gone, still_doubted)


NUMBERS = st.frozensets(st.integers(1, 12)).map(lambda numbers: keys(*numbers))


@given(NUMBERS, NUMBERS)
def test_two_looks_that_agree_are_always_believed(known: Keys, seen: Keys) -> None:
    first = believe(known, seen, NONE)
    second = believe(known - first.gone, seen, first.doubted)
    assert first.gone | second.gone == known - seen
    assert not second.doubted
    assert len(first.gone) <= len(known) / 2
