"""What a model that says nothing of its instances gets."""

from __future__ import annotations

import msgspec

from gateway.core.scaling import ScalePolicy


def test_a_model_that_says_nothing_goes_to_zero_when_the_gateway_says_so() -> None:
    policy = ScalePolicy()
    assert policy.min_instances == 0
    assert policy.keep_alive_s is None
    assert not policy.pinned


def test_a_policy_travels_whole() -> None:
    policy = ScalePolicy(1, 4, -1.0, 2.5, pinned=True)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(policy), type=ScalePolicy) == policy
