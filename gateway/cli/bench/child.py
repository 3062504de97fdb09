"""A generating process: `python -m gateway.cli.bench.child FD`, FD being its end of a socket pair."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import socket
import sys

import msgspec

from gateway.cli.bench.dialogue import Dialogue
from gateway.cli.bench.engine import Engine
from gateway.cli.bench.job import Failed, Job, Progress, Ready, Start, make_dialogue, receive, send
from gateway.cli.bench.load import Share
from gateway.cli.bench.plan import BenchError
from gateway.core.clock import Clock, monotonic_s

_PROGRESS_S = 0.25
_CONNECT_S = 15.0


def main() -> None:
    """Does one job and exits; the parent's end of the socket closing ends it too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to handle
    with socket.socket(fileno=int(sys.argv[1])) as parent:
        try:
            work(parent, monotonic_s)
        except BenchError as error:
            send(parent, Failed(str(error)))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            sys.exit(1)  # the parent has gone, and with it whoever would want the result


def work(parent: socket.socket, clock: Clock) -> None:
    """Receives a Job, connects, says Ready, waits for Start, generates, sends the Outcome."""
    job = msgspec.msgpack.decode(receive(parent), type=Job)
    _pin(job)
    plan = job.plan
    serial = itertools.count(job.index + 1, plan.processes)

    def make() -> Dialogue:
        return make_dialogue(plan, job.call, seed=hash((plan.seed, next(serial))), keep_bodies=plan.check)

    share = Share(job.index, plan.processes)
    engine = Engine(plan, share, (job.family, tuple(job.address)), make, clock)
    try:
        engine.connect(min(_CONNECT_S, plan.timeout_s))
        send(parent, Ready())
        start = msgspec.msgpack.decode(receive(parent), type=Start)
        # A collection pauses for milliseconds; nothing on the hot path makes cycles.
        gc.collect()
        gc.freeze()
        gc.disable()
        send(parent, engine.run(start.at, Reporter(parent, clock)))
    finally:
        engine.close()


def _pin(job: Job) -> None:
    cpus = job.plan.cpus
    if not cpus:
        return
    cpu = cpus[job.index % len(cpus)]
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        raise BenchError(f"--cpus: cannot run on core {cpu}: {error.strerror}") from error


class Reporter:
    """Tells the parent how far the run is, four times a second at most."""

    def __init__(self, parent: socket.socket, clock: Clock) -> None:
        self._parent = parent
        self._clock = clock
        self._next = 0.0

    def __call__(self, succeeded: int, failed: int) -> None:
        now = self._clock()
        if now >= self._next:
            self._next = now + _PROGRESS_S
            send(self._parent, Progress(succeeded, failed))


if __name__ == "__main__":
    main()
