"""Takes connections off a listening socket, and stops taking them when there is no room."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable

LOG = logging.getLogger(__name__)

# Connections taken in one go before the loop does something else.
_BATCH = 64
_NO_ROOM = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
# The client went away between its SYN and our accept; says nothing about the next one.
_PASSING = frozenset((errno.ECONNABORTED, errno.EPROTO, errno.EPERM))


def listening_socket(host: str, port: int, *, reuse_port: bool, backlog: int = 4096) -> socket.socket:
    """A bound, listening, non-blocking socket; raises OSError where the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class Acceptor:
    """Owns a listening socket; hands each accepted one to `on_socket`.

    Asyncio's own accept loop goes on accepting without end. Here `pause` leaves further clients in the
    kernel's queue, and running out of descriptors pauses by itself: then a descriptor kept in reserve is
    spent to take one client off the queue and close it, so that it learns at once that there is no room.
    Must be resumed by its owner.
    """

    def __init__(
        self,
        sock: socket.socket,
        on_socket: Callable[[socket.socket, tuple[str, int]], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._sock = sock
        self._on_socket = on_socket
        self._loop = loop
        self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._is_accepting = False
        self.refused = 0  # clients taken off the queue only to be closed

    @property
    def is_accepting(self) -> bool:
        """False while paused or closed."""
        return self._is_accepting

    def resume(self) -> None:
        """Takes clients from now on; harmless when it does already."""
        if not self._is_accepting and self._sock.fileno() >= 0:
            self._is_accepting = True
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def pause(self) -> None:
        """Leaves clients in the queue from now on."""
        if self._is_accepting:
            self._is_accepting = False
            self._loop.remove_reader(self._sock.fileno())

    def close(self) -> None:
        """Takes what has come so far, then closes the socket; harmless when repeated."""
        if self._sock.fileno() < 0:
            return
        while self._accept():
            pass
        self.pause()
        self._sock.close()
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1

    def _accept(self) -> bool:
        """Takes a batch of clients; False when nobody waits any more, or there is no room."""
        for _ in range(_BATCH):
            if not self._is_accepting:
                return False
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in _PASSING:
                    continue
                self._no_room(error)
                return False
            self._on_socket(sock, (str(address[0]), int(address[1])))
        return True

    def _no_room(self, error: OSError) -> None:
        self.pause()
        LOG.error("no connections are accepted for a moment: %s", error.strerror)
        if error.errno not in _NO_ROOM or self._reserve < 0:
            return
        os.close(self._reserve)
        try:
            self._sock.accept()[0].close()
            self.refused += 1
        except OSError:
            LOG.debug("nobody was waiting after all")
        finally:
            self._reserve = self._open_reserve()

    def _open_reserve(self) -> int:
        try:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return -1  # someone else was quicker; the pause protects us all the same
