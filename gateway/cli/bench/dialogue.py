"""What a connection needs of a protocol: bytes in, answers out; no sockets, no clock.

DESIGN: at 50,000 requests a second a request may cost 20 us, of which the two system calls take 8.
So the protocols are spoken by hand on whole chunks, requests are joined from bytes made in advance,
and the rest is one method call each way.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gateway.core.tensor import Buffer

# An answer's `kind` when the server said that it did not begin the request (GOAWAY): send it again.
UNPROCESSED = "unprocessed"


class Answer(NamedTuple):
    """The end of the request `tag`: `kind` is "" for success, else the error it is counted as."""

    tag: int
    kind: str = ""
    detail: str = ""
    body: Buffer = b""


class Dialogue(Protocol):
    """One connection's protocol state.

    `output` holds bytes to be sent, in order; whoever sends them removes them. `ready` is true when
    requests may be made; `closing` when the server wants no more on this connection. `expected` is
    how many more bytes are known to come, a hint for the size of the next read; `limit` how many requests
    the server takes at once.
    """

    output: list[Buffer]
    ready: bool
    closing: bool
    expected: int
    limit: int

    def open(self) -> None:
        """Must be called once when connected: puts what comes before requests into `output`."""

    def request(self) -> int:
        """Puts a request into `output`, returns its tag; only while `ready` and not `closing`."""

    def feed(self, data: Buffer) -> list[Answer]:
        """Takes received bytes; returns the requests that ended by them; raises Broken on nonsense."""

    def end(self) -> list[Answer]:
        """The server closed its side: returns the requests that are complete by that."""

    def cancel(self, tag: int) -> bool:
        """Gives a request up; False where that takes closing the connection."""


class Broken(Exception):
    """The server broke the protocol; `str` says how."""
