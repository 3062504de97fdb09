"""One model version: the actor that performs what `states` permits.

DESIGN: everything here runs on the controller's loop and nothing awaits, so that no state is read
before and written after somebody else's turn. The version wants some instances (`wanted`); each is an
`Instance`, which waits for its place, loads, serves, and after a death rests before it is placed
again. An instance the version no longer wants becomes a retired one: fronts take their batches out, it
is told to stop, and only its end is still of interest, unless somebody asks for the version before it
was told: then it serves again, which costs no load.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.control.messages import VersionView
from gateway.control.questions import IndexEntry
from gateway.devices.seats import place_within
from gateway.lifecycle.asking import asked, is_shared
from gateway.lifecycle.facts import FirstInference, InstanceFailed, InstanceLoaded, WorkerDied
from gateway.lifecycle.failures import Failures
from gateway.lifecycle.files import Files
from gateway.lifecycle.indexing import entry_of, told_state, view_of
from gateway.lifecycle.instance import Instance
from gateway.lifecycle.means import Ask, Grant, Means, Worker
from gateway.lifecycle.offers import (
    Offer,
    first_count,
    inline_load,
    known_spec,
    merged,
    order,
    place_at,
)
from gateway.lifecycle.roster import Roster, fallen_back
from gateway.lifecycle.sleeping import Bed
from gateway.lifecycle.states import GOING, LOADED, Event, State, after
from gateway.workers.handle import Exit
from gateway.workers.messages import Load, Loaded, LoadFailed
from gateway.workers.restart import Quarantine


class Version:
    """Brings one version from absent to ready and back; `on_change` is called after each visible change.

    Implements `instance.Owner`, and what scaling wants to see and to set.
    """

    def __init__(self, offer: Offer, means: Means, on_change: Callable[[Version], None]) -> None:
        self.key = offer.key
        self.state = State.ABSENT
        self.is_withdrawn = False
        self._offer = offer
        self._means = means
        self._on_change = on_change
        self._spec = known_spec(offer)
        self._files = Files(means.fetching, means.clock)
        self.failures = Failures(means, self._on_forgive_time)
        self._is_awaited = False  # somebody wants it while the last life is still ending
        self._is_closed = False
        self._wanted = 0
        # Invariant: instances it wants only while it comes or is ready.
        self.roster = Roster(self, means)
        self.bed = Bed(self, means)

    # ---- what others see -----------------------------------------------------------------------------

    @property
    def ready(self) -> int:
        """Instances that can take batches."""
        return self.roster.ready

    @property
    def wanted(self) -> int:
        """Instances there are to be; 0 while nobody wants any."""
        return (self._wanted or first_count(self._offer)) if self.is_loaded or self._is_awaited else 0

    @property
    def is_settled(self) -> bool:
        """True while no load of it is under way."""
        return self.state is not State.FETCHING and self.roster.is_settled

    @property
    def offered(self) -> Offer:
        """What it is, or would be, loaded from."""
        return self._offer

    @property
    def is_loaded(self) -> bool:
        """True while it serves or is about to."""
        return self.state in LOADED

    @property
    def is_ensemble(self) -> bool:
        """True for what the fronts run: there is nothing to load, so it stays absent."""
        return self._offer.ensemble is not None

    @property
    def is_over(self) -> bool:
        """True when it is withdrawn and nothing of it is left."""
        is_left = self.roster.retired or not self.bed.is_empty
        return self.is_withdrawn and self.state is State.ABSENT and not is_left

    def view(self, now: float) -> VersionView | None:
        """What fronts are to see; None where they must not see it."""
        if self.is_withdrawn:
            return None
        failed = self.failures.reason, self.failures.retry_in_s(now)
        return view_of(self.state, self._offer, self._spec, *failed, is_awaited=self._is_awaited)

    def indexed(self) -> IndexEntry:
        """Where it is, in the words of the model repository extension."""
        state = State.READY if self.is_ensemble else self.state
        told = told_state(state, is_awaited=self._is_awaited, is_withdrawn=self.is_withdrawn)
        return entry_of(self.key, told, self.failures.reason, self.roster.notes())

    def check(self) -> None:
        """Asserts the invariants."""
        current = self.roster.current
        assert not current or self.is_loaded
        assert not self.is_loaded or current or self.state is State.FETCHING or self._is_closed
        assert (self.state is State.READY) == (self.ready > 0)
        assert self._is_closed or (self.state is State.FETCHING) == self._files.is_under_way
        assert self.state is not State.ASLEEP or self.bed.is_asleep
        self.roster.check()

    # ---- what others want ----------------------------------------------------------------------------

    def activate(self) -> None:
        """Somebody waits for it; repeating this is harmless."""
        if self.is_withdrawn or self._is_closed or self.is_ensemble:
            return
        was, self.state = self.state, after(self.state, Event.ACTIVATE)
        if was is State.FAILED:  # whoever asks is ahead of our clock, and waits: it is told again
            self._on_change(self)
        if was in GOING and not self._is_awaited:
            self._is_awaited = True
            self._on_change(self)
        if was in {State.ABSENT, State.ASLEEP}:
            self._is_awaited = False
            self._wanted = self._wanted or first_count(self._offer)
            self._files.get(self._offer, self._on_files)
            self._on_change(self)

    def scale_to(self, count: int) -> None:
        """Has so many instances from now on; 0, which a load under way is never answered by, none."""
        if self.is_withdrawn or self._is_closed or self.is_ensemble:
            return
        if count == 0:
            if self.is_settled:
                self.release()
            return
        self._wanted = count
        if self.state is State.FETCHING or not self.is_loaded:
            self.activate()
            return
        self.roster.place(count)
        self.roster.shrink(count)  # those that have come least far: the state remains what it is

    def offer(self, offer: Offer) -> None:
        """The repository has it, as `offer` says; a served version does not change any more."""
        self.is_withdrawn = False
        if offer.fingerprint == self._offer.fingerprint:
            was, self._offer = self._offer, offer
            if was.config != offer.config:  # words that mean nothing to what serves
                self._on_change(self)
            return
        if self.is_loaded:
            self.failures.refuse_change(offer, self.state)
            return
        self._offer, self._spec = offer, known_spec(offer)
        self.bed.end()
        self.failures.forget_deaths()
        if self.state is State.FAILED:
            self._forgive()
        self._on_change(self)

    def retry(self) -> None:
        """Somebody has reason to think that it loads now: a failure is forgotten."""
        if self.state is State.FAILED and not self._is_closed:
            self.failures.forget_deaths()
            self._forgive()
        self.activate()

    def withdraw(self) -> None:
        """The repository does not have it, or it was unloaded: what serves is drained and stopped."""
        self.is_withdrawn = True
        self._is_awaited = False
        self._wanted = 0
        self.state = after(self.state, Event.WITHDRAW)
        self.failures.forget()
        self._retire_all()
        self._settle()

    def suspect(self, worker_id: int, reason: str) -> None:
        """A front cannot rely on this worker: it is ended, which counts as a death."""
        self.roster.suspect(worker_id, f"{self.key}: worker {worker_id} is suspect: {reason}", reason)

    def close(self) -> None:
        """The gateway ends: nothing is started or announced any more."""
        self._is_closed = True
        self.failures.forget()
        self._files.cancel()
        self.roster.close()
        self.bed.close()

    # ---- loading -------------------------------------------------------------------------------------

    def _on_files(self, reason: str) -> None:
        """They are there, or cannot be had."""
        if reason:
            self._means.tell(InstanceFailed(self.key, reason))
            self._fail(Event.LOAD_FAILED, reason, self._means.settings.load_failure_memory_s)
            return
        self.state = after(self.state, Event.FETCHED)
        self.roster.place(self._wanted)

    def ask_of(self, instance: Instance) -> Ask:
        """See instance.Owner."""
        offer, means = self._offer, self._means
        shared = is_shared(offer, means.settings, self.failures.deaths)
        return asked(offer, instance.index, self.ready == 0, means.predictions, shared, self.bed.device)

    def order_of(self, instance: Instance, grant: Grant) -> Load:
        """See instance.Owner."""
        instance.fingerprint = self._offer.fingerprint
        place, is_on_gpu = place_at(self._offer, instance.index), grant.device.kind != "cpu"
        return order(self._offer, place_within(place, grant.seat), self._files.path, is_on_gpu=is_on_gpu)

    def woken(self, grant: Grant) -> Worker | None:
        """See instance.Owner."""
        return self.bed.wake(grant)

    def on_placed(self, instance: Instance) -> None:
        """See instance.Owner."""
        self.state = after(self.state, Event.PLACED)

    def on_opened(self, instance: Instance) -> None:
        """See instance.Owner."""
        self.state = after(self.state, Event.OPENED)

    def on_loaded(self, instance: Instance, message: Loaded) -> None:
        """See instance.Owner."""
        now = self._means.clock()
        self._spec = merged(self._offer, message.spec)
        self.state = after(self.state, Event.LOADED)
        self._means.predictions.learn(self._offer, instance.is_shared, instance.measured_bytes)
        load_s, queued_s = now - instance.started_at, instance.started_at - instance.queued_at
        phases_s = {**self._files.phases_s, **message.phases_s}
        self._means.tell(InstanceLoaded(self.key, queued_s, load_s, phases_s, instance.index, message.note))
        self._connect(instance)

    def on_inferred(self, instance: Instance, seconds: float) -> None:
        """See instance.Owner."""
        self._means.tell(FirstInference(self.key, seconds))

    def _connect(self, instance: Instance) -> None:
        """The view first: a front needs the signature to make use of the instance."""
        assert instance.worker is not None
        assert self._spec is not None
        self._on_change(self)
        self._means.connections.attach(instance.worker, self.key, inline_load(self._offer, self._spec))

    def on_load_failed(self, instance: Instance, failure: LoadFailed) -> None:
        """See instance.Owner."""
        self._means.tell(InstanceFailed(self.key, failure.error))
        if instance.may_try_again(lacks_memory=failure.is_out_of_memory):
            self._replace(instance).place()
            return
        if self.ready == 0:
            memory_s = self._means.settings.load_failure_memory_s
            self._fail(Event.LOAD_FAILED, failure.error, memory_s, lacks_memory=failure.is_out_of_memory)
            return
        # The others go on; this place is filled again later.
        self._replace(instance).rest(self._means.settings.restart_backoff_cap_s)

    def _replace(self, instance: Instance) -> Instance:
        successor = self.roster.add(instance.index)
        successor.has_retried = True
        self.roster.retire(instance)
        self._note_loss(was_last=False)
        return successor

    def _fail(self, event: Event, reason: str, memory_s: float, *, lacks_memory: bool = False) -> None:
        self.state = after(self.state, event)
        self._wanted = 0
        self.failures.remember(reason, memory_s, lacks_memory=lacks_memory)
        self._retire_all()
        self._on_change(self)
        self._settle()

    def _on_forgive_time(self) -> None:
        self._forgive()
        self._on_change(self)

    def _forgive(self) -> None:
        self.failures.forget()
        self.state = after(self.state, Event.FORGIVE)

    # ---- dying ---------------------------------------------------------------------------------------

    def on_died(self, instance: Instance, end: Exit, *, was_serving: bool) -> None:
        """See instance.Owner."""
        if self._is_closed:
            return
        if end.is_blameless:
            self._note_loss(was_last=was_serving and self.ready == 0)
            instance.place()
            return
        decision = self.failures.died()
        is_given_up = isinstance(decision, Quarantine)
        self._means.tell(WorkerDied(self.key, str(end), "quarantine" if is_given_up else "restart"))
        if isinstance(decision, Quarantine):
            reason = f"its worker died {self.failures.deaths} times, lastly by {end}"
            self._fail(Event.CRASHED, reason, decision.retry_in_s)
            return
        self._note_loss(was_last=was_serving and self.ready == 0)
        instance.rest(decision.delay_s)

    def _note_loss(self, *, was_last: bool) -> None:
        """Falls back to what those that are left have come to."""
        self.state = fallen_back(after(self.state, Event.LAST_LOST if was_last else Event.LOST), self.roster)
        if was_last:
            self._on_change(self)

    # ---- retiring ------------------------------------------------------------------------------------

    def on_evicted(self, instance: Instance) -> None:
        """See instance.Owner."""
        if self.roster.current == [instance]:
            self.release()
            return
        was_last = self.ready == 1
        self._wanted = len(self.roster.current) - 1
        self.roster.retire(instance)
        self._note_loss(was_last=was_last)

    def release(self) -> None:
        """It is not needed now: what serves is drained and stopped, unless somebody comes meanwhile."""
        if self.state is not State.READY:
            return
        self._wanted = 0
        self.state = after(self.state, Event.RELEASE)
        self._retire_all()
        self._on_change(self)
        self._settle()

    def _retire_all(self) -> None:
        self._files.cancel()
        self.roster.retire_all()
        self.bed.end()

    def on_detached(self, instance: Instance) -> None:
        """See instance.Owner."""
        wanted = self._wanted or first_count(self._offer)
        is_wanted = self.state is State.READY or (self.state is State.DRAINING and self._is_awaited)
        is_same = instance.fingerprint == self._offer.fingerprint and self._spec is not None
        if is_wanted and is_same and not instance.is_evicted and len(self.roster.current) < wanted:
            self._resume(instance, wanted)
            return
        may_sleep = self.state is State.DRAINING and is_same and not self.is_withdrawn
        if may_sleep and self.bed.take(instance, self._offer):
            self.roster.retired.remove(instance)
        else:
            instance.stop()
        self._settle()

    def on_sleep(self) -> None:
        """See sleeping.Owner."""
        if self.state is State.ASLEEP and not self.bed.is_asleep:
            self.state = after(self.state, Event.RELEASE)
        if not self._is_closed:
            self._settle()

    def _resume(self, instance: Instance, wanted: int) -> None:
        self.roster.resume(instance)
        self._wanted, self._is_awaited = wanted, False
        if self.state is State.DRAINING:
            self.state = after(self.state, Event.RESUMED)
        self._connect(instance)

    def on_gone(self, instance: Instance) -> None:
        """See instance.Owner."""
        self.roster.retired.remove(instance)
        if not self._is_closed:
            self._settle()

    def _settle(self) -> None:
        """Moves on from draining and unloading as far as the retired instances permit."""
        if self.state is State.DRAINING and self.roster.is_stopping:
            self.state = after(self.state, Event.DRAINED)
        is_gone = not self.roster.retired and self.bed.is_empty
        if is_gone and not self.is_loaded:
            self._files.release()
        if self.state is State.UNLOADING and not self.roster.retired and (is_gone or self.bed.is_asleep):
            self.state = after(self.state, Event.STOPPED if is_gone else Event.SLEPT)
            if self._is_awaited:
                self.activate()
                return
        if self.is_over:
            self._on_change(self)
