"""A worker's side of a decoupled model's answers to one batch.

DESIGN: the model calls `send`; it is not asked for the next answer. A generator could be asked, but
files for Triton's Python backend answer from threads of their own, while `execute` still runs and long
after, and a queue between them and a puller would either have no bound or lock up an `execute` that
waits for its thread. So whatever thread answers packs and sends its answer itself, one at a time under
a lock, and waits itself while the front has granted nothing: a slow reader stops the model, wherever
that is. The serving thread takes no other batch meanwhile: one stream at a time in each instance.

Of the channel only what concerns the stream may come meanwhile (CREDIT, CANCEL, and the end of
borrowed memory); it is looked for before an answer, at most once a millisecond, and during each wait.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.runtimes.contract import Array, EngineBroken, StreamEnded, StreamingModel
from gateway.runtimes.tracebacks import Tracebacks
from gateway.workers.frames import STREAM_WINDOW_BYTES, ProtocolViolation
from gateway.workers.transport import FrontGone

# How often a wait looks at what another thread may have heard.
_LOOK_MS = 50
# How often a model that answers without a pause hears what has come, and is seen to get on: to ask for
# each answer whether something has would cost as much as to send it.
_HEAR_NS = 1_000_000


class Channel(Protocol):
    """The data channel, as a stream on it needs it."""

    def fileno(self) -> int:
        """To wait for."""

    def hear(self, batch: int) -> tuple[int, bool]:
        """Takes all that has come: how many bytes were granted, and whether the batch was cancelled."""

    def send_part(self, batch: int, results: Sequence[Array], *, is_last: bool) -> int:
        """Sends one answer; what of the window it took."""

    def send_fault(self, batch: int, error: Exception) -> int:
        """Sends an error in place of one answer; what of the window it took."""


class PartStream:
    """Implements contract.Responses. Invariant: `fault` is what the channel raised, and then it is over.

    Over it is too once `is_cancelled`, once the last answer has been sent (`has_ended`), and once it is
    closed: then nothing is sent any more, whichever thread may still be at it. After the last answer nothing
    is heard either: what comes then is the next batch, whatever the model is still doing.
    """

    def __init__(
        self, channel: Channel, batch: int, on_progress: Callable[[], None], now_ns: Callable[[], int]
    ) -> None:
        self._channel = channel
        self._batch = batch
        self._on_progress = on_progress
        self._now_ns = now_ns
        self._hear_at = 0
        # Of a kind that its holder may take again: a collection amid `send` may drop what calls `finish`.
        self._lock = threading.RLock()
        self._window = STREAM_WINDOW_BYTES
        self._is_cancelled = False
        self._is_closed = False
        self._finished = threading.Event()
        self._error: Exception | None = None
        self._wakeup = -1
        self.has_ended = False
        self.fault: Exception | None = None

    def run(
        self,
        model: StreamingModel,
        inputs: Sequence[Array],
        outputs: Sequence[int],
        rows: int,
        late: Tracebacks,
    ) -> None:
        """Has `model` answer; what it raises after its last answer nobody can be told: it goes to `late`."""
        try:
            model.stream(inputs, outputs, rows, self)
        except StreamEnded:
            return
        except (EngineBroken, FrontGone, ProtocolViolation):
            raise
        except Exception as error:
            if not self.has_ended:
                raise
            late.write(error)

    def send(self, results: Sequence[Array], *, is_last: bool = False) -> None:
        """See contract.Responses."""
        while not self._try_send(results, None, is_last=is_last):
            self._wait(-1)

    def fail(self, error: Exception) -> None:
        """See contract.Responses."""
        while not self._try_send((), error, is_last=False):
            self._wait(-1)

    def is_cancelled(self) -> bool:
        """See contract.Responses."""
        with self._lock:
            self._hear()
            return self._is_over

    def finish(self, error: Exception | None = None) -> None:
        """See contract.Responses."""
        with self._lock:
            if not self._finished.is_set():
                self._error = error
                self._finished.set()
                if self._wakeup >= 0:
                    os.eventfd_write(self._wakeup, 1)

    def wait_until_finished(self) -> None:
        """See contract.Responses."""
        with self._lock:
            self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        while not self._finished.is_set():
            self._wait(self._wakeup)
            with self._lock:
                self._hear()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Must be called before the channel is used for anything else."""
        with self._lock:
            self._is_closed = True
            if self._wakeup >= 0:
                os.close(self._wakeup)
                self._wakeup = -1

    @property
    def _is_over(self) -> bool:
        return self._is_cancelled or self._is_closed or self.has_ended or self.fault is not None

    def _try_send(self, results: Sequence[Array], error: Exception | None, *, is_last: bool) -> bool:
        """False where the front must grant more first; raises as `send`."""
        with self._lock:
            if self._window <= 0 or self._now_ns() >= self._hear_at:
                self._hear()
                self._on_progress()
            if self._is_over:
                raise StreamEnded
            if self._window <= 0:
                return False
            try:
                if error is None:
                    self._window -= self._channel.send_part(self._batch, results, is_last=is_last)
                else:
                    self._window -= self._channel.send_fault(self._batch, error)
            except (FrontGone, ProtocolViolation) as fault:
                self.fault = fault
                raise StreamEnded from None
            self.has_ended = is_last
            return True

    def _hear(self) -> None:
        """With the lock held."""
        if self._is_closed or self.has_ended or self.fault is not None:
            return
        try:
            granted, was_cancelled = self._channel.hear(self._batch)
        except (FrontGone, ProtocolViolation) as fault:
            self.fault = fault
            return
        self._hear_at = self._now_ns() + _HEAR_NS
        self._window += granted
        self._is_cancelled = self._is_cancelled or was_cancelled

    def _wait(self, wakeup: int) -> None:
        """Until the front says something, `wakeup` does, or it is time to look."""
        if self.fault is not None:
            threading.Event().wait(_LOOK_MS / 1000)  # its descriptor is readable for ever
            return
        poll = select.poll()
        if not self.has_ended:  # else the next batch may lie there, and nobody takes it now
            poll.register(self._channel.fileno(), select.POLLIN)
        if wakeup >= 0:
            poll.register(wakeup, select.POLLIN)
        else:
            self._on_progress()  # the reader keeps the model waiting: it does not hang
        poll.poll(_LOOK_MS)
