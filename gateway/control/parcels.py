"""Bytes of any size beside a packet: small ones within it, large ones in a memory file that comes along.

A packet holds 128 KiB; a memory file (memfd) is a descriptor like any other, needs no name in any file
system, and is gone with its last holder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

# What is above it costs a system call for each end and saves the queue its bytes.
MAX_INLINE_BYTES = 64 << 10
MAX_PARCEL_BYTES = 1 << 30


def pack(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """`data` for a packet: its bytes, or the descriptor to send with it; raises OSError without memory."""
    if len(data) <= MAX_INLINE_BYTES:
        return data, ()
    fd = os.memfd_create("gateway-parcel", os.MFD_CLOEXEC)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
    except BaseException:
        os.close(fd)
        raise
    return b"", (fd,)


def unpack(inline: bytes, fds: Sequence[int]) -> bytes:
    """What `pack` was given; closes `fds`. Raises ValueError where no such thing came."""
    try:
        if not fds:
            return inline
        size = os.fstat(fds[0]).st_size
        if len(fds) > 1 or size > MAX_PARCEL_BYTES:
            raise ValueError(f"a parcel of {len(fds)} files, the first of {size} bytes")
        parts = []
        at = 0
        while at < size and (part := os.pread(fds[0], size - at, at)):
            parts.append(part)
            at += len(part)
        return b"".join(parts)
    finally:
        for fd in fds:
            os.close(fd)
