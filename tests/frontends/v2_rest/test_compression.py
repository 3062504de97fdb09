from __future__ import annotations

import pytest

from gateway.frontends.v2_rest.compression import accepted_coding, content_coding


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        (None, ""),
        (b"", ""),
        (b"identity", ""),
        (b"GZip", "gzip"),
        (b" deflate ", "deflate"),
        (b"br", None),
        (b"gzip, gzip", None),
        (b"\xff", None),
    ],
)
def test_content_encoding(value, coding):
    assert content_coding(value) == coding


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        (None, ""),
        (b"", ""),
        (b"gzip", "gzip"),
        (b"br, deflate, gzip", "deflate"),
        (b"gzip;q=0.2, deflate;q=0.7", "deflate"),
        (b"gzip;q=0", ""),
        (b"identity, gzip;q=0.5", ""),
        (b"gzip;q=0.5, identity;q=0.1", "gzip"),
        (b"gzip;q=x", ""),
        (b"gzip;q=7", ""),
        (b"gzip;level=1", "gzip"),
        (b"*", ""),
        (b"\xff;;=,,", ""),
        (b"gzip," * 100, ""),
    ],
)
def test_accept_encoding(value, coding):
    assert accepted_coding(value) == coding
