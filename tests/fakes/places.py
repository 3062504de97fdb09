"""Places without devices: a number of load slots, first come first served, and memory without end."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from gateway.core.device import Device, Seat
from gateway.lifecycle.means import Ask, Asleep, Grant


class FakePlaces:
    """Invariant: nobody waits while a slot is free. `stays` are the tickets that have a place."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._tickets = count(1)
        self._waiting: dict[int, Callable[[Grant], None]] = {}
        self._loading: set[int] = set()
        self.asked: dict[int, Ask] = {}
        self.stays: dict[int, Callable[[], None]] = {}
        self.gone_soon: set[int] = set()
        self.measured: dict[int, int] = {}
        self.has_another_try = False
        self.has_host_memory = True
        self.asleep: dict[int, Asleep] = {}
        self.device, self.seat = Device(), Seat()
        self.refusal = ""

    @property
    def running(self) -> int:
        return len(self._loading)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def new_ticket(self) -> int:
        return next(self._tickets)

    def enter(
        self,
        ticket: int,
        ask: Ask,
        start: Callable[[Grant], None],
        refuse: Callable[[str], None],
        evict: Callable[[], None],
    ) -> None:
        self.asked[ticket] = ask
        if self.refusal:
            refuse(self.refusal)
            return
        self._waiting[ticket] = start
        self.stays[ticket] = evict
        self._grant()

    def loaded(self, ticket: int, measured_bytes: int | None) -> int | None:
        self._loading.remove(ticket)
        self.measured[ticket] = measured_bytes
        self._grant()
        return measured_bytes

    def failed_for_memory(self, ticket: int) -> bool:
        assert ticket in self._loading
        return self.has_another_try

    def keep(self, ticket: int, asleep: Asleep, evict: Callable[[], None]) -> bool:
        if not asleep.is_there and not self.has_host_memory:
            return False
        self.asleep[ticket] = asleep
        self.stays[ticket] = evict
        self.gone_soon.discard(ticket)
        return True

    def leaving(self, ticket: int) -> None:
        assert ticket in self.stays
        self.gone_soon.add(ticket)
        self._loading.discard(ticket)
        self._grant()

    def leave(self, ticket: int) -> None:
        self._waiting.pop(ticket, None)
        self.stays.pop(ticket, None)
        self.gone_soon.discard(ticket)
        self._loading.discard(ticket)
        self._grant()

    def check(self) -> None:
        assert len(self._loading) <= self._slots
        assert not self._waiting or len(self._loading) == self._slots
        assert self._loading <= self.stays.keys()

    def _grant(self) -> None:
        while self._waiting and len(self._loading) < self._slots:
            ticket = next(iter(self._waiting))
            start = self._waiting.pop(ticket)
            self._loading.add(ticket)
            start(Grant(self.device, self.seat))
