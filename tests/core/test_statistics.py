"""What the statistics are when nothing was counted."""

from __future__ import annotations

import msgspec
import pytest

from gateway.core.statistics import BatchStatistics, MemoryUsage, Spent, VersionStatistics


def test_a_version_never_called_is_all_zeros() -> None:
    entry = VersionStatistics("m", 3)
    assert entry.is_empty
    assert entry == VersionStatistics("m", 3, 0, 0, 0, *[Spent(0, 0)] * 6, ())


@pytest.mark.parametrize(
    "entry",
    [
        VersionStatistics("m", 3, success=Spent(1)),
        VersionStatistics("m", 3, fail=Spent(1)),
        VersionStatistics("m", 3, memory=(MemoryUsage("CPU", 0, 1),)),
        VersionStatistics("m", 3, execution_count=1),  # of which the caller had gone
    ],
)
def test_whatever_happened_is_told(entry: VersionStatistics) -> None:
    assert not entry.is_empty


def test_sixty_four_bits_travel() -> None:
    much = Spent((1 << 64) - 1, (1 << 64) - 1)
    whole = VersionStatistics("m", 3, success=much, batches=(BatchStatistics(4, much, much, much),))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(whole), type=VersionStatistics) == whole
