"""The states of a connection's incoming stream."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """What the next byte of the stream belongs to."""

    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()  # to a later request: this one is complete and not yet answered
    LINGER = enum.auto()  # to nothing: it is read so that the client gets to read our last answer
    CLOSED = enum.auto()
