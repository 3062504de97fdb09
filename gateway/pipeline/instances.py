"""The instances this front can reach: attached and detached by the controller, lost when they die.

The last instance of a version to be detached first takes what already waits in its queue: a request
that was accepted before a model was unloaded, or is loaded anew, is answered by what it was meant for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.control.messages import Detached as DetachedMessage
from gateway.control.messages import FromFront, Snapshot, Suspect
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, ModelLoading, ModelNotFound, ModelUnavailable
from gateway.core.model import ModelKey, ModelSpec
from gateway.pipeline.catalogue import Catalogue, VersionSlot
from gateway.scheduling.queues import Queue
from gateway.workers.links import Link

_ANEW = ModelLoading("the model is being loaded anew, as another one", retry_after_s=1.0)


class MakeQueue(Protocol):
    """How this front makes the queue of a version."""

    def __call__(self, spec: ModelSpec, events: Instances) -> Queue: ...


class _Attached(NamedTuple):
    link: Link
    slot: VersionSlot
    queue: Queue


class Instances:
    """Owns the links; keeps each slot's `hot` true to whether it has an instance.

    Told of by the controller (`apply`, `attach`, `detach`) and by the queues (`on_suspect`, `on_lost`).
    """

    def __init__(
        self, catalogue: Catalogue, make_queue: MakeQueue, clock: Clock, tell: Callable[[FromFront], None]
    ) -> None:
        self._catalogue = catalogue
        self._make_queue = make_queue
        self._clock = clock
        self._tell = tell
        self._links: dict[int, _Attached] = {}
        # Told to be detached, and not yet: they are the last of their queue, and requests wait in it.
        self._leaving: set[int] = set()

    def apply(self, snapshot: Snapshot) -> None:
        """Takes a step of the world over, and tells those who wait what it means for them."""
        now = self._clock()
        changed, gone = self._catalogue.apply(snapshot, now)
        for slot in changed:
            match slot.view.state:
                case "failed":
                    slot.is_asked_for = False
                    self._fail_waiting(slot, _unavailable(slot))
                case "absent":
                    slot.is_asked_for = False
        for slot in gone:
            self._fail_waiting(slot, self._gone(slot.key.name))

    def _fail_waiting(self, slot: VersionSlot, error: GatewayError) -> None:
        slot.waiters.fail(error)
        if slot.queue is not None and slot.hot is None:
            slot.queue.fail_waiting(error)

    def queue_for(self, key: ModelKey) -> Queue | None:
        """The queue an instance of `key` would serve; None where the version or its signature is unknown."""
        slot = self._catalogue.slot(key)
        if slot is None or slot.view.spec is None:
            return None
        if slot.queue is not None and slot.queue.spec != slot.view.spec:
            # It was loaded anew as something else: what still waits was checked against what it was.
            slot.queue.fail_waiting(_ANEW)
            slot.queue = slot.hot = None
        if slot.queue is None:
            slot.queue = self._make_queue(slot.view.spec, self)
        return slot.queue

    def attach(self, key: ModelKey, link: Link) -> None:
        """An instance is there: its slot is hot, and whoever waited for it goes on."""
        slot = self._catalogue.slot(key)
        assert slot is not None, "made from queue_for"
        assert slot.queue is not None, "made from queue_for"
        self._links[link.worker_id] = _Attached(link, slot, slot.queue)
        slot.queue.attach(link)
        slot.is_asked_for = False
        if slot.hot is None:
            slot.hot = slot.queue
            self._catalogue.resolve(key.name, self._clock())
        slot.waiters.release(self._clock())

    def detach(self, worker_id: int) -> None:
        """Nothing more goes to this instance; the controller hears when it has answered everything."""
        entry = self._links.get(worker_id)
        if entry is None:
            self._tell(DetachedMessage(worker_id))
            return
        self._leaving.add(worker_id)
        slot, queue = entry.slot, entry.queue
        is_last = not any(
            one.queue is queue for other, one in self._links.items() if other not in self._leaving
        )
        if is_last and slot.hot is queue:
            slot.hot = None
            self._catalogue.resolve(slot.key.name, self._clock())
        if not is_last or not queue.statistics().waiting:
            self._leave(worker_id)

    def sweep(self) -> None:
        """Must be called every few hundredths of a second while `is_leaving`."""
        for worker_id in tuple(self._leaving):
            if not self._links[worker_id].queue.statistics().waiting:
                self._leave(worker_id)

    @property
    def is_leaving(self) -> bool:
        """True while an instance takes what waits before it is detached."""
        return bool(self._leaving)

    def _leave(self, worker_id: int) -> None:
        self._leaving.discard(worker_id)
        entry = self._links[worker_id]
        entry.queue.detach(worker_id, lambda: self._let_go(entry))

    def _let_go(self, entry: _Attached) -> None:
        worker_id = entry.link.worker_id
        if self._links.pop(worker_id, None) is not None:
            entry.link.close()
            self._tell(DetachedMessage(worker_id))
        self._fail_stranded(entry)

    def _fail_stranded(self, entry: _Attached) -> None:
        """Nobody will come for what waits in the queue of a version that is gone, or is another now."""
        slot, queue = entry.slot, entry.queue
        if queue.has_instances:
            return
        if self._catalogue.slot(slot.key) is not slot:
            queue.fail_waiting(self._gone(slot.key.name))
        elif slot.queue is not queue:
            queue.fail_waiting(_ANEW)

    def _gone(self, name: str) -> ModelNotFound:
        what = "has no available versions" if self._catalogue.knows(name) else "is not found"
        return ModelNotFound(f"Request for unknown model: '{name}' {what}")

    def on_suspect(self, worker_id: int, reason: str) -> None:
        """A worker answered against its model's signature."""
        self._tell(Suspect(worker_id, reason))

    def on_lost(self, worker_id: int, reason: str) -> None:
        """A worker is gone; what it had runs again when its successor is attached."""
        self._leaving.discard(worker_id)
        entry = self._links.pop(worker_id, None)
        if entry is None:
            return
        entry.link.close()
        if reason:
            self._tell(Suspect(worker_id, reason))
        self._cool(entry.slot)
        self._fail_stranded(entry)

    def _cool(self, slot: VersionSlot) -> None:
        if slot.hot is not None and not slot.hot.has_instances:
            slot.hot = None
            self._catalogue.resolve(slot.key.name, self._clock())

    def close(self) -> None:
        """Drops every link; for the end of the process."""
        for entry in self._links.values():
            entry.link.close()
        self._links.clear()
        self._leaving.clear()


def _unavailable(slot: VersionSlot) -> ModelUnavailable:
    return ModelUnavailable(
        f"model '{slot.key.name}' version {slot.key.version} cannot be loaded: "
        f"{slot.broken or slot.view.reason}",
        retry_after_s=max(slot.view.retry_in_s, 1.0),
    )
