"""Metadata that changes on every request, so that no cache of header blocks can help a server.

As tracing and authenticating clients send them: a W3C traceparent (55 characters), a grpc-timeout in
microseconds counting down, and a bearer token of the length of a small JWT (or those of the user's
file in turn).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator

EncodeField = Callable[[bytes, bytes], bytes]

_MASK = (1 << 128) - 1
_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645  # a full-period 128-bit congruential generator
_INCREMENT = 0x5851F42D4C957F2D14057B7EF767814F
# The signature, 32 hexadecimal digits of it, changes; head and claims of a caller's token do not.
_TOKEN_HEAD = (
    b"eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9." + b"eyJzdWIiOiJnYXRld2F5LWJlbmNoIiwiYXVkIjoibW9kZWxzIn0" * 2
)


class Unique:
    """Makes the changing header fields of one connection, encoded; `next` costs 1.5 us."""

    __slots__ = ("_countdown", "_state", "_template", "_tokens")

    def __init__(
        self, encode: EncodeField, *, timeout_us: int | None, tokens: tuple[str, ...], seed: int
    ) -> None:
        # The fields are made once with stand-ins of the right length, and those turned into formats.
        fields = [_template(encode, b"traceparent", b"00-%032x-%016x-01", b"00-" + b"#" * 49 + b"-01")]
        if timeout_us is not None:
            fields.append(_template(encode, b"grpc-timeout", b"%08du", b"########u"))
        if not tokens:
            bearer = b"Bearer " + _TOKEN_HEAD + b"."
            fields.append(_template(encode, b"authorization", bearer + b"%032x", bearer + b"#" * 32))
        self._template = b"".join(fields)
        self._countdown = _countdown(timeout_us)
        bearers = [encode(b"authorization", b"Bearer " + token.encode()) for token in tokens]
        self._tokens: Iterator[bytes] | None = itertools.cycle(bearers) if bearers else None
        self._state = random.Random(seed).getrandbits(128)

    def next(self) -> bytes:
        """The encoded fields of the next request; never the same twice."""
        state = self._state = (self._state * _MULTIPLIER + _INCREMENT) & _MASK
        values: tuple[int, ...] = (state, state >> 64)
        if self._countdown is not None:
            values += (next(self._countdown),)
        if self._tokens is None:
            return self._template % (*values, state ^ _MASK)
        return self._template % values + next(self._tokens)


def _template(encode: EncodeField, name: bytes, value_format: bytes, stand_in: bytes) -> bytes:
    before, _, after = encode(name, stand_in).rpartition(stand_in)
    return before.replace(b"%", b"%%") + value_format + after.replace(b"%", b"%%")


def _countdown(timeout_us: int | None) -> Iterator[int] | None:
    """From the timeout down to 90 % of it, then again; eight digits are all that gRPC takes."""
    if timeout_us is None:
        return None
    most = min(timeout_us, 99_999_999)
    return itertools.cycle(range(most, most - max(1, most // 10), -1))
