"""Everything a lifecycle needs, without processes and without time: workers, fronts, timers, a clock."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from random import Random

from gateway.control.messages import ModelView
from gateway.core.device import Seat
from gateway.core.dtypes import DType
from gateway.core.model import ModelKey, ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.lifecycle.facts import Fact
from gateway.lifecycle.manager import Lifecycle
from gateway.lifecycle.means import Means
from gateway.lifecycle.offers import Catalogue, Offer
from gateway.lifecycle.predictions import Predictions
from gateway.lifecycle.version import Version
from gateway.workers.handle import Exit
from gateway.workers.messages import (
    Asleep,
    Load,
    Loaded,
    LoadFailed,
    Progress,
    Sleep,
    Told,
    ToWorker,
    Wake,
)
from gateway.workers.settings import WorkerSettings
from tests.fakes.places import FakePlaces


class FakeTimer:
    """A timer that can be called off."""

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeTime:
    """A clock and its timers; moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[FakeTimer] = []

    def clock(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> FakeTimer:
        timer = FakeTimer(self.now + delay, callback)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Lets time pass and everything due happen, in order."""
        end = self.now + seconds
        while due := [timer for timer in self.pending() if timer.at <= end]:
            timer = min(due, key=lambda one: one.at)
            self.timers.remove(timer)
            self.now = max(self.now, timer.at)
            timer.callback()
        self.now = end

    def pending(self) -> list[FakeTimer]:
        return [timer for timer in self.timers if not timer.cancelled]


class FakeWorker:
    """A worker that does what the test says."""

    def __init__(
        self,
        worker_id: int,
        on_message: Callable[[Told], None],
        on_exit: Callable[[Exit], None],
        seat: Seat,
    ) -> None:
        self.can_sleep = False
        self.seat = seat
        self.id = worker_id
        self.on_message = on_message
        self.on_exit = on_exit
        self.sent: list[ToWorker] = []
        self.orders: list[str] = []
        self.is_alive = True

    def send(self, message: ToWorker, fds: tuple[int, ...] = ()) -> None:
        self.sent.append(message)

    def hand_over(self, on_message: Callable[[Told], None], on_exit: Callable[[Exit], None]) -> None:
        self.on_message, self.on_exit = on_message, on_exit

    def stop(self, grace_s: float) -> None:
        self.orders.append("stop")

    def terminate(self, reason: str = "") -> None:
        self.orders.append("terminate")

    def kill(self, reason: str = "") -> None:
        self.orders.append("kill")

    # ---- what the test makes it do ---------------------------------------------------------------

    @property
    def load(self) -> Load:
        (load,) = [message for message in self.sent if isinstance(message, Load)]
        return load

    def loads(self, note: str = "", memory_bytes: int | None = None) -> None:
        phase = "wake" if Wake() in self.sent else "session"
        self.on_message(Loaded(self.load.spec, {phase: 0.004}, note, memory_bytes, self.can_sleep))

    def sleeps(self, held: int | None = None, freed: int | None = None, error: str = "") -> None:
        assert isinstance(self.sent[-1], Sleep)
        self.on_message(Asleep(held, freed, error))

    def opens(self) -> None:
        self.on_message(Progress("warming"))

    def fails(self, reason: str = "no good", *, is_out_of_memory: bool = False) -> None:
        self.on_message(LoadFailed(reason, is_out_of_memory))

    def dies(self, code: int | None = -9, *, is_blameless: bool = False) -> None:
        assert self.is_alive
        self.is_alive = False
        self.on_exit(Exit(code, "", is_blameless))


class FakeWorkers:
    """Makes FakeWorkers and remembers them."""

    def __init__(self) -> None:
        self.made: list[FakeWorker] = []
        self._ids = count(1)

    def spawn(
        self,
        on_message: Callable[[Told], None],
        on_exit: Callable[[Exit], None],
        seat: Seat,
    ) -> FakeWorker:
        self.made.append(FakeWorker(next(self._ids), on_message, on_exit, seat))
        return self.made[-1]

    @property
    def alive(self) -> list[FakeWorker]:
        return [worker for worker in self.made if worker.is_alive]


class FakeFetching:
    """A store that brings what the test says, when it says."""

    def __init__(self) -> None:
        self.asked: list[Offer] = []
        self.open: list[Callable[[str, str], None]] = []
        self.released: list[str] = []

    def takes_time(self, offer: Offer) -> bool:
        return bool(offer.source)

    def fetch(self, offer: Offer, on_done: Callable[[str, str], None]) -> Callable[[], None]:
        self.asked.append(offer)
        self.open.append(on_done)
        return lambda: self.open.remove(on_done) if on_done in self.open else None

    def release(self, path: str) -> None:
        self.released.append(path)

    def done(self, path: str = "/cache/1", reason: str = "") -> None:
        self.open.pop(0)(path, reason)


class FakeFronts:
    """The fronts' side: the world they were told, the workers they can reach."""

    def __init__(self) -> None:
        self.world: dict[str, ModelView] = {}
        self.published: list[tuple[tuple[ModelView, ...], tuple[str, ...]]] = []
        self.attached: dict[int, ModelKey] = {}
        self.inline: dict[int, bytes] = {}
        self.detaching: dict[int, Callable[[], None]] = {}

    def publish(self, changed: tuple[ModelView, ...], removed: tuple[str, ...] = ()) -> None:
        self.published.append((changed, removed))
        for name in removed:
            self.world.pop(name, None)
        self.world.update((view.name, view) for view in changed)

    def attach(self, worker: FakeWorker, key: ModelKey, inline: bytes = b"") -> None:
        view = next(one for one in self.world[key.name].versions if one.version == key.version)
        assert view.spec is not None, "a front could not use it"
        self.attached[worker.id] = key
        self.inline[worker.id] = inline

    def detach(self, worker: int, on_detached: Callable[[], None]) -> None:
        del self.attached[worker]
        self.detaching[worker] = on_detached

    def forget(self, worker: int) -> None:
        self.attached.pop(worker, None)
        if on_detached := self.detaching.pop(worker, None):
            on_detached()

    def drained(self, worker: int) -> None:
        self.detaching.pop(worker)()

    def shown(self, name: str) -> list[tuple[int, str]]:
        """Versions and states of one model."""
        view = self.world.get(name)
        return [(one.version, one.state) for one in view.versions] if view else []


class Facts:
    """Remembers what telemetry was told."""

    def __init__(self) -> None:
        self.told: list[Fact] = []


def offer(name: str = "m", version: int = 1, *, instances: int = 1, fingerprint: str = "a") -> Offer:
    """A version a repository could offer."""
    tensor = TensorSpec("x", DType.FP32, (2,))
    spec = ModelSpec(name, version, "p", "b", (tensor,), (tensor,), instances=instances)
    return Offer(spec, f"/models/{name}/{version}", fingerprint, "x:Y")


def catalogue(*offers: Offer, broken: dict[str, str] | None = None) -> Catalogue:
    """What a look at the repository gives."""
    return Catalogue({one.key: one for one in offers}, broken or {})


class World:
    """One lifecycle with everything around it."""

    def __init__(self, **changed: object) -> None:
        self.time = FakeTime()
        self.workers = FakeWorkers()
        self.fronts = FakeFronts()
        self.facts = Facts()
        self.places = FakePlaces(2)
        self.fetching = FakeFetching()
        self.means = Means(
            WorkerSettings.model_validate(changed),
            self.workers,
            self.fronts,
            self.places,
            self.fetching,
            Predictions(),
            self.time,
            self.time.clock,
            Random(1),
            self.facts.told.append,
        )
        self.lifecycle = Lifecycle(self.means, self.fronts)
        self.key = offer().key

    @property
    def version(self) -> Version:
        return self.lifecycle._versions[self.key]

    def ready(self, instances: int = 1) -> list[FakeWorker]:
        """The model, offered, activated and loaded."""
        self.lifecycle.reconcile(catalogue(offer(instances=instances)))
        self.lifecycle.on_activate(self.key, 5.0)
        while len(self.fronts.attached) < instances:
            next(w for w in self.workers.alive if w.id not in self.fronts.attached).loads()
        self.lifecycle.check()
        return self.workers.alive

    def shown(self) -> str:
        view = self.fronts.world["m"].versions[0]
        return view.state
