"""What a process takes, by what the kernel writes of it; and words for too little."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gateway.workers.memory import private_bytes, resident_bytes, tells_of_too_little


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
