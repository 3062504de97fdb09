from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.bench.dialogue import Answer, Broken
from gateway.cli.bench.rest import RestDialogue, RestRequest
from gateway.cli.bench.unique import Unique

REQUEST = RestRequest(b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n", b"{}")
OK = b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello"


def _feed(dialogue: RestDialogue, data: bytes, cut: int) -> list[Answer]:
    return [*dialogue.feed(data[:cut]), *(dialogue.feed(data[cut:]) if data[cut:] else [])]


def test_a_request_is_one_buffer_and_a_large_body_is_not_copied() -> None:
    dialogue = RestDialogue(REQUEST)
    dialogue.open()
    assert dialogue.request() == 0
    assert dialogue.output == [REQUEST.head + b"\r\n{}"]
    large = RestDialogue(RestRequest(REQUEST.head, bytes(70_000)))
    large.request()
    assert [len(part) for part in large.output] == [len(REQUEST.head) + 2, 70_000]


def test_changing_fields_stand_in_the_head() -> None:
    unique = Unique(lambda name, value: b"%b: %b\r\n" % (name, value), timeout_us=None, tokens=(), seed=1)
    dialogue = RestDialogue(REQUEST, unique=unique)
    dialogue.request()
    dialogue.request()
    first, second = (bytes(part) for part in dialogue.output)
    assert first != second
    head, body = first.split(b"\r\n\r\n")
    assert b"\r\ntraceparent: 00-" in head
    assert body == b"{}"


@pytest.mark.parametrize(
    ("raw", "answer", "closing"),
    [
        (OK, Answer(0, body=b"hello"), False),
        (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", Answer(0), False),
        (OK.replace(b"Date: now", b"Connection: Keep-Alive, Close"), Answer(0, body=b"hello"), True),
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), Answer(0, body=b"hello"), True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Answer(0, body=b"hello"), False),
        (
            b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy",
            Answer(0, "http 503", "busy", b"busy"),
            False,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
            Answer(0, body=b"hello"),
            False,
        ),
        (
            b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
            Answer(0, "http 500", "no", b"no"),
            False,
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(0, "http 204"), False),
    ],
)
def test_answers_cut_anywhere(raw: bytes, answer: Answer, *, closing: bool) -> None:
    for cut in range(1, len(raw) + 1):
        dialogue = RestDialogue(REQUEST, keep_bodies=True)
        for _ in range(2):  # the second finds its head known
            assert _feed(dialogue, raw, cut) == [answer]
            assert dialogue.closing is closing
            assert dialogue.end() == []


@given(st.lists(st.integers(1, len(OK)), max_size=5))
@settings(max_examples=60, deadline=None)
def test_answers_in_any_pieces_without_keeping_bodies(cuts: list[int]) -> None:
    dialogue = RestDialogue(REQUEST)
    edges = sorted({0, len(OK), *cuts})
    answers = [
        answer for start, stop in itertools.pairwise(edges) for answer in dialogue.feed(OK[start:stop])
    ]
    assert [(answer.tag, answer.kind) for answer in answers] == [(0, "")]


def test_a_body_without_length_ends_with_the_connection() -> None:
    dialogue = RestDialogue(REQUEST, keep_bodies=True)
    assert dialogue.feed(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nhel") == []
    assert dialogue.feed(b"lo") == []
    assert dialogue.end() == [Answer(0, body=b"hello")]
    assert dialogue.closing


def test_the_size_of_the_next_read_is_known_for_large_bodies() -> None:
    dialogue = RestDialogue(REQUEST)
    dialogue.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nabc")
    assert dialogue.expected == 999_997
    assert dialogue.feed(memoryview(bytes(999_997))) == [Answer(0)]
    assert dialogue.expected == 0


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        OK + b"more",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
    ],
)
def test_nonsense_breaks_the_connection(raw: bytes) -> None:
    with pytest.raises(Broken):
        RestDialogue(REQUEST).feed(raw)


def test_giving_up_takes_closing() -> None:
    assert not RestDialogue(REQUEST).cancel(0)
