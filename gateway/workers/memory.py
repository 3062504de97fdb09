"""What this process takes of memory, and which failures mean that there was too little. Linux: proc(5)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from gateway.runtimes.contract import EngineBroken, LoadError
from gateway.runtimes.cuda import CudaFailed, open_cuda

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SELF = Path("/proc/self")
_PRIVATE = ("Private_Clean:", "Private_Dirty:")
# As ONNX Runtime, CUDA, cuDNN, PyTorch, TensorRT, the C++ library and the kernel say it.
_TOO_LITTLE = re.compile(
    r"out of memory|failed to allocate memory|outofmemory|cannot allocate memory|bad_alloc|bad allocation"
    r"|alloc_failed|cuda failure 2\b|memoryerror|can't allocate memory",
    re.IGNORECASE,
)


def resident_bytes(process: Path = _SELF) -> int:
    """Pages that are no file's, those shared since a fork included: 15 us, for differences."""
    resident, shared = (process / "statm").read_text(encoding="ascii").split()[1:3]
    return (int(resident) - int(shared)) * _PAGE


class Growth:
    """What a load has taken, in bytes; None where that cannot be told, as when another went on meanwhile."""

    def __init__(self) -> None:
        self.size_bytes: int | None = None
        self.is_alone = True


_growing: set[Growth] = set()


@contextmanager
def measured(taken: Callable[[], int | None]) -> Generator[Growth]:
    """Measures what is loaded within by `taken`; several may be at it, each in a thread of its own."""
    growth, before = Growth(), taken()
    _growing.add(growth)
    if len(_growing) > 1:
        for one in tuple(_growing):
            one.is_alone = False
    try:
        yield growth
    finally:
        _growing.discard(growth)
        after = taken()
        if growth.is_alone and before is not None and after is not None:
            growth.size_bytes = max(0, after - before)


def taken_of_gpu() -> int | None:
    """The memory of the GPU that this process sees that is not free, up to a constant: for differences.

    None where CUDA cannot be asked. Makes the context, which is nobody's in particular, if there is none.
    """
    free_bytes = free_on_gpu()
    return None if free_bytes is None else -free_bytes


def free_on_gpu() -> int | None:
    """The memory that is free of the GPU that this process sees; else as `taken_of_gpu`."""
    try:
        cuda = open_cuda(0)
        free_bytes = cuda.free_bytes()
        cuda.close()
    except (LoadError, CudaFailed, EngineBroken):
        return None
    return free_bytes


def private_bytes(process: Path = _SELF) -> int:
    """What the end of this process would give back: up to milliseconds, for the kernel walks its pages."""
    text = (process / "smaps_rollup").read_text(encoding="ascii")
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith(_PRIVATE))


def tells_of_too_little(text: str) -> bool:
    """True for the words of an engine that found too little memory."""
    return _TOO_LITTLE.search(text) is not None
