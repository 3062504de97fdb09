"""The worker process: main() runs in a fork of the zygote, with the engines imported and nothing open.

DESIGN: one thread that waits for the controller and the fronts and runs one batch at a time, and a
pulse beside it. Every front gets its turn, one frame each. The process ends when the controller's
socket does, at Stop or SIGTERM after the batch in hand, and when the engine says it is broken.

A shared worker has tenants: each is a Worker of its own, with its own control socket, in a thread of its
own (`tenancy`), and the first one only waits for further ones.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType

import msgspec

from gateway.core.clock import Clock, monotonic_ns, monotonic_s
from gateway.runtimes.contract import EngineBroken, LoadError, OutOfMemory, find_runtime, one_line, prepare
from gateway.runtimes.cuda import open_cuda
from gateway.workers.arena import Arena
from gateway.workers.concurrency import Completions, Step
from gateway.workers.execution import Executor
from gateway.workers.frames import ProtocolViolation
from gateway.workers.loading import Ready, load_model
from gateway.workers.memory import measured, private_bytes, resident_bytes, taken_of_gpu
from gateway.workers.messages import (
    Admit,
    Broken,
    Connect,
    FromWorker,
    Load,
    Loaded,
    LoadFailed,
    Prepare,
    Progress,
    Sleep,
    Stop,
    ToWorker,
    Wake,
)
from gateway.workers.parentage import name_process
from gateway.workers.pulse import Pulse
from gateway.workers.serving import DataChannel
from gateway.workers.sleeping import fall_asleep, wake_up
from gateway.workers.tenancy import Tenancy
from gateway.workers.transport import FrontGone, receive_with_descriptors

# Of outputs that fronts have not released yet; untouched pages cost nothing.
OUTPUT_BYTES = 2 << 30
KEEP_OUTPUT_BYTES = 64 << 20
# Of a worker without a model, that nobody had the time to measure.
OVERHEAD_BYTES = 4 << 20
_CONTROL_BYTES = 256 << 10
_PR_SET_NO_NEW_PRIVS = 38
_STANDARD = 3

_decode = msgspec.msgpack.Decoder(ToWorker).decode
_encode = msgspec.msgpack.Encoder().encode
# Loaded here, in the zygote, so that no worker searches for the C library again.
_libc = ctypes.CDLL(None, use_errno=True)


def main(control_fd: int) -> int:
    """Serves one model until told to stop; returns the exit status. `control_fd` is taken over."""
    harden(control_fd)
    # What the zygote imported is never garbage: a collection that walked it would copy its pages.
    gc.freeze()
    with (
        socket.socket(fileno=control_fd) as control,
        Worker(control, monotonic_s, monotonic_ns, Tenancy(serve_tenant)) as worker,
    ):
        return worker.run()


def serve_tenant(control: socket.socket, on_ready: Callable[[Callable[[], None]], None]) -> int:
    """Serves one model of a shared worker; hands out what makes it stop; returns the exit status."""
    with Worker(control, monotonic_s, monotonic_ns) as worker:
        on_ready(worker.stop)
        return worker.run()


def harden(control_fd: int) -> None:
    """Leaves no descriptor but the standard three and ours, no new privileges and no core files."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= _STANDARD and int(name) != control_fd:
            with suppress(OSError):  # the listing's own descriptor is closed already
                os.close(int(name))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")


