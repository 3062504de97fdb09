"""Places for instances: memory and load slots on devices, handed out in turn; makes room where it must.

DESIGN: one actor keeps the books of all devices. Whoever asks is granted memory and a slot of one device
together, so that nothing is promised twice; memory of an instance that is being stopped stays its own
until its worker is gone. Where there is no room, instances that nobody uses are put out, and what they
leave is kept for the one they were put out for: those behind it do not take from that device meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count

import msgspec

from gateway.core.clock import Clock
from gateway.core.device import CPU, Device, Seat, Usage
from gateway.core.model import ModelKey
from gateway.devices.inventory import Sight
from gateway.devices.placement import NoRoom, Placement, Room, place, want_of
from gateway.devices.settings import DeviceSettings
from gateway.lifecycle.books import Entry, Stage, by_stage, free_bytes
from gateway.lifecycle.eviction import Resident, choose
from gateway.lifecycle.facts import InstanceEvicted, Tell
from gateway.lifecycle.means import Ask, Grant, Timer, Timers
from gateway.lifecycle.turns import Waiter, in_order

# What did not fit although the books said so is taken to need so much more.
_DISTRUST = 2


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
    """Implements means.Places; `usage` tells how a version is used, `see` must be called now and then."""

    def __init__(
        self,
        settings: DeviceSettings,
        slots: int,
        usage: Callable[[ModelKey], Usage],
        timers: Timers,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._usage = usage
        self._timers = timers
        self._clock = clock
        self._tell = tell
        self._sight = Sight((Device(),), {})
        self._tickets = count(1)
        # Invariant: a ticket waits or has an entry, never both; only those that load have a slot.
        self._waiting: dict[int, _Waiting] = {}
        self._entries: dict[int, Entry] = {}
        self._evict: dict[int, Callable[[], None]] = {}
        self._loading: dict[int, str] = {}
        self._last_turns: dict[str, int] = {}
        self._turns = count(1)
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
        capacities = {one.id: self._capacity(one) for one in self._sight.devices}
        taken = by_stage(self._entries.values())
        return PlacingStatistics(self._sight.devices, capacities, taken, self.waiting, self.running)

    def see(self, sight: Sight) -> None:
        """Takes a new look over; instances on devices that are lost have to leave them."""
        self._sight = sight
        lost = {one.id for one in sight.devices if not one.is_healthy}
        for ticket, entry in tuple(self._entries.items()):
            if entry.device in lost and entry.stage == "loaded" and ticket in self._evict:
                self._evict[ticket]()
        self._hand_out()

    def check(self) -> None:
        """Asserts the invariants."""
        assert not self._waiting.keys() & self._entries.keys()
        assert self._evict.keys() == self._waiting.keys() | self._entries.keys()
        assert self._loading.keys() <= self._entries.keys()
        for device in self._sight.devices:
            loading = sum(1 for one in self._loading.values() if one == device.id)
            assert loading <= self._slots, f"{loading} loads on {device.id}"

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

    def loaded(self, ticket: int, measured_bytes: int) -> None:
        """See means.Places. What a worker measures is the host's memory, and says nothing of a GPU's."""
        device = self._loading.pop(ticket)
        entry = self._entries[ticket]
        size_bytes = measured_bytes if measured_bytes and device == CPU else entry.size_bytes
        self._move(ticket, "loaded", size_bytes)
        self._hand_out()

    def failed_for_memory(self, ticket: int) -> bool:
        """See means.Places."""
        entry = self._entries[ticket]
        self._distrusted[entry.key] = entry.size_bytes * _DISTRUST
        is_leaving = any(
            one.stage == "leaving" and one.device == entry.device for one in self._entries.values()
        )
        return self._make_room(entry.device, max(1, entry.size_bytes)) or is_leaving

    def leaving(self, ticket: int) -> None:
        """See means.Places."""
        self._loading.pop(ticket, None)
        self._move(ticket, "leaving", self._entries[ticket].size_bytes)
        self._hand_out()

    def leave(self, ticket: int) -> None:
        """See means.Places."""
        if waiting := self._waiting.pop(ticket, None):
            _cancel(waiting)
        self._entries.pop(ticket, None)
        self._evict.pop(ticket, None)
        self._loading.pop(ticket, None)
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
        if not any(self._has_slot(device) for device in self._sight.devices):
            return False
        waiters = [one.waiter for one in self._waiting.values()]
        rooms = self._rooms() if waiters else []
        kept_back: set[str] = set()  # devices on which room is being made for somebody
        for waiter in in_order(waiters, self._last_turns, self._urgent_in_a_row):
            waiting = self._waiting.get(waiter.ticket)
            if waiting is None:
                return True
            want = want_of(waiter.model, waiting.ask.place, waiting.ask.needs_bytes)
            found = place(want, rooms, self._settings.placement, kept_back)
            if isinstance(found, Placement):
                if self._has_slot(found.device):
                    self._grant(waiting, found.device)
                    return True
                continue
            if not found.devices and kept_back:
                continue
            if device := self._room_being_made(found, rooms):
                kept_back.add(device)
                rooms = self._rooms()
            elif self._refuse_or_wait(waiting, found):
                return True
        return False

    def _grant(self, waiting: _Waiting, device: Device) -> None:
        ticket, ask = waiting.waiter.ticket, waiting.ask
        del self._waiting[ticket]
        _cancel(waiting)
        self._last_turns[ask.key.name] = next(self._turns)
        self._urgent_in_a_row = self._urgent_in_a_row + 1 if ask.is_urgent else 0
        self._entries[ticket] = Entry(
            ask.key, device.id, ask.needs_bytes, "reserved", self._clock(), ask.pinned
        )
        self._loading[ticket] = device.id
        waiting.start(Grant(device, seat_of(device), ask.needs_bytes))

    def _room_being_made(self, lacking: NoRoom, rooms: list[Room]) -> str:
        """The device on which there will be room soon, of which this sees to it; "" where there will not."""
        by_device = {room.device.id: room for room in rooms}
        for device in lacking.devices:
            room = by_device[device.id]
            if lacking.needs_bytes > room.capacity_bytes:
                continue
            leaving = sum(
                one.size_bytes
                for one in self._entries.values()
                if one.device == device.id and one.stage == "leaving"
            )
            missing = lacking.needs_bytes - room.free_bytes - leaving
            if missing <= 0 or self._make_room(device.id, missing):
                return device.id
        return ""

    def _make_room(self, device: str, missing_bytes: int) -> bool:
        """Puts out instances that come to so much; false where that cannot be."""
        now = self._clock()
        residents = [
            self._resident(ticket, entry)
            for ticket, entry in self._entries.items()
            if entry.device == device and entry.stage == "loaded"
        ]
        chosen = choose(residents, missing_bytes, now, self._settings.minimum_residency_s)
        if chosen is None:
            return False
        for one in chosen:
            self._tell(InstanceEvicted(one.key, device, now - max(one.last_used_at, one.loaded_at)))
            self._evict[one.ticket]()
        return True

    def _resident(self, ticket: int, entry: Entry) -> Resident:
        used = self._usage(entry.key)
        return Resident(
            *(ticket, entry.key, entry.size_bytes, used.last_used_at, entry.since),
            used.in_flight,
            entry.pinned,
        )

    def _refuse_or_wait(self, waiting: _Waiting, lacking: NoRoom) -> bool:
        """Refuses what can never be; lets the rest wait for a while."""
        if not lacking.may_ever_fit:
            self._refuse(waiting, str(lacking))
            return True
        if waiting.timer is None:
            wait_s = self._settings.wait_for_room_s
            text = f"{lacking} after {wait_s:g} s"
            waiting.timer = self._timers.call_later(wait_s, lambda: self._refuse(waiting, text))
        return False

    def _refuse(self, waiting: _Waiting, text: str) -> None:
        ticket = waiting.waiter.ticket
        if self._waiting.pop(ticket, None) is not None:
            _cancel(waiting)
            self._evict.pop(ticket)
            waiting.refuse(text)
            self._hand_out()

    # ---- books -----------------------------------------------------------------------------------------

    def _move(self, ticket: int, stage: Stage, size_bytes: int) -> None:
        self._entries[ticket] = msgspec.structs.replace(
            self._entries[ticket], stage=stage, size_bytes=size_bytes, since=self._clock()
        )

    def _rooms(self) -> list[Room]:
        entries = self._entries.values()
        return [
            Room(
                device,
                capacity := self._capacity(device),
                free_bytes(entries, device.id, capacity, self._sight.free_bytes.get(device.id)),
                tuple(one.key.name for one in entries if one.device == device.id),
            )
            for device in self._sight.devices
        ]

    def _capacity(self, device: Device) -> int:
        """What models may have of it in all; 0 where nobody counts."""
        settings = self._settings
        if device.kind != "cpu":
            return int(device.memory_bytes * settings.gpu_memory_fraction)
        return settings.host_memory_bytes or int(device.memory_bytes * settings.host_memory_fraction)

    def _has_slot(self, device: Device) -> bool:
        return sum(1 for one in self._loading.values() if one == device.id) < self._slots


def seat_of(device: Device) -> Seat:
    """The worker for an instance there: it sees that device and no other GPU."""
    return Seat(device.id)


def _cancel(waiting: _Waiting) -> None:
    if waiting.timer:
        waiting.timer.cancel()
        waiting.timer = None
