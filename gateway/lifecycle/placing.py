"""Places for instances: memory and load slots on devices, handed out in turn; makes room where it must.

DESIGN: one actor keeps the books of all devices. Whoever asks is granted memory and a slot of one device
together, so that nothing is promised twice; memory of an instance that is being stopped stays its own
until its worker is gone. Where there is no room, instances that nobody uses are put out, and what they
leave is kept for the one they were put out for: those behind it do not take from that device meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from itertools import count
from math import inf
from typing import NamedTuple

import msgspec

from gateway.core.clock import Clock
from gateway.core.device import CPU, Device, Usage
from gateway.core.model import ModelKey
from gateway.devices.inventory import Look
from gateway.devices.placement import NoRoom, Placement, Policy, Room, Want, candidates, place
from gateway.devices.reserve import Reserve
from gateway.devices.seats import seat_of
from gateway.lifecycle.books import Books, Entry, Stage
from gateway.lifecycle.eviction import Resident, choose
from gateway.lifecycle.facts import InstanceEvicted, Tell
from gateway.lifecycle.means import Ask, Asleep, Grant, Timer, Timers
from gateway.lifecycle.settings import MemorySettings
from gateway.lifecycle.turns import Turns, Waiter, in_order

# What did not fit although the books said so is taken to need so much more.
_DISTRUST = 2


# What a machine that tells nothing of its memory is taken to have: nothing is counted then.
_UNKNOWN_BYTES = 1 << 62


class Means(NamedTuple):
    """What a placer works with. `usage` tells how a version is used; `slots` are a device's."""

    settings: MemorySettings
    reserve: Reserve
    policy: Policy
    slots: int
    usage: Callable[[ModelKey], Usage]
    timers: Timers
    clock: Clock
    tell: Tell


class PlacingStatistics(msgspec.Struct, frozen=True):
    """Bytes by device and stage, capacities, and those that wait for room or a slot."""

    devices: tuple[Device, ...]
    capacities: Mapping[str, int]
    taken: Mapping[tuple[str, Stage], int]
    waiting: int
    running: int


class _Waiting:
    """One that has no place yet."""

    __slots__ = ("ask", "refuse", "start", "timer", "waiter")

    def __init__(
        self, ticket: int, ask: Ask, start: Callable[[Grant], None], refuse: Callable[[str], None]
    ) -> None:
        self.waiter = Waiter(ticket, ask.key.name, ask.is_urgent)
        self.ask = ask
        self.start = start
        self.refuse = refuse
        self.timer: Timer | None = None


