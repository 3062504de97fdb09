"""Devices and seats travel as they are: to workers, and to whoever asks."""

from __future__ import annotations

import msgspec
import pytest

from gateway.core.device import CPU, Device, Seat, Usage

VALUES = [
    Device(),
    Device("MIG-0f", "mig", "H100 1g.10gb", 10 << 30, 3, "GPU-1a", 1 / 7, is_healthy=False),
    Seat(),
    Seat("GPU-1a", "/environments/a", is_shared=True),
    Usage(12.5, 3),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_field_survives_the_way(value: msgspec.Struct) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=type(value)) == value


def test_without_a_word_it_is_the_cpu_and_sees_what_the_gateway_sees() -> None:
    assert (Device().id, Device().kind, Seat().device) == (CPU, "cpu", "")
