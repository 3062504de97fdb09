"""The client's half of HTTP/1.1 for inference: one request at a time, keep-alive, no copies of bodies.

The head of an answer is looked up, not parsed, when the same bytes came before (servers change at
most the date in it, once a second). Chunked and until-close bodies go through llhttp.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import httptools
import msgspec

from gateway.cli.bench.dialogue import Answer, Broken
from gateway.cli.bench.unique import Unique
from gateway.core.tensor import Buffer

_MAX_HEAD = 64 << 10
_CACHED_HEADS = 512
_DETAIL_BYTES = 2048
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*(?:\r\n|$)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[^\r]*\bclose\b", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_SUCCESS = Answer(0)


class RestRequest(msgspec.Struct, frozen=True, tag=True):
    """A request's bytes: `head` without the empty line, so that changing fields can follow it."""

    head: bytes
    body: bytes


class _Head(NamedTuple):
    kind: str
    length: int  # -1: not told by a content-length
    closes: bool


class RestDialogue:
    """HTTP/1.1 on one connection."""

    __slots__ = (
        "_body", "_buffer", "_current", "_heads", "_keeps", "_left", "_parser", "_request", "_unique",
        "closing", "expected", "limit", "output", "ready",
    )  # fmt: skip

    def __init__(
        self, request: RestRequest, *, unique: Unique | None = None, keep_bodies: bool = False
    ) -> None:
        self.output: list[Buffer] = []
        self.ready = True
        self.closing = False
        self.expected = 0
        self.limit = 1
        self._request = request
        self._unique = unique
        self._keeps = keep_bodies
        self._heads: dict[bytes, _Head] = {}
        self._buffer = b""
        self._left = -1  # bytes of the body still to come; -1 between answers
        self._current: _Head | None = None
        self._body: list[Buffer] = []
        self._parser: _Unsized | None = None

    def open(self) -> None:
        """Nothing is said before the first request."""

    def request(self) -> int:
        """Puts the request into `output`; the tag is always 0, as there is one at a time."""
        head, body = self._request.head, self._request.body
        head = head + b"\r\n" if self._unique is None else head + self._unique.next() + b"\r\n"
        if len(body) <= 65_536:
            self.output.append(head + body)
        else:
            self.output += (head, body)
        return 0

    def feed(self, data: Buffer) -> list[Answer]:
        """Takes received bytes; returns the answer when it is complete."""
        if self._parser is not None:
            return self._feed_unsized(data)
        if self._left >= 0:
            return self._feed_body(data)
        whole = self._buffer + data if self._buffer else bytes(data)
        end = whole.find(b"\r\n\r\n")
        if end < 0:
            if len(whole) > _MAX_HEAD:
                raise Broken("a response head of more than 64 KiB")
            self._buffer = whole
            return []
        self._buffer = b""
        head = self._heads.get(whole[:end]) or self._learn(whole[:end])
        if head.length == len(whole) - end - 4 and not head.kind and not self._keeps:
            self.closing = head.closes
            return [_SUCCESS]
        return self._begin(head, whole, end + 4)

    def end(self) -> list[Answer]:
        """A body without a length ends here; any other is cut off."""
        if self._parser is not None and self._parser.ends_with_connection:
            return [self._finish()]
        return []

    def cancel(self, tag: int) -> bool:
        """HTTP/1.1 has no way to give a request up but to close."""
        return False

    def _begin(self, head: _Head, whole: bytes, at: int) -> list[Answer]:
        if head.kind.startswith("http 1"):  # 100 Continue, 103 Early Hints: the answer follows
            return self.feed(whole[at:]) if len(whole) > at else []
        self._current = head
        if head.length < 0:
            self._parser = _Unsized(keeps=self._keeps or bool(head.kind))
            return self._feed_unsized(whole)
        self._left = head.length
        return self._feed_body(whole[at:])

    def _feed_body(self, data: Buffer) -> list[Answer]:
        left = self._left - len(data)
        if left < 0:
            raise Broken("bytes after the end of the response")
        if self._keeps or (self._current is not None and self._current.kind):
            self._body.append(bytes(data))
        self._left = self.expected = left
        return [] if left else [self._finish()]

    def _feed_unsized(self, data: Buffer) -> list[Answer]:
        parser = self._parser
        assert parser is not None
        parser.feed(data)
        return [self._finish()] if parser.is_complete else []

    def _finish(self) -> Answer:
        head = self._current
        assert head is not None
        body = b"".join(self._body) if self._parser is None else bytes(self._parser.body)
        self.closing = head.closes or (self._parser is not None and self._parser.ends_with_connection)
        self._left, self.expected, self._current, self._parser, self._body = -1, 0, None, None, []
        detail = body[:_DETAIL_BYTES].decode("utf-8", "replace") if head.kind else ""
        return Answer(0, head.kind, detail, body)

    def _learn(self, raw: bytes) -> _Head:
        status = raw[9:12]
        if not raw.startswith(b"HTTP/1.") or not status.isdigit():
            raise Broken(f"not an HTTP/1.1 response: {raw[:40]!r}")
        length = _LENGTH.search(raw)
        if status in {b"204", b"304"} or status[:1] == b"1":
            size = 0
        elif length is None or _CHUNKED.search(raw):
            size = -1
        else:
            size = int(length[1])
        closes = raw.startswith(b"HTTP/1.0") or _CLOSE.search(raw) is not None
        kind = "" if status == b"200" else f"http {status.decode()}"
        if len(self._heads) >= _CACHED_HEADS:
            self._heads.clear()
        head = self._heads[raw] = _Head(kind, size, closes)
        return head


class _Unsized:
    """One answer whose end only a parser can find."""

    def __init__(self, *, keeps: bool) -> None:
        self.body = bytearray()
        self.is_complete = False
        self.ends_with_connection = False
        self._is_chunked = False
        self._keeps = keeps
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: Buffer) -> None:
        if self.is_complete:
            raise Broken("bytes after the end of the response")
        try:
            self._parser.feed_data(bytes(data))
        except httptools.HttpParserError as error:
            raise Broken(f"not an HTTP/1.1 response: {error}") from error

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"transfer-encoding" and b"chunked" in value.lower():
            self._is_chunked = True

    def on_headers_complete(self) -> None:
        self.ends_with_connection = not self._is_chunked

    def on_body(self, data: bytes) -> None:
        if self._keeps:
            self.body += data

    def on_message_complete(self) -> None:
        self.is_complete = True
