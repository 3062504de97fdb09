"""Who says that it tries again, and when too much is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.limits.retry_storm import RetryStorm, Window, is_retry

STORM = RetryStorm(share=0.1, window_s=10.0, least=20)


@pytest.mark.parametrize(
    ("name", "value", "is_one"),
    [
        (b"grpc-previous-rpc-attempts", b"0", False),
        (b"grpc-previous-rpc-attempts", b"1", True),
        (b"grpc-previous-rpc-attempts", b"4", True),
        (b"x-retry-attempt", b"0", False),
        (b"x-retry-attempt", b"1", True),
        (b"x-envoy-attempt-count", b"1", False),
        (b"x-envoy-attempt-count", b"2", True),
        (b"x-retry-attempt", b"", False),
        (b"x-retry-attempt", b"-1", False),
        (b"x-retry-attempt", b"yes", False),
        (b"x-retry-attempt", "²".encode("latin-1"), False),
        (b"x-retry-attempt", b"9" * 10, False),
        (b"x-retry-attempt", b"9" * 5000, False),
        (b"x-other", b"2", False),
    ],
)
def test_who_tries_again(name: bytes, value: bytes, is_one: bool) -> None:
    assert is_retry(((b"host", b"a"), (name, value))) is is_one


@given(st.binary(max_size=20))
def test_no_header_makes_it_fail(value: bytes) -> None:
    assert is_retry(((b"x-retry-attempt", value),)) in {True, False}


def counted(seen: int, refused: int, now: float = 0.0, window: Window | None = None) -> Window:
    return STORM.counted(now, Window() if window is None else window, seen, refused)


@pytest.mark.parametrize(
    ("seen", "refused", "is_on"),
    [(100, 10, False), (100, 11, True), (19, 19, False), (20, 3, True), (0, 0, False)],
)
def test_when_there_is_a_storm(seen: int, refused: int, is_on: bool) -> None:
    assert STORM.is_on(0.0, counted(seen, refused)) is is_on


def test_nothing_known_is_no_storm() -> None:
    assert not STORM.is_on(5.0, Window())


def test_the_window_before_fades() -> None:
    window = counted(100, 20)
    window = counted(100, 0, 10.0, window)
    # At 10 s it counts in full (20 of 200), and less from then on.
    assert window == Window(10.0, 100, 0, 100, 20)
    window = counted(0, 5, 10.0, window)
    assert STORM.is_on(10.0, window)
    assert STORM.is_on(12.0, window)
    assert not STORM.is_on(19.9, window)


def test_what_is_two_windows_old_counts_no_more() -> None:
    window = counted(1000, 1000)
    assert STORM.is_on(19.0, window)
    assert not STORM.is_on(20.0, window)
    assert counted(1, 0, 25.0, window) == Window(25.0, 1, 0, 0, 0)


def test_retries_that_are_refused_for_the_storm_do_not_feed_it() -> None:
    window = counted(100, 20)
    window = counted(100, 0, 1.0, window)
    for _ in range(1000):  # shed, and told of by its record
        window = counted(1, 1, 1.0, counted(-1, -1, 1.0, window))
    assert not STORM.is_on(1.0, window)


@given(st.lists(st.tuples(st.floats(0.0, 15.0), st.integers(0, 30), st.floats(0.0, 1.0)), max_size=40))
def test_below_the_share_there_is_never_one(steps: list[tuple[float, int, float]]) -> None:
    now, window = 0.0, Window()
    for pause, seen, part in steps:
        now += pause
        window = STORM.counted(now, window, seen, int(seen * 0.1 * part))
        assert not STORM.is_on(now, window)
