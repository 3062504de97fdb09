"""A real worker process forked from the test, and a front's ends of its channels."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway.core.messages import Lease
from gateway.core.model import ModelSpec
from gateway.workers import child
from gateway.workers.frames import Failure
from gateway.workers.messages import Beat, Connect, FromWorker, Load, Stop

LAB = "tests.fakes.lab_runtime:LabRuntime"
TIMEOUT_S = 60.0


class PollLoop:
    """add_reader and friends over select.poll; `run_until` turns it."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], object]] = {}
        self.writers: dict[int, Callable[[], object]] = {}

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> None:
        del self.readers[fd]

    def add_writer(self, fd: int, callback: Callable[[], object]) -> None:
        self.writers[fd] = callback

    def remove_writer(self, fd: int) -> None:
        del self.writers[fd]

    def turn(self, timeout_s: float = 0.0) -> None:
        """Calls whatever is ready."""
        poll = select.poll()
        for fd in self.readers.keys() | self.writers.keys():
            poll.register(fd, select.POLLIN * (fd in self.readers) | select.POLLOUT * (fd in self.writers))
        for fd, events in poll.poll(timeout_s * 1000):
            if events & select.POLLOUT and fd in self.writers:
                self.writers[fd]()
            if events & ~select.POLLOUT and fd in self.readers:
                self.readers[fd]()

    def run_until(self, condition: Callable[[], object]) -> None:
        """Turns until `condition` holds; fails after TIMEOUT_S."""
        give_up = time.perf_counter() + TIMEOUT_S
        while not condition():
            assert time.perf_counter() < give_up, "the condition did not come true"
            self.turn(0.05)


class Answers:
    """A LinkListener that keeps what it is told; `lost` are the reasons and batches of on_lost."""

    def __init__(self) -> None:
        self.replies: dict[int, tuple[Any, ...]] = {}
        self.timings: dict[int, tuple[int, int, int]] = {}
        self.leases: dict[int, Lease | None] = {}
        self.errors: dict[int, tuple[Failure, str]] = {}
        self.parts: dict[int, list[tuple[Any, ...]]] = {}
        self.ends: dict[int, int] = {}
        self.waits: dict[int, float] = {}
        self.troubles: list[str] = []
        self.suspicions: list[str] = []
        self.lost: list[tuple[str, tuple[int, ...]]] = []

    def on_reply(self, link: Any, batch_id: int, outputs: Any, timings_ns: Any, lease: Lease | None) -> None:
        assert batch_id not in self.replies
        self.replies[batch_id] = outputs
        self.timings[batch_id] = timings_ns
        self.leases[batch_id] = lease

    def on_part(self, link: Any, batch_id: int, outputs: Any, cost: int, lease: Lease | None) -> None:
        self.parts.setdefault(batch_id, []).append(outputs)
        self.leases[batch_id] = lease

    def on_end(self, link: Any, batch_id: int, infer_ns: int) -> None:
        assert batch_id not in self.ends
        self.ends[batch_id] = infer_ns

    def on_error(self, link: Any, batch_id: int, failure: Failure, text: str, wait_s: float = 0.0) -> None:
        assert batch_id not in self.errors
        self.errors[batch_id] = (failure, text)
        self.waits[batch_id] = wait_s

    def on_state(self, link: Any, trouble: str) -> None:
        self.troubles.append(trouble)

    def on_suspect(self, link: Any, reason: str) -> None:
        self.suspicions.append(reason)

    def on_lost(self, link: Any, reason: str, batch_ids: tuple[int, ...]) -> None:
        self.lost.append((reason, batch_ids))


class ForkedWorker:
    """`child.main` in a fork of this process; `finish` must be called, or use as a context manager."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(TIMEOUT_S)
        self.status: int | None = None
        self.beats: list[Beat] = []
        self.cleanups: list[Callable[[], object]] = []  # called at the end, whatever the test did
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                code = child.main(theirs.detach())
            finally:
                os._exit(code)
        theirs.close()

    def __enter__(self) -> ForkedWorker:
        return self

    def __exit__(self, *_: object) -> None:
        for cleanup in self.cleanups:
            cleanup()
        if self.status is None:
            self.kill()
            self.wait()
        self.control.close()

    def tell(self, message: Load | Connect | Stop, fd: int | None = None) -> None:
        ancillary = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))]
        self.control.sendmsg([msgspec.msgpack.encode(message)], ancillary)

    def hear(self, *, beats: bool = False) -> FromWorker:
        """The next message, beats kept apart unless asked for."""
        while True:
            message = msgspec.msgpack.decode(self.control.recv(1 << 18), type=FromWorker)
            if beats or not isinstance(message, Beat):
                return message
            self.beats.append(message)

    def load(self, path: Path, spec: ModelSpec, runtime: str = LAB, **more: Any) -> FromWorker:
        self.tell(Load(runtime, str(path), spec, **more))
        return self.hear()

    def connect(self, generation: int, front: int = 0) -> socket.socket:
        """Our end of a new data channel."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.tell(Connect(front, generation), theirs.fileno())
        return ours

    def kill(self, signum: int = signal.SIGKILL) -> None:
        os.kill(self.pid, signum)

    def wait(self) -> int:
        """Exit status, or minus the signal's number."""
        give_up = time.perf_counter() + TIMEOUT_S
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            else:
                assert time.perf_counter() < give_up, "the worker did not end"
                time.sleep(0.005)
        return self.status

    def descriptors(self) -> list[str]:
        """What its open descriptors are, but for the standard three."""
        folder = f"/proc/{self.pid}/fd"
        return [os.readlink(f"{folder}/{name}") for name in os.listdir(folder) if int(name) > 2]
