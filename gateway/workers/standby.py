"""A model that runs in the front, with the worker that proved it standing by.

The worker has loaded the model first: a model that kills its process at load does so there, and the
signature is known before a front touches the file. Afterwards it costs its memory (6 MB for a small
model) and is the instance's life for the controller: when it dies, or is replaced, the link ends.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from gateway.runtimes.contract import LoadedModel
from gateway.workers.inline import InlineLink
from gateway.workers.links import LinkListener
from gateway.workers.transport import Loop


class StandbyLink(InlineLink):
    """An InlineLink that is lost when the worker at the other end of `sock` goes away; owns `sock`."""

    def __init__(
        self,
        model: LoadedModel,
        worker_id: int,
        listener: LinkListener,
        now_ns: Callable[[], int],
        sock: socket.socket,
        loop: Loop,
    ) -> None:
        super().__init__(model, worker_id, listener, now_ns)
        self._told = listener
        self._sock = sock
        self._loop = loop
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._on_readable)

    def close(self) -> None:
        """Frees the model and lets the worker go; on_lost is not called."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
        super().close()

    def _on_readable(self) -> None:
        """A worker that is asked nothing says nothing: whatever comes is its end, or against the protocol."""
        try:
            packet = self._sock.recv(1)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        self.close()
        self._told.on_lost(self, "it spoke without being asked" if packet else "", ())
