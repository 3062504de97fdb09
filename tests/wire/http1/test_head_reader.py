from __future__ import annotations

import pytest

from gateway.wire.http1.head import HeadCache, Refused
from gateway.wire.http1.head_reader import HeadReader
from gateway.wire.settings import WireSettings
from tests.fakes.http1 import get
from tests.fakes.services import EchoService


def make(cache: HeadCache | None = None) -> HeadReader:
    return HeadReader(
        EchoService(), WireSettings(), HeadCache() if cache is None else cache, b"https", lambda: 7.0
    )


def test_a_whole_head() -> None:
    cache, raw = HeadCache(), get("/x")
    request, at = make(cache).take(b".." + raw + b"rest", 2, 2 + len(raw))
    assert at == 2
    assert request is not None
    assert (request.head.path, request.head.scheme) == (b"/x", b"https")
    assert cache.get(raw) is request


def test_a_head_in_pieces() -> None:
    reader, raw = make(), get("/x")
    for end in range(1, len(raw)):
        assert reader.take_partial(raw[:end], 0) == 0
        assert reader.is_partial
        assert reader.began == 7.0
    request, at = reader.take(raw, 0, len(raw))
    assert at == 0
    assert request is not None
    assert not reader.is_partial


def test_empty_lines_are_no_head() -> None:
    reader = make()
    assert reader.take_partial(b"..\r\n\r\n", 2) == 6
    assert reader.take_partial(b"\r\n\r", 0) == 2
    assert not reader.is_partial
    assert reader.take(b"\r\n\r\nGET", 0, 4) == (None, 4)


def test_garbage_is_refused_before_its_end() -> None:
    with pytest.raises(Refused):
        make().take_partial(b"\x16\x03\x01", 0)


def test_abandon() -> None:
    reader = make()
    reader.take_partial(b"GET /", 0)
    reader.abandon()
    assert not reader.is_partial
    raw = get("/x")
    assert reader.take(raw, 0, len(raw))[0] is not None
