"""What a process takes, by what the kernel writes of it; and words for too little."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gateway.workers.memory import measured, private_bytes, resident_bytes, tells_of_too_little


def test_what_the_kernel_writes(tmp_path: Path) -> None:
    (tmp_path / "statm").write_text("1000 300 100 1 0 50 0\n")
    (tmp_path / "smaps_rollup").write_text(
        "55d0-7ff [rollup]\nRss: 900 kB\nPrivate_Clean: 3 kB\nPrivate_Dirty: 7 kB\nSwap: 0 kB\n"
    )
    assert resident_bytes(tmp_path) == 200 * os.sysconf("SC_PAGE_SIZE")
    assert private_bytes(tmp_path) == 10 << 10


def test_what_is_written_is_seen() -> None:
    before, size = resident_bytes(), 64 << 20
    held = np.ones(size, np.uint8)
    assert resident_bytes() - before > size * 0.9
    assert private_bytes() > size * 0.9
    assert held[-1] == 1


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 4096",
        "CUDA failure 2: out of memory ; GPU=0",
        "std::bad_alloc",
        "MemoryError: Unable to allocate 8 GiB",
        "CUDNN_STATUS_ALLOC_FAILED",
        "OSError: [Errno 12] Cannot allocate memory",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes",
    ],
)
def test_words_for_too_little(text: str) -> None:
    assert tells_of_too_little(text)


@pytest.mark.parametrize(
    "text", ["a cyclic graph", "CUDA failure 209: no kernel image", "memory format NHWC"]
)
def test_words_for_something_else(text: str) -> None:
    assert not tells_of_too_little(text)


def test_a_load_that_was_alone_knows_what_it_took() -> None:
    levels = iter([100, 175, 175, 50])
    with measured(levels.__next__) as growth:
        pass
    assert growth.size_bytes == 75
    with measured(levels.__next__) as growth:
        pass
    assert growth.size_bytes == 0, "others gave more back"


def test_loads_side_by_side_do_not_know() -> None:
    with measured(lambda: 1) as first:
        with measured(lambda: 1) as second:
            assert first.size_bytes is None
        with measured(lambda: 1) as third:
            pass
    assert first.size_bytes is second.size_bytes is third.size_bytes is None
    with pytest.raises(ValueError, match="no good"), measured(lambda: 1):
        raise ValueError("no good")
    with measured(lambda: 1) as alone:
        pass
    assert alone.size_bytes == 0


def test_what_cannot_be_told_is_none() -> None:
    with measured(lambda: None) as growth:
        pass
    assert growth.size_bytes is None
