"""Sealed shared memory: making a segment, and mapping one that came from somebody else.

Whoever receives a segment reads it while its maker still holds it. The seals make that safe: without
F_SEAL_SHRINK the maker could truncate it and kill the reader with SIGBUS. F_SEAL_FUTURE_WRITE (Linux
5.1) keeps every later mapping read-only, so a worker cannot change what other workers are reading.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os

import numpy as np

from gateway.core.tensor import Buffer
from gateway.workers.frames import ProtocolViolation

MAX_SEGMENT_BYTES = 4 << 30
_FUTURE_WRITE = 0x10  # fcntl.F_SEAL_FUTURE_WRITE from Python 3.13 on
_REQUIRED = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def create(size: int) -> tuple[int, mmap.mmap]:
    """A sealed segment of `size` bytes: its descriptor, and its only writable mapping."""
    fd = os.memfd_create("gateway-segment", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        memory = mmap.mmap(fd, size)
        _seal(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd, memory


def _seal(fd: int) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _REQUIRED | _FUTURE_WRITE)
    except OSError as error:
        if error.errno != errno.EINVAL:  # an older kernel: workers are then trusted not to write
            raise
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _REQUIRED)


def map_foreign(fd: int, size: int) -> mmap.mmap:
    """Maps a received segment for reading and closes `fd`; raises ProtocolViolation unless it is safe."""
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        if seals & _REQUIRED != _REQUIRED:
            raise ProtocolViolation(f"a segment with seals {seals:#x}")
        if not 0 < size <= MAX_SEGMENT_BYTES or os.fstat(fd).st_size != size:
            raise ProtocolViolation("a segment of another size than announced")
        return mmap.mmap(fd, size, prot=mmap.PROT_READ)
    except OSError as error:
        raise ProtocolViolation(f"a descriptor that is no segment: {error.strerror}") from None
    finally:
        os.close(fd)


def address(buffer: Buffer | mmap.mmap) -> int:
    """Where in this process `buffer` begins."""
    place: int = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]
    return place


class ForeignSegments:
    """The other end's segments, mapped once each, at most `max_segments` and `max_bytes` of them."""

    def __init__(self, max_segments: int, max_bytes: int) -> None:
        self._max_segments = max_segments
        self._max_bytes = max_bytes
        self._views: dict[int, memoryview] = {}
        self._bytes = 0

    def add(self, segment: int, fd: int, size: int) -> None:
        """Maps segment number `segment`; takes `fd` over; raises ProtocolViolation."""
        if segment in self._views or self._is_full(size):
            os.close(fd)
            raise ProtocolViolation("a segment announced twice, or too many of them")
        self._views[segment] = memoryview(map_foreign(fd, size))
        self._bytes += size

    def _is_full(self, size: int) -> bool:
        return len(self._views) >= self._max_segments or self._bytes + size > self._max_bytes

    def view(self, segment: int, offset: int, size: int) -> memoryview:
        """A read-only view; raises ProtocolViolation where it is not inside a known segment."""
        whole = self._views.get(segment)
        if whole is None or offset + size > len(whole):
            raise ProtocolViolation("a region outside every announced segment")
        return whole[offset : offset + size]

    def forget(self, segment: int) -> None:
        """Drops a segment: it is unmapped when its last view is gone; raises ProtocolViolation."""
        view = self._views.pop(segment, None)
        if view is None:
            raise ProtocolViolation("FORGET of an unknown segment")
        self._bytes -= len(view)

    def __contains__(self, segment: int) -> bool:
        return segment in self._views

    def clear(self) -> None:
        """Drops every segment."""
        self._views.clear()
        self._bytes = 0
