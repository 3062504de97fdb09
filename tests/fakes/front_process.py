"""A front without a data plane: obeys the control contract and reports what it was told as counters.

Run as `python -m tests.fakes.front_process FD PARENT`. The configuration it is given is JSON with
"mode": "ok"; "deaf" does not drain; "exit" ends before it listens; "never" does not come to listen.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys

import msgspec

from gateway.control.channel import ControlChannel
from gateway.control.messages import (
    Activate,
    Answered,
    Ask,
    Attach,
    Bye,
    Configure,
    Counters,
    Detach,
    Detached,
    Drain,
    Listening,
    ModelView,
    Snapshot,
    Suspect,
    Sync,
    Synced,
    ToFront,
)
from gateway.control.parcels import pack, unpack
from gateway.control.snapshots import apply
from gateway.core.model import ModelKey


class Told(msgspec.Struct):
    """Everything a front was told, as its counters carry it."""

    pid: int
    config: str = ""
    numbers: list[int] = []
    is_complete: bool = False
    world: dict[str, ModelView] = {}
    attached: dict[int, tuple[int, ModelKey]] = {}
    echoes: list[str] = []
    answers: list[tuple[int, bytes, int]] = []  # number, how it begins, how long it is


class FakeFront:
    """One front's life."""

    def __init__(self, fd: int) -> None:
        self.told = Told(os.getpid())
        self.channel: ControlChannel[ToFront] = ControlChannel(
            socket.socket(fileno=fd), ToFront, self.on_message, self.on_closed
        )
        self.ended = asyncio.Event()

    def on_closed(self, reason: str) -> None:
        self.ended.set()

    def on_message(self, message: ToFront, fds: tuple[int, ...]) -> None:
        told = self.told
        match message:
            case Configure(front, config):
                told.config = config
                self.listen(front, msgspec.json.decode(config))
            case Snapshot():
                told.numbers.append(message.number)
                told.is_complete = told.is_complete or message.complete
                told.world = apply(told.world, message)
            case Attach(worker, generation, key):
                told.attached[worker] = (generation, key)
                self.probe(worker, fds[0])
            case Detach(worker):
                told.attached.pop(worker)
                self.channel.send(Detached(worker))
            case Sync(number):
                self.channel.send(Synced(number))
            case Answered(number, answer):
                data = unpack(answer, fds)
                told.answers.append((number, data[:20], len(data)))
            case Drain():
                if "deaf" not in told.config:
                    self.channel.send(Bye())
                    self.ended.set()
        self.report()

    def listen(self, front: int, config: dict[str, object]) -> None:
        if config["mode"] == "exit":
            os._exit(3)
        if config["mode"] == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if config["mode"] == "never":
            return
        self.channel.send(Listening({"http": config.get("http_port") or 40_000 + front}))
        for activate in config.get("activate", ()):  # type: ignore[attr-defined]
            self.channel.send(Activate(ModelKey(activate, 1), 5.0))
        for number, question in enumerate(config.get("ask", ())):  # type: ignore[arg-type]
            inline, fds = pack(str(question).encode())
            self.channel.send(Ask(number, inline, 5.0), fds)
        if suspect := config.get("suspect"):
            self.channel.send(Suspect(int(str(suspect)), "a lie"))

    def probe(self, worker: int, fd: int) -> None:
        data = socket.socket(fileno=fd)
        data.setblocking(False)
        data.send(f"worker {worker}".encode())
        loop = asyncio.get_running_loop()

        def echoed() -> None:
            packet = b""
            with contextlib.suppress(ConnectionResetError):  # closed with a packet of ours unread
                packet = data.recv(1000)
            if packet:
                self.told.echoes.append(packet.decode())
            else:
                loop.remove_reader(data)
                data.close()
            self.report()

        loop.add_reader(data, echoed)

    def report(self) -> None:
        self.channel.send(Counters(msgspec.msgpack.encode(self.told)))


async def main() -> None:
    """Runs until drained or abandoned."""
    front = FakeFront(int(sys.argv[1]))
    await front.ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
    os._exit(0)
