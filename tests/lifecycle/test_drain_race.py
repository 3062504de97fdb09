"""Requests that arrive while a version drains: the controller and two fronts, with slow wires between them.

Everything but sockets and workers is real: lifecycle here, catalogue, instances, pipeline and queues there.
Chance decides which message arrives next; those of one wire keep their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from gateway.control.messages import (
    Activate,
    Attach,
    Detach,
    Detached,
    FromFront,
    ModelView,
    Snapshot,
    ToFront,
)
from gateway.core.errors import GatewayError
from gateway.core.messages import InferResponse
from gateway.core.model import ModelKey, ModelSpec
from gateway.lifecycle.manager import Lifecycle
from gateway.lifecycle.offers import Offer
from gateway.lifecycle.version import Version
from gateway.pipeline.catalogue import Catalogue
from gateway.pipeline.instances import Instances
from gateway.pipeline.pipeline import Pipeline
from gateway.scheduling.poison import PoisonList
from gateway.scheduling.queue import ModelQueue
from gateway.scheduling.settings import SchedulingSettings
from gateway.telemetry.executions import Executions
from tests.fakes.links import FakeLink
from tests.fakes.loop import FakeClock, FakeLoop
from tests.fakes.specs import doubling_spec, row_request
from tests.fakes.worlds import FakeWorker, World, catalogue

KEY = ModelKey("double", 1)
FRONTS = 2


class Front:
    """A real data plane without sockets."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.loop = FakeLoop(self.clock)
        self.settings = SchedulingSettings()
        self.inbox: deque[ToFront] = deque()
        self.outbox: deque[FromFront] = deque()
        self.links: dict[int, FakeLink] = {}
        self.catalogue = Catalogue(1000, 60.0)
        self.instances = Instances(self.catalogue, self._queue, self.clock, self.outbox.append)
        self.pipeline = Pipeline(
            *(self.catalogue, self.settings, self.clock, lambda record: None, self.outbox.append),
            lambda model, keys, counted: None,
        )
        self.asked = 0
        self.got: list[InferResponse | GatewayError] = []

    def _queue(self, spec: ModelSpec, events: Instances) -> ModelQueue:
        executions = Executions(spec.name, spec.version, self.clock)
        return ModelQueue(spec, self.settings, self.loop, self.clock, PoisonList(1.0), events, executions)

    def ask(self) -> None:
        self.asked += 1
        self.pipeline.infer(row_request(1.0), self.got.append)
        self.loop.turn()

    def hear(self) -> None:
        """The next message of the controller."""
        match self.inbox.popleft():
            case Snapshot() as step:
                self.instances.apply(step)
            case Attach(worker=worker, key=key):
                queue = self.instances.queue_for(key)
                assert queue is not None
                self.links[worker] = FakeLink(worker, queue)
                self.instances.attach(key, self.links[worker])
            case Detach(worker=worker):
                self.instances.detach(worker)
        self.loop.turn()

    def answer(self, rng: Random) -> None:
        """One batch that a worker has is done."""
        busy = [link for link in self.links.values() if link.sent and not link.is_closed]
        if busy:
            rng.choice(busy).double()
            self.loop.turn()
        self.instances.sweep()
        self.loop.turn()


class Wires:
    """The fronts as the lifecycle holds them."""

    def __init__(self, fronts: list[Front]) -> None:
        self.fronts = fronts
        self.number = 0
        self.detaching: dict[int, tuple[set[int], Callable[[], None]]] = {}
        self.attached: dict[int, ModelKey] = {}

    def publish(self, changed: tuple[ModelView, ...], removed: tuple[str, ...] = ()) -> None:
        self.number += 1
        for front in self.fronts:
            front.inbox.append(Snapshot(self.number, changed, removed))

    def attach(self, worker: FakeWorker, key: ModelKey, inline: bytes = b"") -> None:
        self.attached[worker.id] = key
        for front in self.fronts:
            front.inbox.append(Attach(worker.id, 1, key))

    def detach(self, worker: int, on_detached: Callable[[], None]) -> None:
        del self.attached[worker]
        for front in self.fronts:
            front.inbox.append(Detach(worker))
        self.detaching[worker] = set(range(len(self.fronts))), on_detached

    def forget(self, worker: int) -> None:
        self.attached.pop(worker, None)
        self.detaching.pop(worker, None)

    def detached(self, front: int, worker: int) -> None:
        if worker in self.detaching:
            waiting, then = self.detaching[worker]
            waiting.discard(front)
            if not waiting:
                del self.detaching[worker]
                then()


class Bench:
    """All of it, and chance."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.world = World()
        self.fronts = [Front() for _ in range(FRONTS)]
        self.wires = Wires(self.fronts)
        means = self.world.means._replace(connections=self.wires)
        self.lifecycle = Lifecycle(means, self.wires)
        spec = doubling_spec(version=1)
        offered = Offer(spec, "/models/double/1", "a", "x:Y", max_batch_known=True)
        self.lifecycle.reconcile(catalogue(msgspec.structs.replace(offered)))
        self.releases = 0

    @property
    def version(self) -> Version:
        return self.lifecycle._versions[KEY]

    def hear(self, number: int) -> None:
        """The next message of a front."""
        match self.fronts[number].outbox.popleft():
            case Activate(key, wait_s):
                self.lifecycle.on_activate(key, wait_s)
            case Detached(worker):
                self.wires.detached(number, worker)

    def work(self) -> None:
        """A worker does what it was told."""
        if alive := self.world.workers.alive:
            worker = self.rng.choice(alive)
            if worker.orders:
                worker.dies(0)
            elif not getattr(worker, "has_loaded", False):
                worker.has_loaded = True
                worker.loads()

    def step(self) -> None:
        number = self.rng.randrange(FRONTS)
        front = self.fronts[number]
        steps: dict[str, Any] = {"work": self.work, "answer": lambda: front.answer(self.rng)}
        if front.inbox:
            steps["to front"] = front.hear
        if front.outbox:
            steps["to controller"] = lambda: self.hear(number)
        self.rng.choice(list(steps.values()))()

    def settle(self) -> None:
        """Until nothing is on its way."""
        for _ in range(10_000):
            is_quiet = not any(front.inbox or front.outbox for front in self.fronts)
            is_done = all(len(front.got) == front.asked for front in self.fronts)
            if is_quiet and is_done:
                return
            self.step()
        raise AssertionError("a request is lost")


@pytest.mark.parametrize("seed", range(4))
def test_no_request_is_lost_in_thousands_of_drains(seed: int) -> None:
    """10,000 drains of a version that serves, with requests before, in the middle and after."""
    bench = Bench(seed)
    for front in bench.fronts:
        front.hear()
    while bench.releases < 2500:
        for _ in range(bench.rng.randrange(12)):
            if bench.rng.random() < 0.4:
                bench.rng.choice(bench.fronts).ask()
            bench.step()
        bench.releases += bench.version.ready
        bench.version.scale_to(0)
        bench.lifecycle.check()
    bench.settle()
    answers = [answer for front in bench.fronts for answer in front.got]
    assert len(answers) > 5000
    assert [one for one in answers if isinstance(one, GatewayError)] == []
    assert len(bench.world.workers.made) < bench.releases, "some drains were turned back"
