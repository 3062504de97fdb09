"""What a model that says nothing of its instances gets."""

from __future__ import annotations

import msgspec
import pytest

from gateway.core.scaling import FOR_EVER, ScalePolicy, longest, parse_keep_alive


def test_a_model_that_says_nothing_goes_to_zero_when_the_gateway_says_so() -> None:
    policy = ScalePolicy()
    assert policy.min_instances == 0
    assert policy.keep_alive_s is None
    assert not policy.pinned


def test_a_policy_travels_whole() -> None:
    policy = ScalePolicy(1, 4, -1.0, 2.5, pinned=True)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(policy), type=ScalePolicy) == policy


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (30, 30.0),
        (1.5, 1.5),
        (0, 0.0),
        ("90", 90.0),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        ("2d", 172_800.0),
        (-1, FOR_EVER),
        ("-1", FOR_EVER),
        (-0.5, FOR_EVER),
    ],
)
def test_times_to_be_kept(value: object, seconds: float) -> None:
    assert parse_keep_alive(value) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "soon", "10 m", "m10", "1h-5m", True, None, [], float("nan"), float("inf"), 1e30, "9" * 40, 1 << 80],
)
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(ValueError, match="must be seconds, or a text such as"):
        parse_keep_alive(value)


def test_for_ever_is_longest() -> None:
    assert longest(5.0, 9.0) == 9.0
    assert longest(5.0, FOR_EVER) == longest(FOR_EVER, 5.0) == FOR_EVER
