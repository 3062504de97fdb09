from __future__ import annotations

import pytest

from gateway.core.errors import InvalidInput, TooLarge, Unsupported
from gateway.frontends.v2_rest.post import Post, read_object
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange, FakeLease

HEAD = Head(b"POST", b"/v2/logging", (), http_version="1.1")


def refusing(document, exchange):
    raise Unsupported("no")


def failing(document, exchange):
    raise ZeroDivisionError("a bug")


def answering(document, exchange):
    exchange.respond(200, (), str(document).encode())


@pytest.mark.parametrize(
    ("answer", "body", "status"),
    [(answering, b'{"a":1}', 200), (answering, b"[", 400), (refusing, b"", 501), (failing, b"", 500)],
)
def test_a_post(answer, body, status):
    exchange, lease = FakeExchange(HEAD), FakeLease()
    Post(answer).handle(exchange, body, lease)
    assert (exchange.status, lease.holds) == (status, 0)


@pytest.mark.parametrize("text", [b"", b" \n", b"{}"])
def test_no_body_is_an_empty_object(text):
    assert read_object(text) == {}


@pytest.mark.parametrize("text", [b"1", b"[]", b"null", b"{", b'{"a":1,"a":2}', b"\xff", b"[" * 200])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(InvalidInput):
        read_object(text)


def test_what_wire_must_know():
    endpoint, exchange = Post(answering), FakeExchange(HEAD)
    assert (endpoint.whole, endpoint.body_size(HEAD, b""), endpoint.payload_offset(HEAD)) == (True, None, 0)
    endpoint.refuse(exchange, TooLarge("x"))
    assert exchange.status == 413
