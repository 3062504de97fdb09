"""A version at rest: one worker that has given its GPU back and keeps the weights in host memory.

falling   it has been told to, and its device is not free yet
asleep    it waits to be woken
ending    it has been told to end

DESIGN: to sleep is a way of ending an instance that leaves something behind: whoever wakes it is a new
instance, which asks for a place like any other and, where it gets the one that the sleeper lies on, takes
its worker over instead of a new one. So a version that wakes goes through the states of one that loads, and
whatever goes wrong ends in a load. Host memory is only taken where nobody has to be put out for it, and is
the first that is given back.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Protocol

from gateway.core.device import CPU
from gateway.lifecycle.facts import FellAsleep
from gateway.lifecycle.instance import Instance
from gateway.lifecycle.means import Asleep, Grant, Means, Timer, Worker
from gateway.lifecycle.offers import Offer
from gateway.workers import messages
from gateway.workers.handle import Exit

log = logging.getLogger("gateway.lifecycle")


class Phase(enum.Enum):
    """Where a sleeper is."""

    FALLING = enum.auto()
    ASLEEP = enum.auto()
    ENDING = enum.auto()


class Owner(Protocol):
    """The version, as its sleeper sees it."""

    def on_sleep(self) -> None:
        """The sleeper is asleep, ends, or is gone."""


def sleep_s(offer: Offer, default_s: float) -> float:
    """How long the weights of a version wait."""
    return default_s if offer.scale.sleep_s is None else offer.scale.sleep_s


class Bed:
    """Room for one sleeper of a version."""

    def __init__(self, owner: Owner, means: Means) -> None:
        self._owner = owner
        self._means = means
        self._sleeper: Sleeper | None = None

    @property
    def is_empty(self) -> bool:
        """True when there is no worker left in it."""
        return self._sleeper is None

    @property
    def is_asleep(self) -> bool:
        """True while one can be woken."""
        return self._sleeper is not None and self._sleeper.phase is Phase.ASLEEP

    @property
    def device(self) -> str:
        """Where one that can be woken lies, "" where there is none."""
        return self._sleeper.grant.device.id if self._sleeper is not None and self.is_asleep else ""

    def take(self, instance: Instance, offer: Offer) -> bool:
        """Has an instance that fronts have let go fall asleep; false where it is to be stopped instead."""
        keep_s = sleep_s(offer, self._means.settings.sleep_s)
        if self._sleeper is not None or not instance.can_sleep or keep_s == 0:
            return False
        wanted = Asleep(offer.key, CPU, offer.size_bytes)
        self._sleeper = sleeper = Sleeper(wanted, keep_s, self._means, self._changed)
        if not sleeper.lie_down(instance):
            self._sleeper = None
        return self._sleeper is not None

    def wake(self, grant: Grant) -> Worker | None:
        """The sleeper's worker, for an instance that was granted its place; else it ends, and None."""
        if self._sleeper is None or not self.is_asleep:
            return None
        if self._sleeper.grant.seat != grant.seat:
            self._sleeper.end()
            return None
        worker = self._sleeper.rise()
        self._sleeper = None
        return worker

    def end(self) -> None:
        """Nobody will wake it."""
        if self._sleeper is not None:
            self._sleeper.end()

    def close(self) -> None:
        """The gateway ends: nothing happens any more."""
        if self._sleeper is not None:
            self._sleeper.cancel_timer()

    def _changed(self) -> None:
        if self._sleeper is not None and self._sleeper.is_gone:
            self._sleeper = None
        self._owner.on_sleep()


class Sleeper:
    """Invariant: a ticket of host memory and one of its device, until its worker ends or is taken over."""

    def __init__(self, wanted: Asleep, keep_s: float, means: Means, on_change: Callable[[], None]) -> None:
        self.phase = Phase.FALLING
        self.is_gone = False
        self._wanted = wanted
        self._keep_s = keep_s
        self._means = means
        self._on_change = on_change
        self._host = means.places.new_ticket()
        self._timer: Timer | None = None

    def lie_down(self, instance: Instance) -> bool:
        """Takes its worker over; false, and nothing is done, where the host has no room."""
        means = self._means
        if not means.places.keep(self._host, self._wanted, self.end):
            return False
        self._worker, self._device, self.grant = instance.give_away()
        self._measured_bytes = instance.measured_bytes
        self._worker.hand_over(self._on_message, self._on_exit)
        self._worker.send(messages.Sleep())
        self._timer = means.timers.call_later(means.settings.stop_grace_s, self.end)
        means.places.leaving(self._device)
        return True

    def rise(self) -> Worker:
        """Gives its worker and both places away; the worker has been told nothing yet."""
        assert self.phase is Phase.ASLEEP
        self.cancel_timer()
        self._leave()
        return self._worker

    def end(self) -> None:
        """Ends the worker; harmless when repeated."""
        if self.phase is Phase.ENDING:
            return
        self.phase = Phase.ENDING
        self.cancel_timer()
        for ticket in self._tickets():
            self._means.places.leaving(ticket)
        self._worker.stop(self._means.settings.stop_grace_s)
        self._on_change()

    def cancel_timer(self) -> None:
        """Nothing happens by itself any more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _on_message(self, message: messages.Told) -> None:
        if self.phase is not Phase.FALLING or not isinstance(message, messages.Asleep):
            return
        if message.error:
            log.warning("%s: it could not sleep and is unloaded: %s", self._wanted.key, message.error)
            self.end()
            return
        self.phase = Phase.ASLEEP
        self.cancel_timer()
        self._settle(message)
        if self._keep_s > 0:
            self._timer = self._means.timers.call_later(self._keep_s, self.end)
        self._on_change()

    def _settle(self, message: messages.Asleep) -> None:
        """Has the books say what it takes now: of its device there may be left a context of its own."""
        places, wanted = self._means.places, self._wanted
        held_bytes = max(wanted.size_bytes, message.held_bytes or 0)
        places.keep(self._host, Asleep(wanted.key, CPU, held_bytes, is_there=True), self.end)
        self._means.tell(FellAsleep(wanted.key, self.grant.device.id, held_bytes))
        left_bytes = 0
        if self._measured_bytes is not None and message.freed_bytes is not None:
            left_bytes = max(0, self._measured_bytes - message.freed_bytes)
        left = Asleep(wanted.key, self.grant.device.id, left_bytes, is_there=True)
        places.keep(self._device, left, self.end)

    def _on_exit(self, end: Exit) -> None:
        self.is_gone = True
        self.phase = Phase.ENDING
        self.cancel_timer()
        self._means.connections.forget(self._worker.id)
        self._leave()
        self._on_change()

    def _tickets(self) -> tuple[int, int]:
        return self._host, self._device

    def _leave(self) -> None:
        for ticket in self._tickets():
            self._means.places.leave(ticket)
