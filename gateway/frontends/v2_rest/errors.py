"""Reasons to HTTP statuses: the one table, and the answer that carries one."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from types import MappingProxyType
from typing import Final

import orjson

from gateway.core.errors import GatewayError, Reason
from gateway.wire.exchange import Exchange, Headers

STATUS: Final[Mapping[Reason, int]] = MappingProxyType({
    Reason.INVALID_INPUT: 400,
    Reason.NOT_FOUND: 404,
    Reason.UNAUTHENTICATED: 401,
    Reason.FORBIDDEN: 403,
    Reason.TOO_LARGE: 413,
    Reason.REQUEST_TIMEOUT: 408,
    Reason.UNSUPPORTED: 501,
    Reason.QUOTA_EXCEEDED: 429,
    Reason.OVERLOADED: 503,
    Reason.QUEUE_TIMEOUT: 503,
    Reason.MODEL_LOADING: 503,
    Reason.MODEL_UNAVAILABLE: 503,
    Reason.INSTANCE_DIED: 503,
    Reason.MODEL_FAILED: 500,
    Reason.DEADLINE_EXCEEDED: 504,
    # Nobody is there to read it; the figure is what access logs know.
    Reason.CANCELLED: 499,
    Reason.CONFLICT: 409,
    Reason.PLUGIN_FAILED: 503,
    Reason.INTERNAL: 500,
})

JSON: Final[tuple[bytes, bytes]] = (b"content-type", b"application/json")

# What a client must know beyond the status.
_EXTRA: Mapping[Reason, Headers] = MappingProxyType({
    Reason.UNAUTHENTICATED: ((b"www-authenticate", b"Bearer"),),
    Reason.OVERLOADED: ((b"x-gw-overloaded", b"1"),),
    Reason.QUEUE_TIMEOUT: ((b"x-gw-overloaded", b"1"),),
    Reason.MODEL_LOADING: ((b"x-gw-model-state", b"LOADING"),),
})
_DEFAULT_RETRY_S = 1.0
_MAX_RETRY_S = 86_400.0
# A text may quote what the caller sent, and that may be megabytes.
_MAX_TEXT = 1000


def answer_error(exchange: Exchange, error: GatewayError, extra: Headers = ()) -> None:
    """Answers `exchange` with `error` as V2 wants it: `error` in words, `code` for programs."""
    reason = error.reason
    status = STATUS[reason]
    headers: Headers = (JSON, *_EXTRA.get(reason, ()), *extra)
    if status in {429, 503}:
        wait_s = _DEFAULT_RETRY_S if error.retry_after_s is None else error.retry_after_s
        seconds = ceil(min(max(wait_s, 0.0), _MAX_RETRY_S))
        headers += ((b"retry-after", b"%d" % seconds),)
    exchange.respond(status, headers, error_body(error.text, reason.value))


def error_body(text: str, code: str | None = None) -> bytes:
    """The JSON of an error; `text` may quote anything, half surrogate pairs too."""
    shown = text[:_MAX_TEXT].encode("utf-8", "replace").decode()
    return orjson.dumps({"error": shown} if code is None else {"error": shown, "code": code})