class Placer:
    """Implements means.Places; `see` must be called before anything is placed, and now and then."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._look = Look((Device(),), {})
        self._tickets = count(1)
        # Invariant: a ticket waits or has an entry, never both; only those that load have a slot.
        self._waiting: dict[int, _Waiting] = {}
        self._books = Books()
        self._evict: dict[int, Callable[[], None]] = {}
        self._loading: dict[int, str] = {}
        self._beside: set[int] = set()  # of those: some began while another was at it on the same device
        self._turns = Turns()
        self._urgent_in_a_row = 0
        self._distrusted: dict[ModelKey, int] = {}
        self._is_handing_out = False

    # ---- what others see and say -----------------------------------------------------------------------

    @property
    def running(self) -> int:
        """See means.Places."""
        return len(self._loading)

    @property
    def waiting(self) -> int:
        """See means.Places."""
        return len(self._waiting)

    def statistics(self) -> PlacingStatistics:
        """How the books stand."""
        capacities = {one.id: self._capacity(one) for one in self._look.devices}
        taken = self._books.by_stage()
        return PlacingStatistics(self._look.devices, capacities, taken, self.waiting, self.running)

    def memory(self) -> Mapping[ModelKey, Mapping[str, int]]:
        """What the instances of each version have, by device."""
        found: dict[ModelKey, dict[str, int]] = {}
        for entry in self._books.tickets.values():
            there = found.setdefault(entry.key, {})
            there[entry.device] = there.get(entry.device, 0) + entry.size_bytes
        return found

    def see(self, look: Look) -> None:
        """Takes a new look over; instances on devices that are lost have to leave them."""
        self._look = look
        lost = {one.id for one in look.devices if not one.is_healthy}
        for device in lost:
            for ticket in (*self._books.on(device, "loaded"), *self._books.on(device, "asleep")):
                if ticket in self._evict:
                    self._evict[ticket]()
        self._hand_out()

    def check(self) -> None:
        """Asserts the invariants."""
        self._books.check()
        entries = self._books.tickets.keys()
        assert not self._waiting.keys() & entries
        assert self._evict.keys() == self._waiting.keys() | entries
        assert self._loading.keys() <= entries
        for device in self._look.devices:
            loading = sum(1 for one in self._loading.values() if one == device.id)
            assert loading <= self._means.slots, f"{loading} loads on {device.id}"

    def new_ticket(self) -> int:
        """See means.Places."""
        return next(self._tickets)

    def enter(
        self,
        ticket: int,
        ask: Ask,
        start: Callable[[Grant], None],
        refuse: Callable[[str], None],
        evict: Callable[[], None],
    ) -> None:
        """See means.Places."""
        needs_bytes = max(ask.needs_bytes, self._distrusted.pop(ask.key, 0))
        ask = msgspec.structs.replace(ask, needs_bytes=needs_bytes)
        self._waiting[ticket] = _Waiting(ticket, ask, start, refuse)
        self._evict[ticket] = evict
        self._hand_out()

    def loaded(self, ticket: int, measured_bytes: int | None) -> int | None:
        """See means.Places. What a GPU has free, all leave of it: it tells of loads that were alone."""
        device = self._loading.pop(ticket)
        is_believed = device == CPU or ticket not in self._beside
        self._beside.discard(ticket)
        believed = measured_bytes if is_believed else None
        entry = self._books[ticket]
        if believed is not None:
            believed = max(believed, entry.least_bytes)
        self._move(ticket, "loaded", entry.size_bytes if believed is None else believed)
        self._hand_out()
        return believed

    def failed_for_memory(self, ticket: int) -> bool:
        """See means.Places."""
        entry = self._books[ticket]
        self._distrusted[entry.key] = entry.size_bytes * _DISTRUST
        is_leaving = bool(self._books.on(entry.device, "leaving"))
        return self._make_room(entry.device, max(1, entry.size_bytes)) or is_leaving

    def keep(self, ticket: int, asleep: Asleep, evict: Callable[[], None]) -> bool:
        """See means.Places. Where it is used next is not this device's affair: others come first at once."""
        if not asleep.is_there and asleep.size_bytes > self._free_bytes(asleep.device):
            return False
        self._evict[ticket] = evict
        entry = Entry(asleep.key, asleep.device, asleep.size_bytes, "asleep", since=-inf)
        self._books.put(ticket, entry)
        self._hand_out()
        return True

    def leaving(self, ticket: int) -> None:
        """See means.Places."""
        self._ends_loading(ticket)
        self._move(ticket, "leaving", self._books[ticket].size_bytes)
        self._hand_out()

    def leave(self, ticket: int) -> None:
        """See means.Places."""
        if waiting := self._waiting.pop(ticket, None):
            _cancel(waiting)
        self._books.remove(ticket)
        self._evict.pop(ticket, None)
        self._ends_loading(ticket)
        self._hand_out()

    # ---- handing out -----------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        """Grants or refuses whatever can be; what is called may come back here, and is then in the loop."""
        if self._is_handing_out:
            return
        self._is_handing_out = True
        try:
            while self._hand_out_one():
                pass
        finally:
            self._is_handing_out = False

    def _hand_out_one(self) -> bool:
        """Looks through those that wait, the next first; true when one of them waits no more."""
        if not any(self._has_slot(device) for device in self._look.devices):
            return False
        waiters = [one.waiter for one in self._waiting.values()]
        rooms = self._rooms() if waiters else []
        kept_back: set[str] = set()  # devices on which room is being made for somebody
        for waiter in in_order(waiters, self._turns, self._urgent_in_a_row):
            waiting = self._waiting.get(waiter.ticket)
            if waiting is None:
                return True
            want = _want(waiting.ask, kept_back)
            found = place(want, rooms, self._means.policy)
            if isinstance(found, Placement):
                if self._has_slot(found.device):
                    self._grant(waiting, found.device)
                    return True
                continue
            want = _want(waiting.ask, ())
            if device := self._room_being_made(want, rooms):
                kept_back.add(device)
                rooms = self._rooms()
            elif self._refuse_or_wait(waiting, place(want, rooms, self._means.policy)):
                return True
        return False

    def _grant(self, waiting: _Waiting, device: Device) -> None:
        ticket, ask = waiting.waiter.ticket, waiting.ask
        del self._waiting[ticket]
        _cancel(waiting)
        self._turns.take(ask.key.name, ask.weight)
        self._urgent_in_a_row = self._urgent_in_a_row + 1 if ask.is_urgent else 0
        since, needs_bytes = self._means.clock(), ask.needs_bytes
        entry = Entry(ask.key, device.id, needs_bytes, "reserved", since, ask.pinned, ask.least_bytes)
        self._books.put(ticket, entry)
        self._begins_loading(ticket, device.id)
        has_gpus = bool(self._look.gpus)
        seat = seat_of(device, has_gpus=has_gpus, environment=ask.environment, is_shared=ask.is_shared)
        waiting.start(Grant(device, seat, ask.needs_bytes))

    def _room_being_made(self, want: Want, rooms: list[Room]) -> str:
        """The device on which there will be room soon, of which this sees to it; "" where there will not."""
        for room in sorted(candidates(want, rooms), key=lambda one: -one.free_bytes):
            if want.needs_bytes > room.most_bytes:
                continue
            leaving = self._books.bytes(room.device.id, "leaving")
            missing = want.needs_bytes - room.free_bytes - leaving
            if missing <= 0 or self._make_room(room.device.id, missing):
                return room.device.id
        return ""

    def _make_room(self, device: str, missing_bytes: int) -> bool:
        """Puts out instances that come to so much; false where that cannot be."""
        now = self._means.clock()
        with closing(self._books.oldest_first(device, self._used_at)) as tickets:
            residents = map(self._resident, tickets)
            chosen = choose(residents, missing_bytes, now, self._means.settings.minimum_residency_s)
        if chosen is None:
            return False
        for one in chosen:
            self._means.tell(InstanceEvicted(one.key, device, now - one.used_at))
            self._evict[one.ticket]()
        return True

    def _used_at(self, ticket: int) -> float:
        return self._resident(ticket).used_at

    def _resident(self, ticket: int) -> Resident:
        entry = self._books[ticket]
        used = self._means.usage(entry.key)
        return Resident(
            *(ticket, entry.key, entry.size_bytes, used.last_used_at, entry.since),
            used.in_flight,
            entry.pinned,
        )

    def _refuse_or_wait(self, waiting: _Waiting, found: Placement | NoRoom) -> bool:
        """Refuses what can never be; lets the rest wait for a while."""
        if isinstance(found, Placement):
            return False
        if not found.may_ever_fit:
            self._refuse(waiting, found.text)
            return True
        if waiting.timer is None:
            wait_s = self._means.settings.wait_for_room_s
            text = f"{found.text}, and there was no more room within {wait_s:g} s"
            waiting.timer = self._means.timers.call_later(wait_s, lambda: self._refuse(waiting, text))
        return False

    def _refuse(self, waiting: _Waiting, text: str) -> None:
        ticket = waiting.waiter.ticket
        if self._waiting.pop(ticket, None) is not None:
            _cancel(waiting)
            self._evict.pop(ticket)
            waiting.refuse(text)
            self._hand_out()

    def _begins_loading(self, ticket: int, device: str) -> None:
        others = [one for one, where in self._loading.items() if where == device]
        if others:
            self._beside.update((*others, ticket))
        self._loading[ticket] = device

    def _ends_loading(self, ticket: int) -> None:
        self._loading.pop(ticket, None)
        self._beside.discard(ticket)

    # ---- books -----------------------------------------------------------------------------------------

    def _move(self, ticket: int, stage: Stage, size_bytes: int) -> None:
        entry, since = self._books[ticket], self._means.clock()
        moved = msgspec.structs.replace(entry, stage=stage, size_bytes=size_bytes, since=since)
        self._books.put(ticket, moved)

    def _rooms(self) -> list[Room]:
        books = self._books
        return [
            Room(
                device,
                books.free_bytes(device.id, capacity, self._look.free_bytes.get(device.id)),
                books.models(device.id),
                books.instances(device.id),
                capacity,
            )
            for device in self._look.devices
            for capacity in (self._capacity(device),)
        ]

    def _free_bytes(self, device: str) -> int:
        """What may be promised of a device; 0 where there is no such one now."""
        return next((one.free_bytes for one in self._rooms() if one.device.id == device), 0)

    def _capacity(self, device: Device) -> int:
        """What models may have of it in all."""
        return self._means.reserve.usable_bytes(device) if device.memory_bytes else _UNKNOWN_BYTES

    def _has_slot(self, device: Device) -> bool:
        return sum(1 for one in self._loading.values() if one == device.id) < self._means.slots


def _want(ask: Ask, kept_back: Iterable[str]) -> Want:
    """What `ask` comes to, apart from others of its model: a version and its canary share no fate."""
    return Want(
        ask.needs_bytes,
        ask.place.kind,
        ask.place.device,
        not_on=frozenset(kept_back),
        apart_from=frozenset({ask.key.name}),
        prefers=ask.prefers,
    )


def _cancel(waiting: _Waiting) -> None:
    if waiting.timer:
        waiting.timer.cancel()
        waiting.timer = None
