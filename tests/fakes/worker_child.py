"""A worker without an engine: obeys the control contract, and misbehaves as its model's path asks.

"ok" loads, "fail" does not, "die" is killed by its own signal, "mute" never answers, "silent" loads
and then gives no sign of life, "busy" loads and reports a batch that never ends, "deaf" ignores
Stop and SIGTERM. Every data channel it gets echoes packets, so that tests can tell it serves.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from array import array

import msgspec

from gateway.workers.messages import Beat, Connect, FromWorker, Load, Loaded, LoadFailed, Stop, ToWorker

BEAT_S = 0.1


class FakeWorker:
    """One worker's life."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.data: dict[int, socket.socket] = {}
        self.mode = ""
        self.load_as = ""

    def run(self) -> int:
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        while True:
            ready = poll.poll(BEAT_S * 1000)
            if not ready and self.mode in {"ok", "busy", "deaf"}:
                self.send(Beat(1e6 if self.mode == "busy" else 0.0, 0))
            for fd, _ in ready:
                if fd == self.control.fileno():
                    if not self.obey(poll):
                        return 0
                else:
                    self.echo(fd, poll)

    def obey(self, poll: select.poll) -> bool:
        packet, ancillary, _, _ = self.control.recvmsg(1 << 17, socket.CMSG_SPACE(4))
        if not packet:
            return False
        match msgspec.msgpack.decode(packet, type=ToWorker):
            case Load() as load:
                self.load(load)
            case Connect():
                fds = array("i")
                fds.frombytes(ancillary[0][2])
                self.data[fds[0]] = socket.socket(fileno=fds[0])
                poll.register(fds[0], select.POLLIN)
            case Stop():
                return self.mode == "deaf"
        return True

    def load(self, load: Load) -> None:
        self.mode = self.load_as or load.path
        if self.mode == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mode == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.mode == "fail":
            self.send(LoadFailed("the engine refused it"))
        elif self.mode != "mute":
            self.send(Loaded(load.spec, {"session": 0.001}))

    def echo(self, fd: int, poll: select.poll) -> None:
        packet = self.data[fd].recv(1 << 17)
        if packet:
            self.data[fd].send(packet)
        else:
            poll.unregister(fd)
            self.data.pop(fd).close()

    def send(self, message: FromWorker) -> None:
        self.control.send(msgspec.msgpack.encode(message))


def main(control_fd: int) -> int:
    """A worker's entry point."""
    return FakeWorker(socket.socket(fileno=control_fd)).run()


def crash(control_fd: int) -> int:
    """A worker that dies before it does anything."""
    raise RuntimeError("no worker today")


def always_ok(control_fd: int) -> int:
    """A worker that loads whatever it is told to."""
    worker = FakeWorker(socket.socket(fileno=control_fd))
    worker.load_as = "ok"
    return worker.run()
