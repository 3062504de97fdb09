"""The chunked transfer coding, decoded strictly (RFC 9112 section 7.1): no bare LF, no stray blanks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from gateway.wire.http1.head import Refused

# Eight digits are 4 GiB in one chunk; extensions are skipped, but must be what the grammar allows, since
# whoever reads them otherwise could see another line end.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_EXTENSION = rb';%b(?:=(?:%b|"[\t\x20\x21\x23-\x5b\x5d-\x7e]*"))?' % (_TOKEN, _TOKEN)
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:%b)*\r\n" % _EXTENSION)
_MAX_SIZE_LINE = 1024
_TRAILER = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*\r\n" % _TOKEN)
# A size line or a trailer that is not whole yet may be cut anywhere; these can still become one.
_SIZE_START = re.compile(rb"[0-9A-Fa-f]{0,8}|[0-9A-Fa-f]{1,8}(;[\t\x20-\x7e\x80-\xff]*)?\r?")
_TRAILER_START = re.compile(rb"\r?|%b|%b:[\t\x20-\x7e\x80-\xff]*\r?" % (_TOKEN, _TOKEN))

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkLimits(NamedTuple):
    """Most bytes of data, chunks, bytes of trailers and trailer fields in one body."""

    max_bytes: int
    max_chunks: int
    max_trailer_bytes: int
    max_trailers: int


class ChunkDecoder:
    """Takes a chunked body apart; `sink` gets its data in order. Trailers are checked and dropped."""

    __slots__ = (
        "_chunks",
        "_left",
        "_limits",
        "_line",
        "_sink",
        "_state",
        "_trailer_bytes",
        "_trailers",
        "total",
    )

    def __init__(self, sink: Callable[[bytes], None], limits: ChunkLimits) -> None:
        self._sink = sink
        self._limits = limits
        self._state = _SIZE
        self._left = 0  # bytes of the chunk in hand
        self._line = b""  # a line (or the end of a chunk) whose rest has not come yet
        self._chunks = 0
        self._trailers = 0
        self._trailer_bytes = 0
        self.total = 0  # bytes of data announced by the chunks so far

    @property
    def is_complete(self) -> bool:
        """True once the last chunk and the trailers have been read."""
        return self._state == _DONE

    def feed(self, data: bytes, at: int = 0) -> int:
        """Decodes `data` from `at`; returns where it stopped: its end, or behind the body. Raises Refused."""
        if self._line:
            data, at, start = self._line + data[at:], 0, at - len(self._line)
            self._line = b""
            return self._run(data, 0) + start
        return self._run(data, at)

    def _run(self, data: bytes, at: int) -> int:
        end = len(data)
        while at < end and self._state != _DONE:
            if self._state == _DATA:
                at = self._take_data(data, at)
            elif self._state == _SIZE:
                at = self._take_size(data, at)
            elif self._state == _DATA_END:
                at = self._take_data_end(data, at)
            else:
                at = self._take_trailer(data, at)
        return at

    def _take_size(self, data: bytes, at: int) -> int:
        line = _SIZE_LINE.match(data, at, at + _MAX_SIZE_LINE)
        if line is None:
            return self._keep(data, at, _SIZE_START, _MAX_SIZE_LINE)
        self._left = size = int(line[1], 16)
        if size == 0:
            self._state = _TRAILERS
            return line.end()
        self._chunks += 1
        self.total += size
        if self._chunks > self._limits.max_chunks:
            raise Refused(413, f"a body has at most {self._limits.max_chunks} chunks", "too_many_chunks")
        if self.total > self._limits.max_bytes:
            raise Refused(413, f"a body has at most {self._limits.max_bytes} bytes", "too_large")
        self._state = _DATA
        return line.end()

    def _take_data(self, data: bytes, at: int) -> int:
        piece = data[at : at + self._left]
        self._left -= len(piece)
        if not self._left:
            self._state = _DATA_END
        self._sink(piece)
        return at + len(piece)

    def _take_data_end(self, data: bytes, at: int) -> int:
        found = data[at : at + 2]
        if found == b"\r\n":
            self._state = _SIZE
            return at + 2
        if found != b"\r":
            raise Refused(400, "a chunk is longer than its size")
        self._line = found
        return at + 1

    def _take_trailer(self, data: bytes, at: int) -> int:
        if data.startswith(b"\r\n", at):
            self._state = _DONE
            return at + 2
        room = self._limits.max_trailer_bytes - self._trailer_bytes
        line = _TRAILER.match(data, at, at + room)
        if line is None:
            return self._keep(data, at, _TRAILER_START, room)
        self._trailers += 1
        self._trailer_bytes += line.end() - at
        if self._trailers > self._limits.max_trailers:
            raise Refused(431, "too many trailer fields", "header_limit")
        return line.end()

    def _keep(self, data: bytes, at: int, start: re.Pattern[bytes], room: int) -> int:
        """Keeps the beginning of a line until the rest comes; refuses what cannot become one."""
        if not start.fullmatch(data, at, at + room):
            raise Refused(400, "malformed chunked body")
        if len(data) - at >= room:
            raise Refused(431, "a line of a chunked body is too long", "header_limit")
        self._line = data[at:]
        return len(data)
