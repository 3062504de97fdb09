"""Stands in for NVIDIA's library where a test puts its folder on the path: an H100, and an A100 in slices."""

from __future__ import annotations

from tests.fakes.nvml_cards import FakeCard, FakeNvml, NVMLError

_MACHINE = FakeNvml(
    FakeCard("H100", "h100"), FakeCard("A100", "a100", "1g.5gb", "2g.10gb", ("1c.3g.20gb", "2c.3g.20gb"))
)
_MACHINE.cards[0].used = 1 << 30
_MACHINE.device("MIG-a100-1").error = 15

__all__ = ["NVMLError"]


def __getattr__(name: str) -> object:
    return getattr(_MACHINE, name)
