"""Where a connection's heads come from: the cache, or the parser, whole or in pieces."""

from __future__ import annotations

import logging

from gateway.core.clock import Clock
from gateway.wire.exchange import Service
from gateway.wire.http1.head import HeadCache, HeadLimits, HeadParser, Refused, RequestHead
from gateway.wire.settings import WireSettings

LOG = logging.getLogger(__name__)


class HeadReader:
    """Reads the heads of one connection; `is_partial` while one has begun and its end has not come."""

    __slots__ = ("_cache", "_clock", "_limits", "_parser", "_scheme", "_service", "began", "is_partial")

    def __init__(
        self, service: Service, settings: WireSettings, cache: HeadCache, scheme: bytes, clock: Clock
    ) -> None:
        self._service = service
        self._limits = HeadLimits(settings.max_header_bytes, settings.max_headers)
        self._cache = cache
        self._scheme = scheme
        self._clock = clock
        self._parser: HeadParser | None = None
        self.is_partial = False
        self.began = 0.0  # when the partial head did

    def take_partial(self, data: bytes, at: int) -> int:
        """Checks the beginning of a head as far as it goes; returns where it starts. Raises Refused.

        Must be called with the same bytes again, and more behind them.
        """
        parser = self._parser
        if parser is None:
            at = _skip_empty_lines(data, at)
            if at == len(data) or data[at:] == b"\r":
                return at
            self._parser = parser = HeadParser(self._limits)
            self.began = self._clock()
            self.is_partial = True
        parser.feed(data[at + parser.fed :])
        return at

    def take(self, data: bytes, at: int, end: int) -> tuple[RequestHead | None, int]:
        """Parses the head that ends at `end`; without one, returns where to look again. Raises Refused."""
        parser = self._parser
        self.abandon()
        if parser is None:
            start = _skip_empty_lines(data, at)
            if start != at:
                return None, start
            parser = HeadParser(self._limits)
        parser.feed(data[at + parser.fed : end])
        raw = data[at:end]
        try:
            request = parser.finish(raw, self._scheme, self._service.route)
        except Refused:
            raise
        except Exception:
            LOG.exception("the service failed to route a request")
            raise Refused(500, "internal error", "internal") from None
        self._cache.add(raw, request)
        return request, at

    def abandon(self) -> None:
        """Forgets a partial head."""
        self._parser = None
        self.is_partial = False


def _skip_empty_lines(data: bytes, at: int) -> int:
    """RFC 9112 section 2.2: empty lines before a request line are ignored."""
    while data.startswith(b"\r\n", at):
        at += 2
    return at
