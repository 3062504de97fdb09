"""The states of a connection's incoming stream."""

from __future__ import annotations

import enum
from typing import Final


class Phase(enum.Enum):
    """What the next byte of the stream belongs to."""

    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()  # to a later request: this one is complete and not yet answered
    LINGER = enum.auto()  # to nothing: it is read so that the client gets to read our last answer
    CLOSED = enum.auto()


# Each by a name of its own: a member of an Enum is looked up by Python code, 0.06 us each time.
HEAD: Final = Phase.HEAD
BODY: Final = Phase.BODY
ANSWER: Final = Phase.ANSWER
LINGER: Final = Phase.LINGER
CLOSED: Final = Phase.CLOSED
