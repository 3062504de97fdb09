"""One model version: the actor that performs what `states` permits.

DESIGN: everything here runs on the controller's loop and nothing awaits, so that no state is read
before and written after somebody else's turn. The version wants `spec.instances` workers; each is an
`Instance`, which waits for a load slot, loads, serves, and after a death rests before it waits
again. An instance the version no longer wants becomes a retired one: fronts take their batches
out, it is told to stop, and only its end is still of interest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from gateway.control.messages import VersionState, VersionView
from gateway.control.questions import IndexEntry
from gateway.lifecycle.facts import InstanceFailed, InstanceLoaded, WorkerDied
from gateway.lifecycle.indexing import entry_of
from gateway.lifecycle.means import Means, Timer, Worker
from gateway.lifecycle.offers import Offer, inline_load, known_spec, merged, order
from gateway.lifecycle.states import Event, State, after
from gateway.workers.messages import Loaded, LoadFailed
from gateway.workers.restart import Quarantine, after_death, policy_of, recent
from gateway.workers.supervisor import Exit

log = logging.getLogger("gateway.lifecycle")

_SHOWN: Mapping[str, VersionState] = {"loading": "loading", "ready": "ready", "failed": "failed"}


class Instance:
    """One wanted or retired copy. Invariant: serving implies a worker; a slot is held only while loading."""

    __slots__ = (
        *("index", "is_detached", "is_serving", "note", "queued_at", "started_at", "ticket", "timer"),
        "worker",
    )

    def __init__(self, index: int) -> None:
        self.index = index  # among the version's places
        self.note = ""
        self.worker: Worker | None = None
        self.ticket: int | None = None
        self.timer: Timer | None = None
        self.is_serving = False
        self.is_detached = False
        self.queued_at = 0.0
        self.started_at = 0.0


class Version:
    """Brings one version from absent to ready and back; `on_change` is called after each visible change."""

    def __init__(self, offer: Offer, means: Means, on_change: Callable[[Version], None]) -> None:
        self.key = offer.key
        self.state = State.ABSENT
        self.is_withdrawn = False
        self._offer = offer
        self._means = means
        self._on_change = on_change
        self._spec = known_spec(offer)
        self._ignored_fingerprint = ""
        self._reason = ""
        self._retry_at = 0.0
        self._forgive_timer: Timer | None = None
        self._is_awaited = False  # somebody wants it while the last life is still ending
        self._is_closed = False
        self._deaths: tuple[float, ...] = ()
        # Invariant: disjoint; instances only in LOADING and READY.
        self._instances: list[Instance] = []
        self._retired: list[Instance] = []

    # ---- what others see -----------------------------------------------------------------------------

    @property
    def serving(self) -> int:
        """Instances that can take batches."""
        return sum(instance.is_serving for instance in self._instances)

    @property
    def offered(self) -> Offer:
        """What it is, or would be, loaded from."""
        return self._offer

    @property
    def is_loaded(self) -> bool:
        """True while it serves or is about to."""
        return self.state in {State.LOADING, State.READY}

    @property
    def is_ensemble(self) -> bool:
        """True for what the fronts run: there is nothing to load, so it stays absent."""
        return self._offer.ensemble is not None

    @property
    def is_over(self) -> bool:
        """True when it is withdrawn and nothing of it is left."""
        return self.is_withdrawn and self.state is State.ABSENT and not self._retired

    @property
    def workers(self) -> Sequence[int]:
        """Ids of all its workers, the retired ones included."""
        return [one.worker.id for one in (*self._instances, *self._retired) if one.worker]

    def pids(self) -> Sequence[int]:
        """The processes that serve it."""
        return [one.worker.pid for one in self._instances if one.is_serving and one.worker and one.worker.pid]

    def view(self, now: float) -> VersionView | None:
        """What fronts are to see; None where they must not see it."""
        if self.is_withdrawn:
            return None
        shown = _SHOWN.get(self.state.value, "loading" if self._is_awaited else "absent")
        number, config, graph = self.key.version, self._offer.config, self._offer.ensemble
        if self.state is State.FAILED:
            retry_in_s = max(0.0, self._retry_at - now)
            return VersionView(number, shown, self._spec, self._reason, retry_in_s, config)
        return VersionView(number, "ready" if graph else shown, self._spec, config=config, ensemble=graph)

    def indexed(self) -> IndexEntry:
        """Where it is, in the words of the model repository extension."""
        told = "ready" if self.is_ensemble else "loading" if self._is_awaited else self.state.value
        return entry_of(self.key, told, self._reason, [one.note for one in self._instances if one.is_serving])

    def check(self) -> None:
        """Asserts the invariants."""
        assert not self._instances or self.is_loaded
        assert not self.is_loaded or self._instances or self._is_closed
        assert (self.state is State.READY) == (self.serving > 0)
        assert all(one.worker is not None for one in (*self._retired,))
        assert not any(one.is_serving and (one.worker is None or one.ticket) for one in self._instances)

    # ---- what others want ----------------------------------------------------------------------------

    def activate(self) -> None:
        """Somebody waits for it; repeating this is harmless."""
        if self.is_withdrawn or self._is_closed or self.is_ensemble:
            return
        was, self.state = self.state, after(self.state, Event.ACTIVATE)
        if was in {State.DRAINING, State.UNLOADING}:
            self._is_awaited = True
            self._on_change(self)
        if was is State.ABSENT:
            self._is_awaited = False
            self._instances = [Instance(index) for index in range(max(1, self._offer.spec.instances))]
            for instance in tuple(self._instances):
                self._queue(instance)
            self._on_change(self)

    def offer(self, offer: Offer) -> None:
        """The repository has it, as `offer` says; a served version does not change any more."""
        self.is_withdrawn = False
        if offer.fingerprint == self._offer.fingerprint:
            if offer.config != self._offer.config:  # words that mean nothing to what serves
                self._offer = offer
                self._on_change(self)
            return
        if self.is_loaded:
            self._refuse_change(offer)
            return
        self._offer, self._spec, self._deaths = offer, known_spec(offer), ()
        if self.state is State.FAILED:
            self._forgive()
        self._on_change(self)

    def retry(self) -> None:
        """Somebody has reason to think that it loads now: a failure is forgotten, and it is loaded."""
        if self.state is State.FAILED and not self._is_closed:
            self._deaths = ()
            self._forgive()
        self.activate()

    def withdraw(self) -> None:
        """The repository does not have it, or it was unloaded: what serves is drained and stopped."""
        self.is_withdrawn = True
        self._is_awaited = False
        self.state = after(self.state, Event.WITHDRAW)
        self._cancel_forgive()
        self._retire_all()
        self._settle()

    def suspect(self, worker_id: int, reason: str) -> None:
        """A front cannot rely on this worker: it is ended, which counts as a death."""
        for instance in self._instances:
            if instance.worker and instance.worker.id == worker_id:
                log.warning("%s: worker %d is suspect: %s", self.key, worker_id, reason)
                instance.worker.kill(reason)

    def close(self) -> None:
        """The gateway ends: nothing is started or announced any more."""
        self._is_closed = True
        self._cancel_forgive()
        for instance in (*self._instances, *self._retired):
            self._cancel_timer(instance)

    # ---- loading -------------------------------------------------------------------------------------

    def _queue(self, instance: Instance) -> None:
        self._cancel_timer(instance)
        instance.queued_at = self._means.clock()
        instance.ticket = self._means.gate.new_ticket()
        self._means.gate.enter(instance.ticket, lambda: self._start(instance), is_urgent=self.serving == 0)

    def _start(self, instance: Instance) -> None:
        means = self._means
        if self._is_closed:
            return
        instance.started_at = means.clock()
        worker = means.workers.spawn(
            lambda message: self._on_message(instance, message), lambda end: self._on_exit(instance, end)
        )
        instance.worker = worker
        worker.send(order(self._offer, instance.index))
        timeout_s = means.settings.load_timeout_s
        instance.timer = means.timers.call_later(
            timeout_s, lambda: self._on_load_timeout(instance, timeout_s)
        )

    def _on_message(self, instance: Instance, message: Loaded | LoadFailed) -> None:
        if self._is_closed or instance not in self._instances or instance.is_serving:
            return
        match message:
            case Loaded():
                self._on_loaded(instance, message)
            case LoadFailed(error):
                self._on_load_failed(instance, error)

    def _on_loaded(self, instance: Instance, message: Loaded) -> None:
        assert instance.worker is not None
        now = self._means.clock()
        self._spec = merged(self._offer, message.spec)
        self._release(instance)
        instance.is_serving, instance.note = True, message.note
        if message.note:
            log.info("%s: instance %d: %s", self.key, instance.index, message.note)
        self.state = after(self.state, Event.LOADED)
        load_s, queued_s = now - instance.started_at, instance.started_at - instance.queued_at
        self._means.tell(InstanceLoaded(self.key, queued_s, load_s, message.phases_s))
        # The view first: a front needs the signature to make use of the instance.
        self._on_change(self)
        self._means.connections.attach(instance.worker, self.key, inline_load(self._offer, self._spec))

    def _on_load_timeout(self, instance: Instance, timeout_s: float) -> None:
        instance.timer = None
        self._on_load_failed(instance, f"it was not loaded within {timeout_s:g} s")

    def _on_load_failed(self, instance: Instance, reason: str) -> None:
        self._means.tell(InstanceFailed(self.key, reason))
        if self.serving == 0:
            self._fail(Event.LOAD_FAILED, reason, self._means.settings.load_failure_memory_s)
            return
        # The others go on; this place is filled again later.
        successor = Instance(instance.index)
        self._retire(instance)
        self._instances.append(successor)
        self._rest(successor, self._means.settings.restart_backoff_cap_s)

    def _fail(self, event: Event, reason: str, memory_s: float) -> None:
        means = self._means
        self.state = after(self.state, event)
        self._reason, self._retry_at = reason, means.clock() + memory_s
        self._retire_all()
        self._cancel_forgive()
        self._forgive_timer = means.timers.call_later(memory_s, self._on_forgive_time)
        self._on_change(self)

    def _on_forgive_time(self) -> None:
        self._forgive_timer = None
        self._forgive()
        self._on_change(self)

    def _forgive(self) -> None:
        self._cancel_forgive()
        self.state = after(self.state, Event.FORGIVE)
        self._reason, self._retry_at = "", 0.0

    # ---- dying ---------------------------------------------------------------------------------------

    def _on_exit(self, instance: Instance, end: Exit) -> None:
        if self._is_closed:
            return
        assert instance.worker is not None
        self._means.connections.forget(instance.worker.id)
        if instance in self._retired:
            self._retired.remove(instance)
            self._release(instance)
            self._settle()
            return
        was_serving = instance.is_serving
        self._release(instance)
        instance.worker, instance.is_serving = None, False
        if end.is_blameless:
            self._lose(was_serving)
            self._queue(instance)
            return
        self._on_death(instance, end, was_serving)

    def _on_death(self, instance: Instance, end: Exit, was_serving: bool) -> None:
        means, now = self._means, self._means.clock()
        policy = policy_of(means.settings)
        self._deaths = (*recent(self._deaths, now, policy.window_s), now)
        decision = after_death(self._deaths, now, policy, means.rng.random())
        is_given_up = isinstance(decision, Quarantine)
        means.tell(WorkerDied(self.key, str(end), "quarantine" if is_given_up else "restart"))
        if isinstance(decision, Quarantine):
            reason = f"its worker died {len(self._deaths)} times, lastly by {end}"
            self._fail(Event.CRASHED, reason, decision.retry_in_s)
            return
        self._lose(was_serving)
        self._rest(instance, decision.delay_s)

    def _lose(self, was_serving: bool) -> None:
        is_last = was_serving and self.serving == 0
        self.state = after(self.state, Event.LAST_LOST if is_last else Event.LOST)
        if is_last:
            self._on_change(self)

    def _rest(self, instance: Instance, delay_s: float) -> None:
        if delay_s <= 0:
            self._queue(instance)
            return
        instance.timer = self._means.timers.call_later(delay_s, lambda: self._queue(instance))

    # ---- retiring ------------------------------------------------------------------------------------

    def _retire_all(self) -> None:
        # Those that wait first: a slot that another gives back must not start them.
        for instance in sorted(self._instances, key=lambda one: one.worker is not None):
            self._retire(instance)

    def _retire(self, instance: Instance) -> None:
        self._instances.remove(instance)
        self._release(instance)
        worker = instance.worker
        if worker is None:
            return
        self._retired.append(instance)
        if not instance.is_serving:
            instance.is_detached = True
            worker.terminate()
            return
        instance.is_serving = False
        settings = self._means.settings
        instance.timer = self._means.timers.call_later(
            settings.drain_timeout_s, lambda: self._on_detached(instance)
        )
        self._means.connections.detach(worker.id, lambda: self._on_detached(instance))

    def _on_detached(self, instance: Instance) -> None:
        if instance.is_detached or instance not in self._retired:
            return
        instance.is_detached = True
        self._cancel_timer(instance)
        if instance.worker:
            instance.worker.stop(self._means.settings.stop_grace_s)
        self._settle()

    def _settle(self) -> None:
        """Moves on from draining and unloading as far as the retired instances permit."""
        if self.state is State.DRAINING and all(one.is_detached for one in self._retired):
            self.state = after(self.state, Event.DRAINED)
        if self.state is State.UNLOADING and not self._retired:
            self.state = after(self.state, Event.STOPPED)
            if self._is_awaited:
                self.activate()
                return
        if self.is_over:
            self._on_change(self)

    def _release(self, instance: Instance) -> None:
        """Gives the load slot back and forgets the timer, whichever it has."""
        self._cancel_timer(instance)
        if instance.ticket is not None:
            ticket, instance.ticket = instance.ticket, None
            self._means.gate.leave(ticket)

    def _cancel_timer(self, instance: Instance) -> None:
        if instance.timer:
            instance.timer.cancel()
            instance.timer = None

    def _cancel_forgive(self) -> None:
        if self._forgive_timer:
            self._forgive_timer.cancel()
            self._forgive_timer = None

    def _refuse_change(self, offer: Offer) -> None:
        if offer.fingerprint != self._ignored_fingerprint:
            self._ignored_fingerprint = offer.fingerprint
            log.warning(
                "%s: VERSION_MUTATED: its files changed while it is %s; versions are immutable, so this is"
                " ignored: publish a new version",
                self.key,
                self.state.value,
            )
