from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.exchange import Head
from gateway.wire.http1.head import (
    CHUNKED,
    TAIL_CLOSE,
    TAIL_KEEP,
    TAIL_KEEP_10,
    HeadCache,
    HeadLimits,
    HeadParser,
    Refused,
    RequestHead,
)
from tests.fakes.services import WholeEndpoint

LIMITS = HeadLimits(max_bytes=1000, max_fields=10)
ENDPOINT = WholeEndpoint()


def route(head: Head) -> WholeEndpoint:
    return ENDPOINT


def parse(raw: bytes, *cuts: int) -> RequestHead:
    parser = HeadParser(LIMITS)
    edges = [0, *sorted(cuts), len(raw)]
    for start, end in pairwise(edges):
        parser.feed(raw[start:end])
    return parser.finish(raw, b"http", route)


def head(line: str, *fields: str, host: bool = True) -> bytes:
    return "\r\n".join([line, *(["Host: x"] if host else []), *fields, "", ""]).encode("latin-1")


def test_a_head_in_full() -> None:
    request = parse(head("POST /a%20b?q=1&r HTTP/1.1", "Content-Length: 42", "X-Mixed:  v \t", "A:"))
    found = request.head
    assert (found.method, found.path, found.query) == (b"POST", b"/a%20b", b"q=1&r")
    assert found.headers == ((b"host", b"x"), (b"content-length", b"42"), (b"x-mixed", b"v"), (b"a", b""))
    assert (found.http_version, found.scheme, found.authority) == ("1.1", b"http", b"x")
    assert request.body_bytes == 42
    assert request.endpoint is ENDPOINT
    assert found.endpoint is ENDPOINT


@pytest.mark.parametrize(
    ("line", "fields", "keeps", "tail"),
    [
        ("GET / HTTP/1.1", (), True, TAIL_KEEP),
        ("GET / HTTP/1.1", ("Connection: Close",), False, TAIL_CLOSE),
        ("GET / HTTP/1.1", ("Connection: foo, close",), False, TAIL_CLOSE),
        ("GET / HTTP/1.1", ("Connection: foo", "Connection: close"), False, TAIL_CLOSE),
        ("GET / HTTP/1.1", ("Connection: keep-alive",), True, TAIL_KEEP),
        ("GET / HTTP/1.1", ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), True, TAIL_KEEP),
        ("GET / HTTP/1.0", (), False, TAIL_CLOSE),
        ("GET / HTTP/1.0", ("Connection: Keep-Alive",), True, TAIL_KEEP_10),
        ("GET / HTTP/1.0", ("Connection: keep-alive, close",), False, TAIL_CLOSE),
    ],
)
def test_whether_the_connection_goes_on(line: str, fields: tuple[str, ...], keeps: bool, tail: bytes) -> None:
    request = parse(head(line, *fields))
    assert (request.keeps, request.tail) == (keeps, tail)


@pytest.mark.parametrize(
    ("target", "path", "authority"),
    [
        ("http://a.example:80/x?y", b"/x", b"a.example:80"),
        ("HTTP://a.example", b"/", b"a.example"),
        ("http://a.example?q", b"/", b"a.example"),
        ("/x#fragment", b"/x", b"x"),
        ("/%ff", b"/%ff", b"x"),
        ("/%zz", b"/%zz", b"x"),
        ("//double/../%2F", b"//double/../%2F", b"x"),
    ],
)
def test_targets_are_passed_on_as_they_came(target: str, path: bytes, authority: bytes) -> None:
    found = parse(head(f"GET {target} HTTP/1.1")).head
    assert (found.path, found.authority) == (path, authority)


def test_asterisk_form_is_for_options_only() -> None:
    assert parse(head("OPTIONS * HTTP/1.1")).head.path == b"*"
    with pytest.raises(Refused):
        parse(head("GET * HTTP/1.1"))


def test_chunked_and_expectation() -> None:
    request = parse(head("POST / HTTP/1.1", "Transfer-Encoding: Chunked", "Expect: 100-Continue"))
    assert request.body_bytes == CHUNKED
    assert request.expects_continue
    assert not parse(head("POST / HTTP/1.0", "Expect: 200-ok")).expects_continue


