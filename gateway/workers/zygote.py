"""The zygote: imports the engines once, then forks a worker for each `Fork` it is sent.

DESIGN: a fork of a process with numpy and the engine imported costs 2-4 ms, a fresh interpreter
with the same imports 150-300 ms, and the forks share the imported pages. That is safe only while
there is one thread: a lock held by another thread at the moment of the fork would stay locked for
ever in the worker. Hence no event loop, no executor, OpenMP and OpenBLAS told to start nothing,
ONNX Runtime's telemetry (a thread and uploads, since 1.2x) off, and a check of /proc/self/task.

Ends at once when the controller's socket closes, and takes its workers along: they would notice
by their own sockets, unless they are stopped or stuck. A zygote that is killed leaves its workers
serving; the controller adopts them.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

import msgspec

from gateway.core.clock import monotonic_s
from gateway.core.environment import Base
from gateway.runtimes.gpus import VARIABLE, told_to
from gateway.workers.forking import Exited, Fork, Forked, ForkFailed, FromZygote, Preload, Prepared, ToZygote
from gateway.workers.parentage import die_with_parent, name_process, outlive_parent

ENVIRONMENT: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
MAX_PACKET_BYTES = 128 << 10

_ANCILLARY_BYTES = socket.CMSG_SPACE(array("i").itemsize)
_decode = msgspec.msgpack.Decoder(ToZygote).decode
_encode = msgspec.msgpack.Encoder().encode


class Zygote:
    """Serves one controller until its socket closes."""

    def __init__(self, control: socket.socket, wakeup: socket.socket, entry: Callable[[int], object]) -> None:
        self._control = control
        self._wakeup = wakeup
        self._entry = entry
        # Invariant: exactly the forked workers that were not reaped yet.
        self._workers: set[int] = set()

    def run(self) -> None:
        """Returns when the controller is gone or SIGTERM came."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wakeup.fileno() in ready:
                if signal.SIGTERM in self._wakeup.recv(4096):
                    break
                self._reap()
            if self._control.fileno() in ready and not self._serve_one():
                break
        self._kill_if_abandoned()

    def _serve_one(self) -> bool:
        """Answers one packet; False when the controller is gone."""
        received = receive(self._control)
        if received is None:
            return False
        message, fd = received
        if not isinstance(message, Fork) or fd is None:
            raise SystemExit(f"zygote: expected Fork with a socket, got {type(message).__name__}")
        try:
            self._fork(message, fd)
        finally:
            os.close(fd)
        return True

    def _fork(self, order: Fork, fd: int) -> None:
        ticket = order.ticket
        try:
            pid = os.fork()
        except OSError as error:
            self._send(ForkFailed(ticket, error.strerror or "fork failed"))
            return
        if pid == 0:
            take_seat(order.device)
            self._become_worker(fd)
        self._workers.add(pid)
        pidfd = os.pidfd_open(pid)
        try:
            self._send(Forked(ticket, pid), pidfd)
        finally:
            os.close(pidfd)

    def _become_worker(self, fd: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for signum in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(signum, signal.SIG_DFL)
            self._control.detach()
            self._wakeup.detach()
            close_all_but(fd)
            gc.enable()
            name_process("gateway-spare")  # until it has a model to load
            result = self._entry(fd)
            code = result if isinstance(result, int) else 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:  # ruff: ignore[blind-except] - nothing may unwind into the zygote's frames
            sys.excepthook(*sys.exc_info())
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for pid in tuple(self._workers):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._workers.discard(pid)
                self._send(Exited(pid, os.waitstatus_to_exitcode(status)))

    def _send(self, message: FromZygote, fd: int | None = None) -> None:
        send(self._control, message, fd)

    def _kill_if_abandoned(self) -> None:
        """On the controller's death only: after a SIGTERM to the zygote alone its workers serve on."""
        if not is_closed(self._control):
            return
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)


