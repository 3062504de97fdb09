"""What a link to a model instance looks like from the scheduler: batches in, answers out.

`channel.WorkerLink` reaches a worker process, `inline.InlineLink` runs the model in this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.workers.frames import Failure
from gateway.workers.plans import Signature

# Shape with the batch axis, and the row-major bytes.
Output = tuple[tuple[int, ...], Buffer]
# Nanoseconds before, in and after the engine, as the worker measured them.
Timings = tuple[int, int, int]


class Fault(NamedTuple):
    """What stands in place of one answer of a decoupled model; `text` is one line for the caller."""

    failure: Failure
    text: str


class Link(Protocol):
    """One instance, as a front uses it."""

    @property
    def worker_id(self) -> int:
        """The number of the worker, for messages to the controller."""

    @property
    def in_flight(self) -> int:
        """Batches sent and not answered."""

    def send(self, batch_id: int, rows: int, signature: Signature, parts: Sequence[Sequence[Buffer]]) -> None:
        """Runs a batch; exactly one of the listener's on_reply, on_error, on_lost follows for it.

        `parts` has for each input the buffers (of bytes) that make it up, in row order; they are not
        needed after the call except where they lie in the arena: then a hold on their lease is taken
        until the answer. `batch_id` must not be in flight. Raises, with nothing sent, Overloaded where
        there is no shared memory or the worker does not read, InstanceDied after on_lost or `close`.
        """

    def grant(self, batch_id: int, size: int) -> None:
        """Lets the worker send `size` more bytes of a stream's parts, as `frames.part_cost` counts."""

    def limit(self, batch_id: int, timeout_s: float) -> None:
        """Tells the worker how long the batch sent next may take; must be for a model with a concurrency."""

    def stop(self, batch_id: int) -> None:
        """Asks the worker to end a batch that nobody waits for (a stream, or one of many at the same
        time); its end is still told."""

    def close(self) -> None:
        """Drops the link; answers to batches in flight never come, and on_lost is not called."""


class CallEnd(Protocol):
    """A front's end of a channel for calls, beside a link."""

    def close(self) -> None:
        """Must be called when the link has ended."""


class LinkListener(Protocol):
    """Whoever sends batches. Called from the event loop; may call `send` and `close` of the link."""

    def on_reply(
        self,
        link: Link,
        batch_id: int,
        outputs: tuple[Output, ...],
        timings_ns: Timings,
        lease: Lease | None,
    ) -> None:
        """A batch's outputs, checked, in the order asked for.

        `lease`, where there is one, holds the shared memory that some outputs lie in: it has one hold,
        which is the listener's to release.
        """

    def on_part(
        self, link: Link, batch_id: int, part: tuple[Output, ...] | Fault, cost: int, lease: Lease | None
    ) -> None:
        """One of the answers of a decoupled model, like those of `on_reply`; the batch goes on.

        `cost` is what it has taken of what was granted.
        """

    def on_end(self, link: Link, batch_id: int, infer_ns: int) -> None:
        """A decoupled model has given all its answers to a batch."""

    def on_error(self, link: Link, batch_id: int, failure: Failure, text: str, wait_s: float = 0.0) -> None:
        """A batch has no outputs; `text` is one line for the caller. The link stays usable.

        `wait_s` is when to ask again, where the instance knows; else 0.
        """

    def on_state(self, link: Link, trouble: str) -> None:
        """Why the instance cannot answer now, "" where it can; said when that changes."""

    def on_suspect(self, link: Link, reason: str) -> None:
        """The worker answered against its model's signature: it should be replaced."""

    def on_lost(self, link: Link, reason: str, batch_ids: tuple[int, ...]) -> None:
        """The worker is gone, or broke the protocol; these batches were not answered. Called once."""
