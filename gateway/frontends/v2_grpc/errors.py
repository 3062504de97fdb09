"""Reasons to gRPC statuses: the one table, and the answer that carries one.

Never derived from the HTTP table: the published mapping between the two is for clients that got no
grpc-status, and would make an unloadable model look worth retrying.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import lru_cache
from math import ceil
from types import MappingProxyType
from typing import Final

from gateway.core.errors import GatewayError, Reason
from gateway.wire.exchange import Exchange, Headers


class Status(enum.IntEnum):
    """gRPC's own status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


STATUS: Final[Mapping[Reason, Status]] = MappingProxyType({
    Reason.INVALID_INPUT: Status.INVALID_ARGUMENT,
    Reason.NOT_FOUND: Status.NOT_FOUND,
    Reason.UNAUTHENTICATED: Status.UNAUTHENTICATED,
    Reason.FORBIDDEN: Status.PERMISSION_DENIED,
    Reason.TOO_LARGE: Status.RESOURCE_EXHAUSTED,
    Reason.REQUEST_TIMEOUT: Status.CANCELLED,
    Reason.UNSUPPORTED: Status.UNIMPLEMENTED,
    Reason.QUOTA_EXCEEDED: Status.RESOURCE_EXHAUSTED,
    Reason.OVERLOADED: Status.UNAVAILABLE,
    Reason.QUEUE_TIMEOUT: Status.UNAVAILABLE,
    Reason.MODEL_LOADING: Status.UNAVAILABLE,
    # Not UNAVAILABLE: a client must not retry on its own what only an operator can mend.
    Reason.MODEL_UNAVAILABLE: Status.FAILED_PRECONDITION,
    Reason.INSTANCE_DIED: Status.UNAVAILABLE,
    Reason.MODEL_FAILED: Status.INTERNAL,
    Reason.DEADLINE_EXCEEDED: Status.DEADLINE_EXCEEDED,
    Reason.CANCELLED: Status.CANCELLED,
    Reason.CONFLICT: Status.ABORTED,
    Reason.PLUGIN_FAILED: Status.UNAVAILABLE,
    Reason.INTERNAL: Status.INTERNAL,
})

HEADERS: Final[Headers] = ((b"content-type", b"application/grpc"),)
OK: Final[Headers] = ((b"grpc-status", b"0"),)

# Only these may be told when to come again: pushback makes a client's library retry by itself.
_RETRIED = frozenset({
    Reason.QUOTA_EXCEEDED,
    Reason.OVERLOADED,
    Reason.QUEUE_TIMEOUT,
    Reason.MODEL_LOADING,
    Reason.INSTANCE_DIED,
    Reason.PLUGIN_FAILED,
})
# Trailers count against the 8 KiB that clients take of headers, and one character may become nine.
_MAX_TEXT = 800
_MAX_RETRY_S = 86_400.0
# Printable ASCII but "%", as the gRPC protocol says of Status-Message.
_PLAIN = frozenset(range(0x20, 0x7F)) - {0x25}


def answer_error(exchange: Exchange, error: GatewayError, extra: Headers = ()) -> None:
    """Ends `exchange` with the status of `error` and no message."""
    exchange.respond(200, HEADERS + extra, b"", error_trailers(error))


def error_trailers(error: GatewayError) -> Headers:
    """Status, text and, where waiting helps, the time to wait."""
    trailers = status_trailers(STATUS[error.reason], error.text)
    if error.retry_after_s is not None and error.reason in _RETRIED:
        pushback_ms = ceil(min(max(error.retry_after_s, 0.0), _MAX_RETRY_S) * 1000)
        trailers += ((b"grpc-retry-pushback-ms", b"%d" % pushback_ms),)
    return trailers


def status_trailers(status: Status, text: str) -> Headers:
    """The two trailers of a status that is not OK."""
    return ((b"grpc-status", b"%d" % status), (b"grpc-message", percent_encode(text[:_MAX_TEXT])))


@lru_cache(256)
def percent_encode(text: str) -> bytes:
    """`text` as grpc-message carries it."""
    return b"".join([
        b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in text.encode("utf-8", "replace")
    ])
