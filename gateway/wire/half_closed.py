"""A client that has closed its sending half, and one that was killed: both look the same until asked."""

from __future__ import annotations

import socket
from typing import Any, Protocol

_TCP_CLOSE = 7  # linux/tcp_states.h


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
