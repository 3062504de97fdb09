"""What a version works with: workers, fronts, time, chance, and somebody to tell; all of it injected."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol

import msgspec

from gateway.core.clock import Clock
from gateway.core.device import Device, Seat
from gateway.core.model import ModelKey
from gateway.core.placement import Place
from gateway.lifecycle.facts import Tell
from gateway.lifecycle.offers import Offer
from gateway.workers.handle import Exit
from gateway.workers.messages import Told, ToWorker
from gateway.workers.settings import WorkerSettings


class Worker(Protocol):
    """A worker as a version holds it."""

    @property
    def id(self) -> int: ...

    @property
    def pid(self) -> int | None: ...

    def send(self, message: ToWorker, fds: tuple[int, ...] = ()) -> None: ...

    def hand_over(self, on_message: Callable[[Told], None], on_exit: Callable[[Exit], None], /) -> None: ...

    def stop(self, grace_s: float) -> None: ...

    def terminate(self, reason: str = "") -> None: ...

    def kill(self, reason: str = "") -> None: ...


class Workers(Protocol):
    """Makes workers."""

    def spawn(
        self,
        on_message: Callable[[Told], None],
        on_exit: Callable[[Exit], None],
        seat: Seat,
        /,
    ) -> Worker: ...


class Connections(Protocol):
    """Connects workers to fronts."""

    def attach(self, worker: Worker, key: ModelKey, inline: bytes = b"") -> None: ...

    def detach(self, worker: int, on_detached: Callable[[], None]) -> None: ...

    def forget(self, worker: int) -> None: ...


class Ask(msgspec.Struct, frozen=True):
    """An instance that wants a place: on what, and how much memory it is thought to need (0 unknown).

    `is_urgent`: no instance of its version serves. `is_shared`: it is to have a shared worker, or one of
    its own; None leaves that to the device. `least_bytes` it takes, whatever is measured; `weight` turns it
    has for one of another model; `environment` as Seat has it. `prefers` is the device its weights sleep on.
    """

    key: ModelKey
    place: Place
    is_urgent: bool
    needs_bytes: int = 0
    pinned: bool = False
    is_shared: bool | None = False
    least_bytes: int = 0
    weight: int = 1
    environment: str = ""
    prefers: str = ""


class Grant(msgspec.Struct, frozen=True):
    """A place: memory reserved on a device, and what worker to load in."""

    device: Device
    seat: Seat
    reserved_bytes: int = 0


class Asleep(NamedTuple):
    """What a version that nobody is served from has on a device; `is_there`: it has it already."""

    key: ModelKey
    device: str
    size_bytes: int
    is_there: bool = False


class Places(Protocol):
    """Memory and load slots of the devices, by ticket."""

    def new_ticket(self) -> int:
        """A name for one instance's stay."""

    def enter(
        self,
        ticket: int,
        ask: Ask,
        start: Callable[[Grant], None],
        refuse: Callable[[str], None],
        evict: Callable[[], None],
    ) -> None:
        """Calls `start`, perhaps before returning, when it may load, or `refuse` where it cannot be.

        `evict` is called where it was loaded and is to make room: it must leave soon.
        """

    def loaded(self, ticket: int, measured_bytes: int | None) -> int | None:
        """It has loaded: the next may load. It was measured to take so much, None where nobody knows.

        Returns what is believed of that.
        """

    def failed_for_memory(self, ticket: int) -> bool:
        """There was less memory than thought; true where it is worth another try, once."""

    def keep(self, ticket: int, asleep: Asleep, evict: Callable[[], None]) -> bool:
        """It sleeps, or is about to, and takes so much from now on; false where there is no room for that.

        Nobody is put out for it. `evict` is called where it is to make room: it must leave soon.
        """

    def leaving(self, ticket: int) -> None:
        """It is being stopped; what it has is not free before `leave`."""

    def leave(self, ticket: int) -> None:
        """It is gone, or never came; harmless when repeated."""

    @property
    def running(self) -> int:
        """Loads under way."""

    @property
    def waiting(self) -> int:
        """Those that wait for a place."""

    def check(self) -> None:
        """Asserts the invariants."""


class Predicting(Protocol):
    """What instances need of memory, in bytes."""

    def of(self, offer: Offer, is_shared: bool, /) -> int:
        """What one is thought to need."""

    def learn(self, offer: Offer, is_shared: bool, measured_bytes: int | None, /) -> None:
        """One has taken so much; None where nobody measured."""


class Fetching(Protocol):
    """Brings files of versions that are not local, or not to be had as they are."""

    def takes_time(self, offer: Offer, /) -> bool:
        """False where the offer's own folder is there to be loaded from."""

    def fetch(self, offer: Offer, on_done: Callable[[str, str], None], /) -> Callable[[], None]:
        """Calls back once, after returning: the local folder and "", or "" and a reason.

        Returns what stops it.
        """

    def release(self, path: str, /) -> None:
        """Whoever fetched it does not need the folder any more."""


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """Makes things happen later (an asyncio loop does)."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer: ...


class Means(NamedTuple):
    """What every version works with."""

    settings: WorkerSettings
    workers: Workers
    connections: Connections
    places: Places
    fetching: Fetching
    predictions: Predicting
    timers: Timers
    clock: Clock
    rng: Random
    tell: Tell
