from __future__ import annotations

import gzip
import zlib

import pytest

from gateway.core.errors import InvalidInput, TooLarge
from gateway.frontends.codings import deflate, inflate

BIG = 1 << 30


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_there_and_back(coding):
    packed = deflate((b"abc", memoryview(b"def" * 1000)), coding)
    assert inflate(packed, coding, BIG, 200) == b"abc" + b"def" * 1000
    assert inflate(memoryview(packed), coding, BIG, 200) == b"abc" + b"def" * 1000


def test_others_can_read_it():
    assert gzip.decompress(deflate(b"abc", "gzip")) == b"abc"
    assert zlib.decompress(deflate(b"abc", "deflate")) == b"abc"


def test_the_size_is_capped():
    packed = gzip.compress(bytes(1001))
    assert len(inflate(packed, "gzip", 1001, 200)) == 1001
    with pytest.raises(TooLarge):
        inflate(packed, "gzip", 1000, 200)


def test_a_bomb_is_refused_by_its_ratio_long_before_it_is_large():
    bomb = zlib.compress(bytes(64 << 20))  # a thousand to one
    with pytest.raises(TooLarge, match=str(200 * len(bomb))):
        inflate(bomb, "deflate", BIG, 200)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_cut_anywhere_is_invalid(coding):
    packed = deflate(b"some text", coding)
    for end in range(len(packed)):
        with pytest.raises(InvalidInput):
            inflate(packed[:end], coding, BIG, 200)
    with pytest.raises(InvalidInput):
        inflate(packed + b"x", coding, BIG, 200)