# Every line that two parties on a path could read in two ways, and some that nobody can read.
REFUSED = [
    (400, head("GET / HTTP/1.1", host=False)),
    (400, head("GET / HTTP/1.1", "Host: y")),
    (400, head("GET / HTTP/1.1", "Host: a b", host=False)),
    (400, head("GET / HTTP/1.1", "Host: a,b", host=False)),
    (400, head("GET / HTTP/1.1", "Host: a/b", host=False)),
    (400, head("GET / HTTP/1.1", "Host: user@b", host=False)),
    (400, head("POST / HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked")),
    (400, head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 1")),
    (400, head("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 1")),
    (400, head("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 2")),
    (400, head("POST / HTTP/1.1", "Content-Length: 1, 1")),
    (400, head("POST / HTTP/1.1", "Content-Length: +1")),
    (400, head("POST / HTTP/1.1", "Content-Length: -1")),
    (400, head("POST / HTTP/1.1", "Content-Length: 0x10")),
    (400, head("POST / HTTP/1.1", "Content-Length: 1_0")),
    (400, head("POST / HTTP/1.1", "Content-Length:")),
    (400, head("POST / HTTP/1.1", "Content-Length: 18446744073709551617")),
    (400, head("POST / HTTP/1.1", "Content-Length: 9223372036854775807")),
    (501, head("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked")),
    (400, head("POST / HTTP/1.1", "Transfer-Encoding: chunked, gzip")),
    (400, head("POST / HTTP/1.1", "Transfer-Encoding: xchunked")),
    (400, head("POST / HTTP/1.1", "Transfer-Encoding: identity")),
    (400, head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
    (400, head("POST / HTTP/1.1", "Transfer-Encoding: \x0bchunked")),
    (400, head("POST / HTTP/1.0", "Transfer-Encoding: chunked")),
    (417, head("POST / HTTP/1.1", "Expect: 200-ok")),
    (400, head("GET / HTTP/1.1", "A : b")),
    (400, head("GET / HTTP/1.1", "A: b", " folded")),
    (400, head("GET / HTTP/1.1", "A: b", "\tfolded")),
    (400, head("GET / HTTP/1.1", "A: b\x00")),
    (400, head("GET / HTTP/1.1", "A: b\x01")),
    (400, head("GET / HTTP/1.1", "A: b\x7f")),
    (400, head("GET / HTTP/1.1", "A: b\nC: d")),
    (400, head("GET / HTTP/1.1", "A: b\rC: d")),
    (400, head("GET / HTTP/1.1", "A\xc3: b")),
    (400, head("GET / HTTP/1.1", ": b")),
    (400, head("GET / HTTP/1.1", "no colon")),
    (400, head("GET / HTTP/1.1", "(a): b")),
    (400, head(" GET / HTTP/1.1")),
    (400, head("GET  / HTTP/1.1")),
    (400, head("GET /  HTTP/1.1")),
    (400, head("GET / HTTP/1.1 ")),
    (400, head("GET\t/ HTTP/1.1")),
    (400, head("GET /a b HTTP/1.1")),
    (400, head("GET /\x01 HTTP/1.1")),
    (400, head("GET /\xc3\xa9 HTTP/1.1")),
    (400, head("GET relative HTTP/1.1")),
    (400, head("GET ftp://x/ HTTP/1.1")),
    (400, head("GET http:///path HTTP/1.1")),
    (400, head("GET http://a@b/ HTTP/1.1")),
    (405, head("CONNECT a.example:443 HTTP/1.1")),
    (400, head("GET / HTTP/0.9")),
    (400, head("GET / HTTP/1.2")),
    (400, head("GET / HTTP/2.0")),
    (400, head("GET / HTTP/3.7")),
    (400, head("GET / HTTP/1.10")),
    (400, head("GET / http/1.1")),
    (400, head("GET /")),
    (400, head("get / HTTP/1.1")),
    (400, head("NONSENSE / HTTP/1.1")),
    (400, b"GET / HTTP/1.1\nHost: x\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: x\n\r\n\r\n"),
    (431, head("GET / HTTP/1.1", *(f"A{number}: b" for number in range(10)))),
    (431, head("GET / HTTP/1.1", "A: " + "b" * 1000)),
    (431, head("GET /" + "a" * 1000 + " HTTP/1.1")),
]


@pytest.mark.parametrize(("status", "raw"), REFUSED, ids=lambda value: repr(value)[:70])
def test_ambiguous_and_malformed_heads_are_refused(status: int, raw: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse(raw)
    assert refused.value.status == status
    assert refused.value.text


def test_a_failing_route_is_not_a_refusal() -> None:
    def fail(head: Head) -> WholeEndpoint:
        raise ZeroDivisionError

    parser = HeadParser(LIMITS)
    raw = head("GET / HTTP/1.1")
    parser.feed(raw)
    with pytest.raises(ZeroDivisionError):
        parser.finish(raw, b"http", fail)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_pieces_mean_what_the_whole_means(data: st.DataObject) -> None:
    raw = head("POST /p?q HTTP/1.1", "Content-Length: 7", "X-Long: some words", "Connection: close")
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=8))
    whole, pieces = parse(raw), parse(raw, *cuts)
    assert pieces.head.headers == whole.head.headers
    assert (pieces.head.path, pieces.body_bytes, pieces.tail) == (
        whole.head.path,
        whole.body_bytes,
        whole.tail,
    )


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(garbage: bytes) -> None:
    for raw in (garbage, b"GET / HTTP/1.1\r\nHost: x\r\n" + garbage + b"\r\n\r\n"):
        with suppress(Refused):
            parse(raw)


class TestHeadCache:
    def test_remembers_by_bytes(self) -> None:
        cache, raw = HeadCache(), head("GET / HTTP/1.1")
        request = parse(raw)
        cache.add(raw, request)
        assert cache.get(raw) is request
        assert cache.get(raw + b"x") is None

    def test_is_bounded(self) -> None:
        cache, request = HeadCache(capacity=3), parse(head("GET / HTTP/1.1"))
        for number in range(10):
            cache.add(b"%d" % number, request)
            assert len(cache) <= 3
        assert cache.get(b"9") is request

    def test_leaves_long_heads_out(self) -> None:
        cache, request = HeadCache(), parse(head("GET / HTTP/1.1"))
        cache.add(b"x" * (HeadCache.MAX_HEAD_BYTES + 1), request)
        assert len(cache) == 0

    def test_without_capacity_remembers_nothing(self) -> None:
        cache, request = HeadCache(0), parse(head("GET / HTTP/1.1"))
        cache.add(b"x", request)
        assert len(cache) == 0
