"""Halves that end before the other: the client's, which may be that of one killed, and ours."""

from __future__ import annotations

import socket
from typing import Any, Protocol

_TCP_CLOSE = 7  # linux/tcp_states.h
# How long we read on after our last byte, until the client closes. What it had under way (a window
# update is enough) would make our close a reset, and a reset discards what is not yet sent to it.
LINGER_S = 5.0


class HasSocket(Protocol):
    """What is needed of a transport."""

    def get_extra_info(self, name: str) -> Any: ...


def is_gone(transport: HasSocket) -> bool:
    """True once the kernel of the client has answered what was sent after its end-of-stream by a reset."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return False
    state: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return state[0] == _TCP_CLOSE
