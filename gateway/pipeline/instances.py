"""The instances this front can reach: attached and detached by the controller, lost when they die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.control.messages import Detached as DetachedMessage
from gateway.control.messages import FromFront, Snapshot, Suspect
from gateway.core.clock import Clock
from gateway.core.errors import GatewayError, ModelNotFound, ModelUnavailable
from gateway.core.model import ModelKey, ModelSpec
from gateway.pipeline.catalogue import Catalogue, VersionSlot
from gateway.scheduling.queue import ModelQueue
from gateway.workers.links import Link


class MakeQueue(Protocol):
    """How this front makes the queue of a version."""

    def __call__(self, spec: ModelSpec, events: Instances) -> ModelQueue: ...


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
        self._links: dict[int, tuple[Link, VersionSlot]] = {}

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
            self._fail_waiting(
                slot, ModelNotFound(f"Request for unknown model: '{slot.key.name}' is not found")
            )

    def _fail_waiting(self, slot: VersionSlot, error: GatewayError) -> None:
        slot.waiters.fail(error)
        if slot.queue is not None and slot.hot is None:
            slot.queue.fail_waiting(error)

    def queue_for(self, key: ModelKey) -> ModelQueue | None:
        """The queue an instance of `key` would serve; None where the version or its signature is unknown."""
        slot = self._catalogue.slot(key)
        if slot is None or slot.view.spec is None:
            return None
        if slot.queue is None:
            slot.queue = self._make_queue(slot.view.spec, self)
        return slot.queue

    def attach(self, key: ModelKey, link: Link) -> None:
        """An instance is there: its slot is hot, and whoever waited for it goes on."""
        slot = self._catalogue.slot(key)
        assert slot is not None, "made from queue_for"
        assert slot.queue is not None, "made from queue_for"
        self._links[link.worker_id] = (link, slot)
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
        link, slot = entry
        assert slot.queue is not None
        slot.queue.detach(worker_id, lambda: self._let_go(link, slot))
        self._cool(slot)

    def _let_go(self, link: Link, slot: VersionSlot) -> None:
        if self._links.pop(link.worker_id, None) is not None:
            link.close()
            self._tell(DetachedMessage(link.worker_id))

    def on_suspect(self, worker_id: int, reason: str) -> None:
        """A worker answered against its model's signature."""
        self._tell(Suspect(worker_id, reason))

    def on_lost(self, worker_id: int, reason: str) -> None:
        """A worker is gone; what it had runs again when its successor is attached."""
        entry = self._links.pop(worker_id, None)
        if entry is None:
            return
        link, slot = entry
        link.close()
        if reason:
            self._tell(Suspect(worker_id, reason))
        self._cool(slot)

    def _cool(self, slot: VersionSlot) -> None:
        if slot.hot is not None and not slot.hot.has_instances:
            slot.hot = None
            self._catalogue.resolve(slot.key.name, self._clock())

    def close(self) -> None:
        """Drops every link; for the end of the process."""
        for link, _ in self._links.values():
            link.close()
        self._links.clear()


def _unavailable(slot: VersionSlot) -> ModelUnavailable:
    return ModelUnavailable(
        f"model '{slot.key.name}' version {slot.key.version} cannot be loaded: "
        f"{slot.broken or slot.view.reason}",
        retry_after_s=max(slot.view.retry_in_s, 1.0),
    )
