"""Bytes within a packet or beside it."""

from __future__ import annotations

import os

import pytest

from gateway.control.parcels import MAX_INLINE_BYTES, pack, unpack


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", [0, 1, MAX_INLINE_BYTES, MAX_INLINE_BYTES + 1, 5 << 20])
def test_what_is_packed_is_unpacked_and_nothing_stays_open(size: int) -> None:
    before = open_fds()
    data = os.urandom(size)
    inline, fds = pack(data)
    assert len(fds) == (size > MAX_INLINE_BYTES)
    assert len(inline) <= MAX_INLINE_BYTES
    assert unpack(inline, fds) == data
    assert open_fds() == before


def test_what_is_no_parcel_is_refused_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_fds()
    data = bytes(MAX_INLINE_BYTES + 1)
    with pytest.raises(ValueError, match="a parcel of 2 files"):
        unpack(b"", (*pack(data)[1], *pack(data)[1]))
    monkeypatch.setattr("gateway.control.parcels.MAX_PARCEL_BYTES", 10)
    with pytest.raises(ValueError, match="the first of 65537 bytes"):
        unpack(b"", pack(data)[1])
    assert open_fds() == before