class Worker:
    """Invariant: `_channels` are the data channels that are open, by their descriptors.

    Whoever has a `tenancy` is a process, and takes tenants; without one it is itself a tenant.
    """

    def __init__(
        self,
        control: socket.socket,
        clock: Clock,
        now_ns: Callable[[], int],
        tenancy: Tenancy | None = None,
    ) -> None:
        self._control = control
        self._clock = clock
        self._now_ns = now_ns
        self._tenancy = tenancy
        self._pulse = Pulse(control, clock, ends_process=tenancy is not None)
        self._channels: dict[int, DataChannel] = {}
        self._executor: Executor | None = None
        self._loaded: tuple[Load, Ready] | None = None
        self._completions: Completions | None = None  # of a model that runs several batches at a time
        self._trouble = ""
        self._overhead = OVERHEAD_BYTES if tenancy is not None else 0
        self._is_stopping = False
        self._exit_status = 0

    def __enter__(self) -> Worker:
        self._epoll = select.epoll()
        self._wakeup, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        if self._tenancy is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, self._on_sigterm)
            signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._epoll.register(self._control.fileno(), select.EPOLLIN)
        self._epoll.register(self._wakeup.fileno(), select.EPOLLIN)
        self._pulse.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pulse.stop()
        if self._tenancy is not None:
            self._tenancy.end()
            signal.set_wakeup_fd(-1)
        for fd in tuple(self._channels):
            self._disconnect(fd)
        if self._executor is not None:
            self._executor.model.close()
            self._executor.arena.close()
        if self._completions is not None:
            self._completions.close()
        self._epoll.close()
        self._wakeup.close()
        self._waker.close()

    def run(self) -> int:
        """Serves until the end; returns the exit status."""
        while not self._is_stopping:
            for fd, _ in self._epoll.poll(None, 16):
                self._attend(fd)
        return self._exit_status

    def _attend(self, fd: int) -> None:
        if self._is_stopping:
            return
        if fd in self._channels:
            self._serve(fd)
        elif fd == self._control.fileno():
            self._take_control()
        elif self._completions is not None and fd == self._completions.fd:
            for step in self._completions.take():
                step()

    def stop(self) -> None:
        """May be called by any thread: it ends after the batch in hand."""
        self._is_stopping = True
        with suppress(OSError):  # it has ended, or is told already
            self._waker.send(b"\0")

    def _on_sigterm(self, signum: int, frame: FrameType | None) -> None:
        self._is_stopping = True  # the wake-up descriptor ends the wait; a batch in hand ends first

    # ---- batches --------------------------------------------------------------------------------

    def _serve(self, fd: int) -> None:
        pulse = self._pulse
        pulse.busy_since = begun = self._clock()
        try:
            if self._channels[fd].serve_one():
                pulse.executed += 1
                if pulse.executed == 1:
                    self._tell(Progress("inferred", self._clock() - begun))
        except (FrontGone, ProtocolViolation):
            # What was wrong is the front's to tell: it sees its channel close.
            self._disconnect(fd)
        except EngineBroken as broken:
            if self._tenancy is None:
                self._tell(Broken(one_line(broken)))
            self._is_stopping = True
            self._exit_status = 1
        finally:
            pulse.busy_since = 0.0

    def _progress(self) -> None:
        self._pulse.busy_since = self._clock()  # a stream that goes on is not hung, however long it is

    def _put(self, fd: int, step: Step) -> None:
        """Called by any thread of a model with a concurrency."""
        if self._completions is not None:
            self._completions.put(partial(self._step, fd, step))

    def _step(self, fd: int, step: Step) -> None:
        """What a batch came to, and whatever else a channel is told outside its turn."""
        try:
            step()
        except FrontGone:
            self._disconnect(fd)

    def _tell_state(self, trouble: str) -> None:
        self._trouble = trouble
        for fd, channel in tuple(self._channels.items()):
            self._step(fd, partial(channel.tell, trouble))

    def _disconnect(self, fd: int) -> None:
        self._epoll.unregister(fd)
        self._channels.pop(fd).close()

    # ---- the controller -------------------------------------------------------------------------

    def _take_control(self) -> None:
        view = memoryview(bytearray(_CONTROL_BYTES))
        try:
            size, fds, _ = receive_with_descriptors(self._control, view)
        except OSError:
            size, fds = 0, []
        if not size:
            self._is_stopping = True
            return
        match _decode(view[:size]):
            case Connect(generation=generation):
                self._connect(fds, generation)
                return
            case Admit():
                self._admit(fds)
                return
            case message:
                self._obey(message)
        for fd in fds:
            os.close(fd)

    def _obey(self, message: ToWorker) -> None:
        """What comes without descriptors."""
        match message:
            case Load() as load:
                self._load(load)
            case Prepare() as order:
                self._prepare(order)
            case Sleep():
                self._sleep()
            case Wake():
                self._wake()
            case Stop():
                self._is_stopping = True

    def _prepare(self, order: Prepare) -> None:
        """Does what comes before any load. A worker that cannot use its GPU ends: nothing would load here."""
        try:
            for reference in order.runtimes:
                prepare(find_runtime(reference))
            if order.is_on_gpu:
                open_cuda(0).close()  # its context stays
            self._overhead = private_bytes()
        except LoadError as error:
            print(f"gateway-worker: {one_line(error)}", file=sys.stderr, flush=True)
            self._is_stopping, self._exit_status = True, 1

    def _admit(self, fds: list[int]) -> None:
        """Takes a tenant; from the first one on the controller wants to know that this process lives."""
        if len(fds) != 1 or self._tenancy is None or self._executor is not None:
            for fd in fds:
                os.close(fd)
            return
        name_process("gateway-worker")
        self._tenancy.admit(fds[0])
        self._pulse.beat()

    def _load(self, load: Load) -> None:
        try:
            if self._executor is not None or (self._tenancy is not None and self._tenancy.count):
                raise LoadError("this worker has a model already")
            if self._tenancy is not None:
                name_process("gateway-worker")
            with measured(taken_of_gpu if load.is_on_gpu else resident_bytes) as growth:
                ready = load_model(load, self._clock, self._tell_opened)
        except LoadError as error:
            self._tell(LoadFailed(one_line(error), isinstance(error, OutOfMemory)))
            return
        self._loaded = load, ready
        self._executor = Executor(ready.model, Arena(OUTPUT_BYTES, KEEP_OUTPUT_BYTES))
        if (concurrent := self._executor.concurrent) is not None:
            completions = self._completions = Completions()
            self._epoll.register(completions.fd, select.EPOLLIN)
            concurrent.watch(lambda trouble: completions.put(partial(self._tell_state, trouble)))
            self._pulse.count_upstream = concurrent.counts
        taken = growth.size_bytes
        if taken is not None and not load.is_on_gpu:
            taken += self._overhead
        can_sleep = ready.sleeper is not None
        self._tell(Loaded(ready.model.spec, ready.phases_s, ready.note, taken, can_sleep))
        self._pulse.beat()

    def _tell_opened(self) -> None:
        self._tell(Progress("warming"))

    def _sleep(self) -> None:
        if self._loaded is not None:
            self._tell(fall_asleep(self._loaded[1]))

    def _wake(self) -> None:
        if self._loaded is not None:
            load, ready = self._loaded
            self._tell(wake_up(ready, load.warmup, self._clock, self._tell_opened))

    def _connect(self, fds: list[int], generation: int) -> None:
        if len(fds) != 1 or self._executor is None:
            for fd in fds:
                os.close(fd)
            return
        sock = socket.socket(fileno=fds[0])
        put = partial(self._put, fds[0])
        channel = DataChannel(sock, generation, self._executor, self._now_ns, self._progress, put)
        self._channels[fds[0]] = channel
        self._epoll.register(fds[0], select.EPOLLIN)
        if self._trouble:
            self._step(fds[0], partial(channel.tell, self._trouble))

    def _tell(self, message: FromWorker) -> None:
        with suppress(OSError):  # a controller that is gone is seen by the next wait
            self._control.send(_encode(message))
