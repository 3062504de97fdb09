"""Messages within HTTP/2 bodies: five bytes of prefix (a compression flag, a length), then the message."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType

from gateway.core.errors import InvalidInput, TooLarge
from gateway.core.tensor import Buffer
from gateway.frontends.codings import inflate

PREFIX_BYTES = 5
PREFIX = struct.Struct(">BI")

_UNITS: Mapping[bytes, float] = MappingProxyType({
    b"H": 3600.0,
    b"M": 60.0,
    b"S": 1.0,
    b"m": 1e-3,
    b"u": 1e-6,
    b"n": 1e-9,
})


def frame(message: bytes) -> bytes:
    """`message` with its prefix, not compressed."""
    return PREFIX.pack(0, len(message)) + message


def unwrap(body: Buffer, coding: str, max_bytes: int, max_ratio: int) -> tuple[Buffer, int]:
    """The one message of a unary call: a buffer and where in it the message begins, up to the end.

    `coding`: what grpc-encoding said. Raises InvalidInput or TooLarge. Nothing is copied unless it
    is compressed.
    """
    if len(body) < PREFIX_BYTES:
        raise InvalidInput("the body holds no gRPC message")
    flag, size = PREFIX.unpack_from(body)
    if size != len(body) - PREFIX_BYTES:
        raise InvalidInput(
            f"a unary call takes exactly one message; the first is said to have {size} bytes, "
            f"{len(body) - PREFIX_BYTES} came"
        )
    if flag == 0:
        return body, PREFIX_BYTES
    return expand(flag, memoryview(body)[PREFIX_BYTES:], coding, max_bytes, max_ratio), 0


def expand(flag: int, payload: Buffer, coding: str, max_bytes: int, max_ratio: int) -> bytes:
    """A message sent with compression flag `flag`; raises InvalidInput or TooLarge."""
    if flag == 0:
        return bytes(payload)
    if flag != 1 or not coding:
        raise InvalidInput("a message is flagged as compressed, but grpc-encoding does not say how")
    return inflate(payload, coding, max_bytes, max_ratio)


def message_size(first: Buffer) -> int | None:
    """How long the body of a unary call will be, told from its first bytes."""
    return PREFIX_BYTES + int(PREFIX.unpack_from(first)[1]) if len(first) >= PREFIX_BYTES else None


class FrameReader:
    """Cuts a stream of bytes into messages, none larger than `max_bytes`."""

    __slots__ = ("_coding", "_max_bytes", "_max_ratio", "_pending")

    def __init__(self, coding: str, max_bytes: int, max_ratio: int) -> None:
        self._coding = coding
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Takes `data`; the messages that are whole now, cut off as they are asked for.

        Asking raises InvalidInput or TooLarge; what is not asked for is there the next time.
        """
        self._pending += data
        return self._cut()

    def _cut(self) -> Iterator[bytes]:
        while len(self._pending) >= PREFIX_BYTES:
            flag, size = PREFIX.unpack_from(self._pending)
            if size > self._max_bytes:
                raise TooLarge(f"a message on this stream may have {self._max_bytes} bytes, not {size}")
            end = PREFIX_BYTES + size
            if len(self._pending) < end:
                return
            payload = bytes(self._pending[PREFIX_BYTES:end])
            del self._pending[:end]
            yield expand(flag, payload, self._coding, self._max_bytes, self._max_ratio)

    @property
    def is_empty(self) -> bool:
        """True between messages: where a stream may end."""
        return not self._pending


@lru_cache(4096)
def parse_timeout(value: bytes) -> float:
    """Seconds of a grpc-timeout header: at most eight digits and a unit; raises InvalidInput."""
    digits, unit = value[:-1], _UNITS.get(value[-1:])
    if unit is None or not digits.isdigit() or len(digits) > 8:
        raise InvalidInput("grpc-timeout must be at most eight digits and one of H M S m u n")
    return int(digits) * unit
