"""A worker's side of a model that runs several batches at the same time.

DESIGN: the worker's one thread goes on taking frames while the model, in threads of its own, waits for
whatever answers. What the model is done with comes back through `Completions`, an eventfd that the
worker waits for beside its sockets: so only one thread ever touches a channel. Rejected: a thread for
each batch (hundreds may wait), and the worker's loop on asyncio (0.1 ms a batch for all other models).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from gateway.runtimes.contract import (
    Array,
    BadInput,
    Call,
    ConcurrentModel,
    Outcome,
    TimedOut,
    Unavailable,
    UpstreamFailed,
    one_line,
)
from gateway.workers.execution import ModelMisbehaved, NoRoom, ServePlan
from gateway.workers.frames import Failure, Header, Kind

# What a batch has of which the front has not said how long it may take.
NO_LIMIT_S = 86_400.0

Step = Callable[[], None]
Put = Callable[[Step], None]
Finish = Callable[[int, ServePlan, Outcome, int], None]


class Completions:
    """Steps for the worker's thread, put here by any other; `fd` is readable while there are some."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._steps: deque[Step] = deque()

    def put(self, step: Step) -> None:
        """Has `step` called by the worker's thread."""
        self._steps.append(step)
        with suppress(OSError, ValueError):  # closed: the worker is ending
            os.eventfd_write(self.fd, 1)

    def take(self) -> list[Step]:
        """All there are now."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        steps: list[Step] = []
        while self._steps:
            steps.append(self._steps.popleft())
        return steps

    def close(self) -> None:
        """Must be called when nobody waits for `fd` any more."""
        fd, self.fd = self.fd, -1
        os.close(fd)


class Calls:
    """The batches of one data channel that run now. Invariant: each is finished once, or was closed."""

    def __init__(self, model: ConcurrentModel, put: Put, finish: Finish) -> None:
        self._model = model
        self._put = put
        self._finish = finish
        self._calls: dict[int, Call | None] = {}
        self._limit: tuple[int, float] = (0, NO_LIMIT_S)  # the last one told, and of which batch

    def __len__(self) -> int:
        return len(self._calls)

    def begin(self, batch: int, plan: ServePlan, inputs: Sequence[Array], now_ns: int) -> None:
        """Starts a batch; raises BadInput."""
        limited, limit_s = self._limit
        timeout_s = limit_s if limited == batch else NO_LIMIT_S

        def done(outcome: Outcome) -> None:
            self._put(partial(self._done, batch, plan, now_ns, outcome))

        self._calls[batch] = None
        try:
            self._calls[batch] = self._model.begin(inputs, plan.outputs, plan.rows, timeout_s, done)
        except BaseException:
            del self._calls[batch]
            raise

    def obey(self, header: Header) -> None:
        """Takes a LIMIT for the batch that comes next, or a CANCEL; one of an answered batch is nothing."""
        if header.kind is Kind.LIMIT:
            self._limit = (header.batch, header.a * 1e-9)
        elif (call := self._calls.get(header.batch)) is not None:
            call.cancel()

    def close(self) -> None:
        """The front has gone: nothing is finished any more."""
        for call in self._calls.values():
            if call is not None:
                call.cancel()
        self._calls.clear()

    def _done(self, batch: int, plan: ServePlan, begun_ns: int, outcome: Outcome) -> None:
        if batch in self._calls:
            del self._calls[batch]
            self._finish(batch, plan, outcome, begun_ns)


def failure_of(error: Exception) -> tuple[Failure, str, float]:
    """What the front is told of a batch that ended with `error`, and in how many seconds to ask again."""
    text = one_line(error)
    match error:
        case BadInput():
            return Failure.BAD_INPUT, text, 0.0
        case Unavailable():
            return Failure.UNAVAILABLE, text, error.retry_after_s
        case TimedOut():
            return Failure.TIMED_OUT, text, 0.0
        case UpstreamFailed() | ModelMisbehaved():
            return Failure.UPSTREAM_FAILED, text, 0.0
        case NoRoom():
            return Failure.NO_MEMORY, "no shared memory is left for the outputs", 0.0
        case _:
            return Failure.UPSTREAM_FAILED, f"{type(error).__name__}: {text}", 0.0
