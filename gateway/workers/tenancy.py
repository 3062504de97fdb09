"""The tenants of a shared worker: models that share a process, each served in a thread of its own.

DESIGN: what instances on one GPU would each have of their own, a CUDA context of half a gigabyte and the
engine's kernels, they have together; and a load needs no process. The price is that they share Python's
lock (engines let go of it while they compute) and their end: an engine that breaks, or crashes, takes
all of them along. So only engines that run no code of a model are put together, and whoever was in a
process when it died without anybody knowing why gets one of its own (`lifecycle.version`).
"""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import msgspec

from gateway.runtimes.contract import one_line
from gateway.workers.messages import Broken

# How long one thread may keep the others of the process from running Python: 5 ms, the default, is as long
# as a whole load, and a batch of a small model needs the lock for 0.05 ms.
SWITCH_S = 0.0005
TIDY_S = 1.0
# glibc has up to eight arenas a core, and what a closed model leaves in one serves no other: two do.
_M_ARENA_MAX, _ARENAS = -8, 2

_libc = ctypes.CDLL(None)

Stop = Callable[[], None]
Serve = Callable[[socket.socket, Callable[[Stop], None]], int]


class Tenancy:
    """`serve` serves one tenant until its end, and returns what a process would exit with.

    Invariant: `count` is the number of tenants that have not ended.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._stops: dict[threading.Thread, Stop] = {}
        self._is_ending = self._is_tidying = False

    @property
    def count(self) -> int:
        """Tenants there are."""
        return len(self._threads)

    def admit(self, control_fd: int) -> None:
        """Serves one more in a thread of its own; takes `control_fd` over, closed when the tenant is gone."""
        if not self._threads:
            sys.setswitchinterval(SWITCH_S)
            _libc.mallopt(_M_ARENA_MAX, _ARENAS)
        control = socket.socket(fileno=control_fd)
        thread = threading.Thread(target=self._run, args=(control,), name="tenant", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def end(self) -> None:
        """Has all of them finish the batch in hand; returns when they have."""
        with self._lock:
            self._is_ending = True
            threads, stops = tuple(self._threads), tuple(self._stops.values())
        for stop in stops:
            stop()
        for thread in threads:
            thread.join()

    def _tidy_soon(self) -> None:
        """Gives back what models have left: once a second at most, for it holds everybody up (1 to 5 ms)."""
        with self._lock:
            if self._is_tidying:
                return
            self._is_tidying = True
        timer = threading.Timer(TIDY_S, self._tidy)
        timer.daemon = True
        timer.start()

    def _tidy(self) -> None:
        with self._lock:
            self._is_tidying = False
        gc.collect()
        _libc.malloc_trim(0)

    def _run(self, control: socket.socket) -> None:
        thread = threading.current_thread()

        def ready(stop: Stop) -> None:
            with self._lock:
                self._stops[thread] = stop
                is_late = self._is_ending
            if is_late:
                stop()

        status = 1
        try:
            status = self._serve(control, ready)
        except BaseException as error:  # ruff: ignore[blind-except] - what would have ended a process ends this
            sys.excepthook(*sys.exc_info())
            with suppress(OSError):
                control.send(msgspec.msgpack.encode(Broken(f"{type(error).__name__}: {one_line(error)}")))
        if status:
            sys.stderr.flush()
            os._exit(status)
        with self._lock:
            self._threads.discard(thread)
            self._stops.pop(thread, None)
        self._tidy_soon()
        # Last of all: the controller takes its memory for free from now on. Closing alone would tell it
        # up to a second later, when the pulse's wait for this socket is over.
        with suppress(OSError):
            control.shutdown(socket.SHUT_RDWR)
        control.close()
