"""A request's head: llhttp splits it, this module decides what it means, or why it is refused.

DESIGN: only heads go through llhttp; bodies are counted off by `body.py`. So a parser never sees where
one message ends and the next begins, pipelined requests can wait unparsed, a large body costs no
callback per piece, and the meaning of a head is a pure function of its bytes: equal bytes, equal
request, hence the cache. Whatever two parties on a path could read in two ways is refused, not repaired
(RFC 9112 sections 3.2, 5.1, 5.2, 6.1, 6.3).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import httptools

from gateway.wire.exchange import Endpoint, Head

CHUNKED = -1

TAIL_KEEP = b"\r\n\r\n"
TAIL_CLOSE = b"\r\nconnection: close\r\n\r\n"
TAIL_KEEP_10 = b"\r\nconnection: keep-alive\r\n\r\n"

_REQUEST_LINE = re.compile(rb"[A-Z-]+ [\x21-\x7e]+ HTTP/1\.[01]\r\n")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
# reg-name, IPv4 or [IPv6] with a port; nothing that could end an authority early or hide a second one.
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
# Enough for 2**63 - 1; longer ones are lies.
_LENGTH = re.compile(rb"[0-9]{1,18}")
_WATCHED = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"))


class Refused(Exception):
    """A request that gets `status` and a closed connection; `kind` is a bounded label for counters."""

    def __init__(self, status: int, text: str, kind: str = "malformed") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.kind = kind


@dataclass(frozen=True)
class RequestHead:
    """What a head says; shared by all requests whose heads were the same bytes.

    `body_bytes` is the declared size, 0 without a body, CHUNKED where only the chunks tell. `tail` ends
    the head of an answer on a connection that goes on as the client wishes; `keeps` says whether it does.
    """

    head: Head
    endpoint: Endpoint
    body_bytes: int
    expects_continue: bool
    keeps: bool
    tail: bytes
    is_http10: bool
    is_head: bool


class HeadLimits(NamedTuple):
    """`max_bytes` counts the request line too."""

    max_bytes: int
    max_fields: int


class _Parser(Protocol):
    def feed_data(self, data: bytes) -> None: ...
    def get_method(self) -> bytes: ...


class _Fields:
    """What llhttp found; its callbacks."""

    __slots__ = ("complete", "fields", "max_fields", "target", "too_many")

    def __init__(self, max_fields: int) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.too_many = False
        self.max_fields = max_fields

    def on_url(self, piece: bytes) -> None:
        self.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.fields) >= self.max_fields:
            self.too_many = True
            raise OverflowError
        self.fields.append((name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        self.complete = True


class HeadParser:
    """Parses one head that may come in pieces, so that garbage is refused before its end is seen.

    `fed` is how many bytes it has seen.
    """

    __slots__ = ("_fields", "_max_bytes", "_parser", "fed")

    def __init__(self, limits: HeadLimits) -> None:
        self._fields = _Fields(limits.max_fields)
        self._max_bytes = limits.max_bytes
        self._parser: _Parser = httptools.HttpRequestParser(self._fields)
        self.fed = 0

    def feed(self, piece: bytes) -> None:
        """Must never be given bytes behind the head; raises Refused."""
        self.fed += len(piece)
        if self.fed > self._max_bytes:
            raise Refused(431, "the request's head is too large", "header_limit")
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            return  # we speak nothing to upgrade to: h2c and CONNECT are requests like any other
        except httptools.HttpParserError as error:
            raise self._refusal(str(error)) from None

    def finish(self, raw: bytes, scheme: bytes, route: Callable[[Head], Endpoint]) -> RequestHead:
        """The meaning of the head `raw`, all of it fed; raises Refused, and what `route` raises."""
        line = _REQUEST_LINE.match(raw)
        if line is None or not self._fields.complete:
            raise Refused(400, "malformed request line")
        is_http10 = raw[line.end() - 3] == 0x30  # the last digit of the version
        head, watched = _head(self._parser.get_method(), self._fields, is_http10=is_http10, scheme=scheme)
        body_bytes = _body_bytes(watched, is_http10=is_http10)
        keeps = _keeps(watched.get(b"connection", ()), is_http10=is_http10)
        expects_continue = _expects_continue(watched.get(b"expect", ()), is_http10=is_http10)
        head.endpoint = endpoint = route(head)
        return RequestHead(
            head=head,
            endpoint=endpoint,
            body_bytes=body_bytes,
            expects_continue=expects_continue,
            keeps=keeps,
            tail=(TAIL_KEEP_10 if is_http10 else TAIL_KEEP) if keeps else TAIL_CLOSE,
            is_http10=is_http10,
            is_head=head.method == b"HEAD",
        )

    def _refusal(self, reason: str) -> Refused:
        if self._fields.too_many:
            return Refused(431, "too many header fields", "header_limit")
        return Refused(400, f"malformed request: {reason.lower()}")


def _head(
    method: bytes, found: _Fields, *, is_http10: bool, scheme: bytes
) -> tuple[Head, dict[bytes, list[bytes]]]:
    """The head for endpoints, and the values of the fields that are this package's own business."""
    watched: dict[bytes, list[bytes]] = {}
    for name, value in found.fields:
        if name in _WATCHED:
            watched.setdefault(name, []).append(value)
    target, authority = _target(method, found.target, _host(watched, is_http10=is_http10))
    version = "1.0" if is_http10 else "1.1"
    head = Head(method, target, tuple(found.fields), http_version=version, scheme=scheme, authority=authority)
    return head, watched


