"""What instances may have of a device."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.device import Device
from gateway.devices.reserve import Reserve
from gateway.devices.settings import DeviceSettings


@pytest.mark.parametrize(
    ("reserve", "usable"),
    [
        (Reserve(), 1000),
        (Reserve(100), 900),
        (Reserve(0, 0.25), 750),
        (Reserve(100, 0.25), 750),
        (Reserve(300, 0.25), 700),
        (Reserve(2000), 0),
    ],
)
def test_the_larger_reserve_counts(reserve: Reserve, usable: int) -> None:
    assert reserve.usable_bytes(Device(memory_bytes=1000)) == usable


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 40), st.floats(0, 0.9))
def test_never_more_than_there_is(memory: int, least: int, fraction: float) -> None:
    assert 0 <= Reserve(least, fraction).usable_bytes(Device(memory_bytes=memory)) <= memory


def test_the_settings_tell_it() -> None:
    assert DeviceSettings(reserve_bytes=5, reserve_fraction=0.5).reserve == Reserve(5, 0.5)
