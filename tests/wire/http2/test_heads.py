from __future__ import annotations

import pytest

from gateway.wire.http2.frames import ErrorCode, StreamFault
from gateway.wire.http2.heads import HeadersTooLarge, Http2Head, build_head, check_trailers
from tests.fakes.http2 import request_fields

Fields = list[tuple[bytes, bytes]]


def build(fields: Fields) -> Http2Head:
    return build_head(fields, 65_536, 128)


def without(name: bytes) -> Fields:
    return [field for field in request_fields() if field[0] != name]


def test_a_head() -> None:
    head = build(request_fields(b"/v2/models/a%20b?x=1", b"GET", (b"te", b"trailers"), (b"a", b"\xff b")))
    assert (head.method, head.path, head.query) == (b"GET", b"/v2/models/a%20b", b"x=1")
    assert (head.scheme, head.authority, head.http_version) == (b"http", b"localhost", "2")
    assert head.headers == ((b"te", b"trailers"), (b"a", b"\xff b"))
    assert head.content_length == -1
    assert head.get(b"te") == b"trailers"
    assert head.get(b"absent") is None


def test_host_stands_for_authority() -> None:
    assert build([*without(b":authority"), (b"host", b"there")]).authority == b"there"
    assert build(request_fields(b"/", b"GET", (b"host", b"localhost"))).authority == b"localhost"


def test_cookies_are_joined_in_place() -> None:
    head = build(request_fields(b"/", b"GET", (b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2")))
    assert head.headers == ((b"cookie", b"a=1; b=2"), (b"x", b"y"))


def test_a_length_is_parsed() -> None:
    assert build(request_fields(b"/", b"POST", (b"content-length", b"12"))).content_length == 12


def test_an_asterisk_is_for_options_only() -> None:
    assert build(request_fields(b"*", b"OPTIONS")).path == b"*"
    with pytest.raises(StreamFault):
        build(request_fields(b"*", b"GET"))


MALFORMED: dict[str, Fields] = {
    "nothing": [],
    "no method": without(b":method"),
    "no path": without(b":path"),
    "no scheme": without(b":scheme"),
    "empty path": request_fields(b""),
    "path without slash": request_fields(b"index"),
    "path with a space": request_fields(b"/a b"),
    "path beyond ASCII": request_fields(b"/\xc3\xa9"),
    "method not a token": request_fields(b"/", b"G T"),
    "connect": request_fields(b"/", b"CONNECT"),
    "plain connect": [(b":method", b"CONNECT"), (b":authority", b"x:1")],
    "unknown pseudo": [*request_fields(), (b":protocol", b"websocket")],
    "status": [(b":status", b"200"), *request_fields()],
    "repeated pseudo": [(b":path", b"/"), *request_fields()],
    "pseudo after field": [(b"a", b"b"), *request_fields()],
    "pseudo among fields": request_fields(b"/", b"GET", (b"a", b"b"), (b":x", b"y")),
    "upper case": request_fields(b"/", b"GET", (b"Te", b"trailers")),
    "name with a space": request_fields(b"/", b"GET", (b"a b", b"c")),
    "empty name": request_fields(b"/", b"GET", (b"", b"c")),
    "CR": request_fields(b"/", b"GET", (b"a", b"b\rc")),
    "LF": request_fields(b"/", b"GET", (b"a", b"b\nc: d")),
    "NUL": request_fields(b"/", b"GET", (b"a", b"b\0")),
    "leading space": request_fields(b"/", b"GET", (b"a", b" b")),
    "trailing tab": request_fields(b"/", b"GET", (b"a", b"b\t")),
    "connection": request_fields(b"/", b"GET", (b"connection", b"close")),
    "upgrade": request_fields(b"/", b"GET", (b"upgrade", b"h2c")),
    "transfer-encoding": request_fields(b"/", b"POST", (b"transfer-encoding", b"chunked")),
    "keep-alive": request_fields(b"/", b"GET", (b"keep-alive", b"1")),
    "proxy-connection": request_fields(b"/", b"GET", (b"proxy-connection", b"x")),
    "te gzip": request_fields(b"/", b"GET", (b"te", b"gzip")),
    "two lengths": request_fields(b"/", b"POST", (b"content-length", b"1"), (b"content-length", b"1")),
    "length -1": request_fields(b"/", b"POST", (b"content-length", b"-1")),
    "length of 30 digits": request_fields(b"/", b"POST", (b"content-length", b"9" * 30)),
    "other host": request_fields(b"/", b"GET", (b"host", b"elsewhere")),
    "authority with a space": [*without(b":authority"), (b":authority", b"a b")][-1:]
    + without(b":authority"),
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_requests(fields: Fields) -> None:
    for _ in range(2):  # the second time the shape is known
        with pytest.raises(StreamFault) as caught:
            build(fields)
        assert caught.value.code is ErrorCode.PROTOCOL_ERROR


def test_limits() -> None:
    with pytest.raises(HeadersTooLarge):
        build(request_fields(b"/", b"GET", *[(b"a", b"b")] * 128))
    with pytest.raises(HeadersTooLarge):
        build(request_fields(b"/", b"GET", (b"a", b"b" * 65_536)))


def test_trailers() -> None:
    check_trailers([], 8)
    check_trailers([(b"grpc-status", b"0")], 8)
    for bad in ((b":path", b"/"), (b"A", b"b"), (b"connection", b"x"), (b"a", b"\r")):
        with pytest.raises(StreamFault):
            check_trailers([bad], 8)
    with pytest.raises(StreamFault):
        check_trailers([(b"a", b"b")] * 9, 8)
