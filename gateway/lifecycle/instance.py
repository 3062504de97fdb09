"""One copy of a model version: from waiting for its place to the end of its worker.

resting     waits a while before it is placed, after a death or a failure
placing     waits for memory and a load slot
loading     its worker reads the model
warming     its worker has read it and runs the warm-up
serving     fronts have it
draining    fronts are taking their batches out
stopping    its worker has been told to end

The version decides; this performs, and tells the version what has come of it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

from gateway.lifecycle.means import Ask, Grant, Means, Timer, Worker
from gateway.workers.handle import Exit
from gateway.workers.messages import Load, Loaded, LoadFailed, Progress, Told, ToWorker, Wake


class Phase(enum.IntEnum):
    """Where an instance is; the later, the further it has come."""

    RESTING = 0
    PLACING = 1
    LOADING = 2
    WARMING = 3
    SERVING = 4
    DRAINING = 5
    STOPPING = 6


class Owner(Protocol):
    """The version of an instance, as the instance sees it."""

    def ask_of(self, instance: Instance) -> Ask:
        """What it is to ask for."""

    def order_of(self, instance: Instance, grant: Grant) -> Load:
        """What its worker is to be told."""

    def woken(self, grant: Grant) -> Worker | None:
        """A worker that has the model already, and need only be woken."""

    def on_placed(self, instance: Instance) -> None:
        """It has a worker."""

    def on_opened(self, instance: Instance) -> None:
        """Its worker has read the model."""

    def on_loaded(self, instance: Instance, message: Loaded) -> None:
        """Its worker is ready for batches."""

    def on_inferred(self, instance: Instance, seconds: float) -> None:
        """Its first batch took so long."""

    def on_load_failed(self, instance: Instance, failure: LoadFailed) -> None:
        """It cannot be loaded."""

    def on_evicted(self, instance: Instance) -> None:
        """Another needs its memory."""

    def on_died(self, instance: Instance, end: Exit, *, was_serving: bool) -> None:
        """Its worker ended, though nobody had told it to."""

    def on_detached(self, instance: Instance) -> None:
        """No front has a batch in it any more; it waits to be resumed or stopped."""

    def on_gone(self, instance: Instance) -> None:
        """Its worker has ended, as it was told."""


class Instance:
    """Invariant: a worker from `loading` on; a ticket from `placing` on, until the worker's end."""

    def __init__(self, index: int, owner: Owner, means: Means) -> None:
        self.index = index  # among the version's places
        self.phase = Phase.RESTING
        self.note = ""
        self.fingerprint = ""  # of what it was loaded from
        self.worker: Worker | None = None
        self.queued_at = self.started_at = 0.0
        self.is_evicted = False
        self.is_shared = False  # its worker hosts others, too
        self.measured_bytes: int | None = None
        self.has_retried = False  # after it had found too little memory, or could not be woken
        self.is_woken = False
        self.can_sleep = False
        self._grant: Grant | None = None
        self._owner = owner
        self._means = means
        self._ticket: int | None = None
        self._timer: Timer | None = None

    @property
    def is_serving(self) -> bool:
        """True while fronts have it."""
        return self.phase is Phase.SERVING

    def check(self) -> None:
        """Asserts the invariant."""
        assert (self.worker is not None) == (self.phase >= Phase.LOADING)
        assert (self._ticket is not None) == (self.phase >= Phase.PLACING)

    # ---- coming --------------------------------------------------------------------------------------

    def place(self) -> None:
        """Waits for its place, and loads there."""
        self._cancel_timer()
        self.phase = Phase.PLACING
        self.queued_at = self._means.clock()
        self._ticket = self._means.places.new_ticket()
        asked = self._owner.ask_of(self)
        self._means.places.enter(self._ticket, asked, self._start, self._refused, self._evicted)

    def rest(self, delay_s: float) -> None:
        """Is placed after a while."""
        self.phase = Phase.RESTING
        if delay_s <= 0:
            self.place()
            return
        self._timer = self._means.timers.call_later(delay_s, self.place)

    def _start(self, grant: Grant) -> None:
        if self.phase is not Phase.PLACING:
            return
        means = self._means
        self.phase, self.started_at = Phase.LOADING, means.clock()
        self.is_shared = grant.seat.is_shared
        self._grant = grant
        order: ToWorker = self._owner.order_of(self, grant)
        if woken := self._owner.woken(grant):
            self.worker, self.is_woken, order = woken, True, Wake()
            woken.hand_over(self._on_message, self._on_exit)
        else:
            self.worker = means.workers.spawn(self._on_message, self._on_exit, grant.seat)
        self.worker.send(order)
        timeout_s = means.settings.load_timeout_s
        failed = LoadFailed(f"it was not loaded within {timeout_s:g} s")
        self._after(timeout_s, lambda: self._owner.on_load_failed(self, failed))
        self._owner.on_placed(self)

    def _refused(self, reason: str) -> None:
        if self.phase is Phase.PLACING:
            self.has_retried = True  # who keeps the books has just said that nothing can be done
            self._owner.on_load_failed(self, LoadFailed(reason, is_out_of_memory=True))

    def _on_message(self, message: Told) -> None:
        if self.phase is Phase.SERVING and isinstance(message, Progress):
            self._owner.on_inferred(self, message.seconds)
        if self.phase not in {Phase.LOADING, Phase.WARMING}:
            return  # too late: it is being stopped
        match message:
            case Progress():
                self.phase = Phase.WARMING
                self._owner.on_opened(self)
            case Loaded():
                self._on_loaded(message)
            case LoadFailed():
                self._owner.on_load_failed(self, message)

    def _on_loaded(self, message: Loaded) -> None:
        self._cancel_timer()
        self.phase, self.note = Phase.SERVING, message.note
        assert self._ticket is not None
        assert self._grant is not None
        # One on the CPU has its weights in host memory anyway.
        self.can_sleep = message.can_sleep and self._grant.device.kind != "cpu"
        self.measured_bytes = self._means.places.loaded(self._ticket, message.memory_bytes)
        self._owner.on_loaded(self, message)

    def may_try_again(self, *, lacks_memory: bool) -> bool:
        """True where another try, once, may find more: memory, or files where a sleeper had only weights."""
        if self.has_retried or self._ticket is None:
            return False
        return self.is_woken or (lacks_memory and self._means.places.failed_for_memory(self._ticket))

    def _evicted(self) -> None:
        if self.is_serving:
            self.is_evicted = True
            self._owner.on_evicted(self)

    # ---- going ---------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Has fronts take their batches out; the owner hears when they have, or have had the time to."""
        assert self.worker is not None
        self.phase = Phase.DRAINING
        if self.is_evicted:
            self._leave_soon()
        self._after(self._means.settings.drain_timeout_s, self._on_detached)
        self._means.connections.detach(self.worker.id, self._on_detached)

    def resume(self) -> None:
        """Serves again instead of stopping, once fronts have let it go."""
        assert self.phase is Phase.DRAINING
        self._cancel_timer()
        self.phase = Phase.SERVING

    def give_away(self) -> tuple[Worker, int, Grant]:
        """Its worker, its ticket and where that is, instead of an end; there is nothing left of it."""
        assert self.phase is Phase.DRAINING
        assert self.worker is not None
        assert self._ticket is not None
        assert self._grant is not None
        self._cancel_timer()
        given = self.worker, self._ticket, self._grant
        self.worker, self._ticket, self.phase = None, None, Phase.RESTING
        return given

    def stop(self) -> None:
        """Ends its worker when the batch in hand is done."""
        assert self.worker is not None
        self._cancel_timer()
        self.phase = Phase.STOPPING
        self._leave_soon()
        self.worker.stop(self._means.settings.stop_grace_s)

    def cancel(self) -> bool:
        """Ends what does not serve yet, at once; false where there is no worker whose end comes later."""
        self._cancel_timer()
        if self.worker is None:
            self._leave()
            self.phase = Phase.RESTING
            return False
        self.phase = Phase.STOPPING
        self._leave_soon()
        self.worker.terminate()
        return True

    def kill(self, reason: str) -> None:
        """Ends its worker by force, which counts as a death."""
        if self.worker is not None:
            self.worker.kill(reason)

    def close(self) -> None:
        """The gateway ends: nothing is started any more."""
        self._cancel_timer()
        if self.worker is None:
            self._leave()
            self.phase = Phase.RESTING

    def _on_detached(self) -> None:
        if self.phase is Phase.DRAINING:
            self._cancel_timer()
            self._owner.on_detached(self)

    def _on_exit(self, end: Exit) -> None:
        assert self.worker is not None
        worker, was = self.worker, self.phase
        self._cancel_timer()
        # First of all: what is told below must not find a worker here.
        self.worker, self.phase = None, Phase.RESTING
        self._means.connections.forget(worker.id)
        self._leave()
        if was >= Phase.DRAINING:
            self._owner.on_gone(self)
        else:
            self._owner.on_died(self, end, was_serving=was is Phase.SERVING)

    # ---- its place and its timer ---------------------------------------------------------------------

    def _leave_soon(self) -> None:
        assert self._ticket is not None
        self._means.places.leaving(self._ticket)

    def _leave(self) -> None:
        if self._ticket is not None:
            ticket, self._ticket = self._ticket, None
            self._means.places.leave(ticket)

    def _after(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._means.timers.call_later(delay_s, callback)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