def _host(watched: dict[bytes, list[bytes]], *, is_http10: bool) -> bytes:
    hosts = watched.get(b"host", [])
    if len(hosts) > 1 or (not hosts and not is_http10):
        raise Refused(400, "a request needs exactly one host field")
    host = hosts[0] if hosts else b""
    if not _AUTHORITY.fullmatch(host):
        raise Refused(400, "malformed host field")
    return host


def _target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Path with query, and authority; a target in absolute form overrules the host field."""
    if target.startswith(b"/"):
        return target.partition(b"#")[0], host
    if method == b"CONNECT":
        raise Refused(405, "CONNECT is not served here")
    if target == b"*" and method == b"OPTIONS":
        return target, host
    absolute = _ABSOLUTE.match(target)
    if absolute is None or not absolute[1] or not _AUTHORITY.fullmatch(absolute[1]):
        raise Refused(400, "malformed request target")
    path = absolute[2]
    return (path if path.startswith(b"/") else b"/" + path), absolute[1]


def _body_bytes(watched: dict[bytes, list[bytes]], *, is_http10: bool) -> int:
    lengths = watched.get(b"content-length")
    codings = watched.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None or is_http10:
            raise Refused(400, "transfer-encoding is not possible here")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise Refused(501, "the only transfer-encoding served is chunked")
        return CHUNKED
    if lengths is None:
        return 0
    if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
        raise Refused(400, "malformed content-length")
    return int(lengths[0])


def _keeps(values: list[bytes] | tuple[()], *, is_http10: bool) -> bool:
    options = {option.strip().lower() for value in values for option in value.split(b",")}
    return b"close" not in options and (not is_http10 or b"keep-alive" in options)


def _expects_continue(values: list[bytes] | tuple[()], *, is_http10: bool) -> bool:
    if not values or is_http10:  # RFC 9110 section 10.1.1: ignored in an HTTP/1.0 request
        return False
    if any(value.lower() != b"100-continue" for value in values):
        raise Refused(417, "the only expectation served is 100-continue")
    return True


class HeadCache:
    """Heads that parsed cleanly, by their very bytes, so that a repeated one skips the parser.

    Bounded: 1,024 heads of at most 2 KiB are 2 MiB of keys; when full it starts anew, which costs a
    thousand parses and needs no bookkeeping on a hit. A client that changes its head on every request
    gains and loses nothing. One cache serves one listener: its service, its scheme.
    """

    __slots__ = ("_by_bytes", "_capacity", "get")

    MAX_HEAD_BYTES: ClassVar[int] = 2048

    def __init__(self, capacity: int = 1024) -> None:
        self._by_bytes: dict[bytes, RequestHead] = {}
        self._capacity = capacity
        # The dict's own method: a hit costs one call, not two.
        self.get = self._by_bytes.get

    def __len__(self) -> int:
        return len(self._by_bytes)

    def add(self, raw: bytes, head: RequestHead) -> None:
        """Remembers what `raw` means, unless it is too long to be worth it."""
        if len(raw) > self.MAX_HEAD_BYTES or not self._capacity:
            return
        if len(self._by_bytes) >= self._capacity:
            self._by_bytes.clear()
        self._by_bytes[raw] = head
