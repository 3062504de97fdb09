"""Runs a plan: one child process for each generator, started together, merged at the end."""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import msgspec

import gateway
from gateway.cli.bench.job import Failed, Job, Progress, Ready, Start, ToParent, receive, send
from gateway.cli.bench.plan import BenchError, Plan, Target
from gateway.cli.bench.preparing import Prepared, prepare
from gateway.cli.bench.result import Result, summarise
from gateway.cli.bench.tally import Outcome
from gateway.core.clock import Clock, monotonic_s

# Children connect first and then start together; their last preparations take milliseconds.
_START_DELAY_S = 0.02
_EXIT_S = 5.0

# Called with what all processes together have measured so far: successes, failures.
OnProgress = Callable[[int, int], None]


class _Child:
    def __init__(self, process: subprocess.Popen[bytes], link: socket.socket) -> None:
        self.process = process
        self.link = link
        self.progress = Progress(0, 0)
        self.outcome: Outcome | None = None

    def receive(self) -> Any:
        try:
            message = msgspec.msgpack.decode(receive(self.link), type=ToParent)
        except (EOFError, ConnectionResetError):
            raise BenchError(f"a generating process died with status {self.process.wait()}") from None
        if isinstance(message, Failed):
            raise BenchError(message.text)
        return message


def run(plan: Plan, *, on_progress: OnProgress | None = None, clock: Clock = monotonic_s) -> Result:
    """Measures one load; blocks; raises BenchError when it cannot be measured."""
    return measure(prepare(plan, clock), plan, on_progress=on_progress, clock=clock)


def measure(
    prepared: Prepared, plan: Plan, *, on_progress: OnProgress | None = None, clock: Clock = monotonic_s
) -> Result:
    """Measures one load with a request already made; `plan` differs from `prepared.plan` only in load."""
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(_spawn()) for _ in range(plan.processes)]
        family, address = _resolve(prepared.target)
        for index, child in enumerate(children):
            send(child.link, Job(plan, index, family, list(address), prepared.call))
        for child in children:
            ready = child.receive()
            assert isinstance(ready, Ready)
        start = Start(clock() + _START_DELAY_S)
        for child in children:
            send(child.link, start)
        return summarise(plan, _collect(children, on_progress))


def _collect(children: Sequence[_Child], on_progress: OnProgress | None) -> list[Outcome]:
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.link, selectors.EVENT_READ, child)
        while selector.get_map():
            for key, _ in selector.select():
                child = key.data
                message = child.receive()
                if isinstance(message, Outcome):
                    child.outcome = message
                    selector.unregister(child.link)
                else:
                    child.progress = message
            if on_progress is not None:
                on_progress(
                    sum(child.progress.succeeded for child in children),
                    sum(child.progress.failed for child in children),
                )
    return [child.outcome for child in children if child.outcome is not None]


@contextlib.contextmanager
def _spawn() -> Generator[_Child, None, None]:
    """A child that is certainly gone afterwards. exec, not fork: the caller may have threads and grpcio."""
    mine, theirs = socket.socketpair()
    with mine, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli.bench.child", str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=Path(gateway.__file__).parent.parent,
        )
        theirs.close()
        try:
            yield _Child(process, mine)
            process.wait(_EXIT_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _resolve(target: Target) -> tuple[int, tuple[Any, ...]]:
    """Resolved once, so that every connection goes to the same server."""
    try:
        family, _, _, _, address = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BenchError(f"cannot resolve {target.host}: {error.strerror or error}") from error
    return int(family), address