def take_seat(device: str) -> None:
    """Shows CUDA one device, or none to a worker for the CPU; "" leaves it what the gateway sees."""
    if (told := told_to(device)) is not None:
        os.environ[VARIABLE] = told


def receive(control: socket.socket) -> tuple[ToZygote, int | None] | None:
    """The next message and the descriptor that came with it; None when the controller is gone."""
    try:
        packet, ancillary, _, _ = control.recvmsg(MAX_PACKET_BYTES, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    if not packet:
        return None
    fds = array("i")
    for _level, _kind, data in ancillary:
        fds.frombytes(data)
    return _decode(packet), fds[0] if fds else None


def send(control: socket.socket, message: FromZygote, fd: int | None = None) -> None:
    """Sends one message, with a copy of `fd`; to a controller that is gone it says nothing."""
    ancillary = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))]
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        control.sendmsg([_encode(message)], ancillary)


def is_closed(control: socket.socket) -> bool:
    """True if the other end is gone."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def preload(modules: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Imports `modules`; returns those that could not be, with the reason."""
    missing: list[tuple[str, str]] = []
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # ruff: ignore[blind-except] - engines fail in ways of their own; reported
            missing.append((module, f"{type(error).__name__}: {error}"))
    return tuple(missing)


def prepare_base(base: Base) -> tuple[tuple[str, str], ...]:
    """Enters the environment and imports its modules; returns what could not be, with the reason.

    What cannot be entered here no worker can enter either, and says so when its model loads.
    """
    # Not before now: it brings numpy along, whose BLAS starts threads unless it was told not to.
    environment = importlib.import_module("gateway.runtimes.environment")
    try:
        environment.enter(base.options, Path(base.model_folder or "/"))
    except environment.LoadError as error:
        return (("its environment", str(error)),)
    return preload(base.modules)


def resolve(entry: str) -> Callable[[int], object]:
    """The function named by "package.module:function"."""
    module, _, name = entry.partition(":")
    function: Callable[[int], object] = getattr(importlib.import_module(module), name)
    return function


def close_all_but(fd: int) -> None:
    """Closes every descriptor of this process except `fd` and the standard three."""
    for other in [int(name) for name in os.listdir("/proc/self/fd")]:
        if other > 2 and other != fd:
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
                os.close(other)


def assert_single_threaded() -> None:
    """Raises SystemExit if any import has started a thread: forking would then be unsafe."""
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise SystemExit(f"zygote: the preloaded modules started {threads - 1} threads; forking is unsafe")


def _ignore(signum: int, frame: FrameType | None) -> None:
    """Signals only have to wake the poll: the wake-up descriptor carries their numbers."""


def _wake_on_signals() -> socket.socket:
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _ignore)
    signal.signal(signal.SIGTERM, _ignore)
    return reading


def main(control_fd: int, parent_pid: int) -> int:
    """Runs a zygote on an inherited socket; returns when the controller is gone."""
    die_with_parent(parent_pid)
    name_process("gateway-zygote")
    os.environ.update({name: value for name, value in ENVIRONMENT.items() if name not in os.environ})
    control = socket.socket(fileno=control_fd)
    received = receive(control)
    if received is None:
        return 0
    order, _ = received
    if not isinstance(order, Preload):
        raise SystemExit("zygote: expected Preload first")
    started = monotonic_s()
    missing = preload(order.modules)
    if order.base is not None:
        missing = (*missing, *prepare_base(order.base))
    entry = resolve(order.entry)
    assert_single_threaded()
    gc.collect()
    gc.freeze()
    gc.disable()
    zygote = Zygote(control, _wake_on_signals(), entry)
    # From here on the loop sees the socket close, and must live to take the workers along. The signal
    # would come too soon: it is sent when the controller's main thread ends, sockets close with the last.
    outlive_parent()
    send(control, Prepared(missing, monotonic_s() - started))
    zygote.run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]), int(sys.argv[2])))
