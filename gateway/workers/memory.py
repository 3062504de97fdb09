"""What this process takes of memory, and which failures mean that there was too little. Linux: proc(5)."""

from __future__ import annotations

import os
import re
from pathlib import Path

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


def private_bytes(process: Path = _SELF) -> int:
    """What the end of this process would give back: up to milliseconds, for the kernel walks its pages."""
    text = (process / "smaps_rollup").read_text(encoding="ascii")
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith(_PRIVATE))


def tells_of_too_little(text: str) -> bool:
    """True for the words of an engine that found too little memory."""
    return _TOO_LITTLE.search(text) is not None
