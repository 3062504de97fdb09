from __future__ import annotations

import fcntl
import gc
import mmap
import os
import tempfile

import pytest

from gateway.workers import segments
from gateway.workers.frames import ProtocolViolation
from gateway.workers.segments import ForeignSegments

SIZE = 1 << 16


def unsealed(size: int = SIZE, seals: int = 0) -> int:
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def open_descriptors() -> int:
    gc.collect()  # what earlier tests left is not this one's
    return len(os.listdir("/proc/self/fd"))


def test_a_segment_is_shared_and_read_only_for_others() -> None:
    fd, ours = segments.create(SIZE)
    theirs = segments.map_foreign(os.dup(fd), SIZE)
    ours[:5] = b"hello"
    assert theirs[:5] == b"hello"
    with pytest.raises(TypeError):
        theirs[:5] = b"HELLO"
    with pytest.raises(PermissionError):
        mmap.mmap(fd, SIZE)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 0)
    os.close(fd)


@pytest.mark.parametrize("seals", [0, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL, fcntl.F_SEAL_SHRINK])
def test_a_segment_that_could_shrink_is_refused(seals: int) -> None:
    before = open_descriptors()
    with pytest.raises(ProtocolViolation, match="seals"):
        segments.map_foreign(unsealed(seals=seals), SIZE)
    assert open_descriptors() == before


@pytest.mark.parametrize("said", [0, 1, SIZE - 1, SIZE + 1, 1 << 50])
def test_a_segment_of_another_size_is_refused(said: int) -> None:
    fd, _memory = segments.create(SIZE)
    with pytest.raises(ProtocolViolation, match="size"):
        segments.map_foreign(fd, said)


def test_other_descriptors_are_refused() -> None:
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as file:
        for fd in (reading, writing, os.dup(file.fileno())):
            with pytest.raises(ProtocolViolation):
                segments.map_foreign(fd, SIZE)


def test_foreign_segments_are_bounded_and_known_by_number() -> None:
    before = open_descriptors()
    known = ForeignSegments(max_segments=2, max_bytes=3 * SIZE)
    made = [segments.create(SIZE) for _ in range(3)]
    known.add(1, os.dup(made[0][0]), SIZE)
    known.add(2, os.dup(made[1][0]), SIZE)
    for number in (2, 3):
        with pytest.raises(ProtocolViolation, match="twice"):
            known.add(number, os.dup(made[2][0]), SIZE)
    made[0][1][10:13] = b"abc"
    assert known.view(1, 10, 3) == b"abc"
    for segment, offset, size in ((1, SIZE, 1), (1, 0, SIZE + 1), (9, 0, 1)):
        with pytest.raises(ProtocolViolation, match="outside"):
            known.view(segment, offset, size)
    known.forget(1)
    assert 1 not in known
    assert 2 in known
    with pytest.raises(ProtocolViolation, match="unknown"):
        known.forget(1)
    known.clear()
    for fd, memory in made:
        os.close(fd)
        memory.close()
    assert open_descriptors() == before


def test_the_address_is_that_of_the_first_byte() -> None:
    data = bytearray(100)
    assert segments.address(memoryview(data)[10:]) == segments.address(data) + 10
