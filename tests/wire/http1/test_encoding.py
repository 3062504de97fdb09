from __future__ import annotations

import json

import pytest

from gateway.wire.http1 import encoding
from gateway.wire.http1.encoding import (
    declared_length,
    error_body,
    has_body,
    head_bytes,
    refusal_bytes,
    size_bytes,
)
from tests.fakes.http1 import parse_answers


def test_head_is_encoded_once() -> None:
    headers = ((b"content-type", b"text/plain"), (b"x", b"caf\xe9"))
    head = head_bytes(404, headers)
    assert head == b"HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\nx: caf\xe9"
    assert head_bytes(404, tuple(headers)) is head


def test_heads_that_never_repeat_do_not_pile_up() -> None:
    for number in range(2000):
        head_bytes(200, ((b"x", b"%d" % number),))
    assert len(encoding._heads) <= 256


def test_unknown_status() -> None:
    assert head_bytes(299, ()).startswith(b"HTTP/1.1 299 ")


def test_declared_length() -> None:
    assert declared_length(((b"a", b"1"), (b"content-length", b"12"))) == 12
    assert declared_length(()) is None
    with pytest.raises(ValueError, match="not a number"):
        declared_length(((b"content-length", b"-1"),))


@pytest.mark.parametrize(
    ("status", "expected"), [(100, False), (200, True), (204, False), (304, False), (500, True)]
)
def test_has_body(status: int, expected: bool) -> None:
    assert has_body(status) is expected


def test_error_body_is_json_whatever_the_text() -> None:
    assert json.loads(error_body('a "quoted" \\ text\n')) == {"error": 'a "quoted" \\ text\n'}


def test_refusal_is_a_whole_answer() -> None:
    (answer,) = parse_answers(refusal_bytes(413, "too much"))
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    assert json.loads(answer.body) == {"error": "too much"}


def test_size_bytes_counts_bytes_not_items() -> None:
    assert size_bytes(memoryview(b"abcd").cast("I")) == 4
    assert size_bytes(bytearray(3)) == 3
