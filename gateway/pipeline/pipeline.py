"""A request's life in the front, from decoded to answered.

DESIGN: with no policy plugin a request passes through one function, one dict lookup and one queue;
there is no coroutine in it. A record is made when the request is closed, whatever closed it.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from gateway.control.messages import Activate
from gateway.core.caller import ANYBODY, Caller
from gateway.core.clock import Clock
from gateway.core.ensemble import EnsembleGraph
from gateway.core.errors import GatewayError, ModelNotFound, ModelUnavailable, Overloaded, Reason
from gateway.core.messages import NO_PARAMETERS, Done, InferRequest, StreamSink, Ticket
from gateway.core.model import ModelSpec
from gateway.core.records import RequestRecord
from gateway.core.scaling import KEEP_ALIVE, KeepAlive
from gateway.pipeline.catalogue import Catalogue, VersionSlot
from gateway.pipeline.classification import classified
from gateway.pipeline.cold import Waiting
from gateway.pipeline.ensemble import Ensemble
from gateway.pipeline.service import Described, ModelDescription
from gateway.pipeline.statistics import AskStatistics, Counted
from gateway.pipeline.tracing import Tracer
from gateway.scheduling.pending import Pending, PendingStream
from gateway.scheduling.queue_policy import deadline_of
from gateway.scheduling.settings import SchedulingSettings

Record = Callable[[RequestRecord], None]


class Pipeline:
    """The gateway as the frontends see it (`InferenceService`), over one catalogue."""

    def __init__(
        self,
        catalogue: Catalogue,
        settings: SchedulingSettings,
        clock: Clock,
        record: Record,
        activate: Callable[[Activate], None],
        ask_statistics: AskStatistics,
    ) -> None:
        self._catalogue = catalogue
        self._route = catalogue.route
        self._settings = settings
        self._default_timeout_s = settings.default_timeout_s
        self._clock = clock
        self._record = record
        self._activate = activate
        self._ask_statistics = ask_statistics
        self._busy: set[VersionSlot] = set()
        self._is_draining = False
        # Since the last report of demand: what each used version had under way, summed over sweeps, and
        # what the last request to say so asked for it to be kept.
        self.demand: dict[VersionSlot, int] = {}
        self.keep_alive: dict[VersionSlot, KeepAlive] = {}
        self.tracer: Tracer | None = None  # while anything is to be traced

    # ---- a request's life -----------------------------------------------------------------------

    def infer(self, request: InferRequest, done: Done, caller: Caller = ANYBODY) -> Pending | None:
        """Runs a request; see InferenceService."""
        now = self._clock()
        deadline = min(request.deadline, now + self._default_timeout_s)
        pending = Pending(request, done, self._closed, now, deadline)
        pending.caller = caller
        slot = self._route((request.model, request.version))
        if slot is None:
            if isinstance(request.version, int):
                pending.version = request.version
            pending.fail(self._unknown(request.model, request.version))
            return None
        pending.version = slot.key.version
        if request.timeout_at != inf:
            pending.deadline = deadline_of(slot.batching, request, deadline)
        if slot.successor is not None and not request.version:
            self._ask_for(slot.successor)
        self._use(slot, request)
        try:
            if request.outputs:
                pending.done = classified(request.outputs, slot, done)
            if self.tracer is not None:
                self.tracer.begin(pending)
            if slot.hot is not None:
                slot.hot.add(pending)
            else:
                self._wait_for(slot, pending, now)
                if not pending.is_open:
                    return None
        except GatewayError as error:
            pending.fail(error)
            return None
        return pending

    def stream(
        self, request: InferRequest, sink: StreamSink, caller: Caller = ANYBODY
    ) -> PendingStream | None:
        """Runs a request that may be answered any number of times; see InferenceService."""
        now = self._clock()
        pending = PendingStream(request, sink, self._closed, now, self._default_timeout_s)
        pending.caller = caller
        slot = self._route((request.model, request.version))
        if slot is None:
            pending.version = request.version if isinstance(request.version, int) else 0
            pending.fail(self._unknown(request.model, request.version))
            return None
        pending.version = slot.key.version
        if request.timeout_at != inf:
            pending.limit = deadline_of(slot.batching, request, pending.limit)
            pending.deadline = min(pending.deadline, pending.limit)
        if slot.successor is not None and not request.version:
            self._ask_for(slot.successor)
        self._use(slot, request)
        try:
            pending.done = classified(request.outputs, slot, pending.done)
            if self.tracer is not None:
                self.tracer.begin(pending)
            if slot.hot is not None:
                slot.hot.add(pending)
            else:
                self._wait_for(slot, pending, now)
                if not pending.is_open:
                    return None
        except GatewayError as error:
            pending.fail(error)
            return None
        return pending

    def _use(self, slot: VersionSlot, request: InferRequest) -> None:
        """The next sweep looks at it, and tells of it."""
        self._busy.add(slot)
        if request.parameters is not NO_PARAMETERS:
            asked = request.parameters.get(KEEP_ALIVE)
            if type(asked) is float:  # whoever decoded it made it one
                self.keep_alive[slot] = KeepAlive(asked, self._clock())

    def _wait_for(self, slot: VersionSlot, pending: Pending, now: float) -> None:
        """Lets a request wait for its model; raises what would have refused it anyway."""
        if slot.view.ensemble is not None:  # waits for its parts only
            self._ensemble(slot, slot.view.ensemble).add(pending)
            return
        self._refuse_failing(slot, now)
        pending.is_cold = True
        slot.waiters.add(pending, lambda: self._enter(slot, pending), now)
        self._ask_for(slot)

    def _enter(self, slot: VersionSlot, pending: Pending) -> None:
        try:
            assert slot.hot is not None
            slot.hot.add(pending)
        except GatewayError as error:
            pending.fail(error)

    def _ask_for(self, slot: VersionSlot) -> None:
        if slot.is_asked_for or slot.is_failing(self._clock()):
            return
        slot.is_asked_for = True
        self._activate(Activate(slot.key, self._settings.cold_wait_s))

    def _refuse_failing(self, slot: VersionSlot, now: float) -> None:
        if slot.is_failing(now):
            reason = slot.broken or slot.view.reason
            raise ModelUnavailable(
                f"model '{slot.key.name}' version {slot.key.version} cannot be loaded: {reason}",
                retry_after_s=max(slot.retry_at - now, 1.0),
            )

    def _unknown(self, model: str, version: int | str) -> GatewayError:
        if not self._catalogue.is_complete:
            return Overloaded("the repository has not been read yet", retry_after_s=1.0)
        broken = self._catalogue.broken(model)
        if broken:
            return ModelUnavailable(f"model '{model}' cannot be served: {broken}", retry_after_s=30.0)
        if isinstance(version, str) and self._catalogue.knows(model):
            return _unknown_label(model, version, self._catalogue.labels(model).get(version))
        if not version and self._catalogue.knows(model):
            return ModelNotFound(f"Request for unknown model: '{model}' has no available versions")
        return not_found(model, version)

    def _closed(self, pending: Pending, error: GatewayError | None) -> None:
        """Makes the request's one record."""
        reason = None if error is None else error.reason
        request = pending.request
        is_known = reason is not Reason.NOT_FOUND
        self._record(
            RequestRecord(
                request.model if is_known else "",
                pending.version if is_known else 0,
                request.protocol,
                reason,
                self._clock() - pending.arrived,
                pending.sent - pending.arrived if pending.sent else 0.0,
                pending.timings_ns[1] * 1e-9,
                pending.plan.rows if pending.sent else 0,
                pending.batch_rows,
                pending.is_cold,
                pending.caller.id,
                pending.caller.tenant,
            )
        )

    def refused(self, protocol: str, error: GatewayError, model: str = "", caller: Caller = ANYBODY) -> None:
        """Records a request that was not understood, or not let in to a model."""
        is_known = error.reason is not Reason.NOT_FOUND and self._catalogue.knows(model)
        record = RequestRecord(
            model if is_known else "",
            0,
            protocol,
            error.reason,
            0.0,
            principal=caller.id,
            tenant=caller.tenant,
        )
        self._record(record)

    def answered(self, request: InferRequest, version: int, caller: Caller) -> None:
        """Records a request that was answered without a model."""
        record = RequestRecord(
            request.model, version, request.protocol, None, 0.0, principal=caller.id, tenant=caller.tenant
        )
        self._record(record)

    def is_up(self, model: str, version: int | str) -> bool:
        """True where a request could be answered, be it after a load, as far as is known; never raises."""
        slot = self._route((model, version))
        return slot is not None and not slot.is_failing(self._clock()) and not slot.trouble

    def resolve(self, model: str, version: int | str) -> int:
        """The number of the version that would answer; 0 where there is none."""
        slot = self._route((model, version))
        return 0 if slot is None else slot.key.version

    def is_published(self, model: str, version: int | str) -> bool:
        """True for the version that answers for the model and for those that have a label, by any name."""
        if not isinstance(version, int) or not version:
            return True
        latest = self._route((model, 0))
        return (latest is not None and latest.key.version == version) or (
            version in self._catalogue.labels(model).values()
        )

    # ---- what is there --------------------------------------------------------------------------

    def describe(
        self, model: str, version: int | str, described: Described, caller: Caller = ANYBODY
    ) -> None:
        """Tells a model's signature; see InferenceService."""
        slot = self._route((model, version))
        if slot is None:
            described(self._unknown(model, version))
            return
        if slot.spec is not None and slot.spec.inputs:
            described(self._description(slot))
            return
        asking = _Asking(described, self._clock() + self._default_timeout_s)
        try:
            self._wait_for_load(slot, asking, lambda: asking.tell(self._description(slot)))
        except GatewayError as error:
            asking.fail(error)

    def _wait_for_load(self, slot: VersionSlot, waiter: Waiting, go_on: Callable[[], None]) -> None:
        now = self._clock()
        self._refuse_failing(slot, now)
        slot.waiters.add(waiter, go_on, now)
        self._busy.add(slot)
        self._ask_for(slot)

    def _description(self, slot: VersionSlot) -> ModelDescription:
        return ModelDescription(_known(slot), self._catalogue.versions(slot.key.name), slot.view.config)

    def statistics(
        self, model: str, version: int | str, counted: Counted, caller: Caller = ANYBODY
    ) -> Ticket | None:
        """Tells what was counted; see InferenceService."""
        keys = self._catalogue.keys(model, version)
        if model and not keys:
            counted(self._unknown(model, version))
            return None
        return self._ask_statistics(model, keys, counted)

    def is_live(self) -> bool:
        """True: whoever runs this can answer."""
        return True

    def is_ready(self) -> bool:
        """True from the first complete snapshot until the drain."""
        return self._catalogue.is_complete and not self._is_draining

    def is_model_ready(self, model: str, version: int | str, caller: Caller = ANYBODY) -> bool:
        """True if a request could be answered, be it after a load; raises ModelNotFound."""
        slot = self._route((model, version))
        if slot is None:
            error = self._unknown(model, version)
            if isinstance(error, ModelNotFound):
                raise error
            return False
        if self._is_draining or slot.is_failing(self._clock()) or slot.trouble:
            return False
        graph = slot.view.ensemble
        return graph is None or self._ensemble(slot, graph).is_ready()

    def drain(self) -> None:
        """From now on the gateway says that it is not ready; requests are still answered."""
        self._is_draining = True

    # ---- what ensembles ask ----------------------------------------------------------------------

    def _ensemble(self, slot: VersionSlot, graph: EnsembleGraph) -> Ensemble:
        """What runs the ensemble of `slot`, made anew where the controller has told of another one."""
        if slot.ensemble is None or slot.ensemble.spec is not slot.view.spec:
            slot.ensemble = Ensemble(_known(slot), graph, self, self._clock)
        return slot.ensemble

    def spec_of(self, model: str, version: int) -> ModelSpec | None:
        """A part's signature, as far as it is known; see Parts."""
        slot = self._route((model, version))
        return None if slot is None else slot.spec

    def graph_of(self, model: str, version: int) -> EnsembleGraph | None:
        """The graph of a part that is an ensemble; see Parts."""
        slot = self._route((model, version))
        return None if slot is None else slot.view.ensemble

    def wait_for_part(self, model: str, version: int, waiter: Waiting, go_on: Callable[[], None]) -> None:
        """Loads a part; see Parts."""
        slot = self._route((model, version))
        if slot is None:
            raise self._unknown(model, version)
        self._wait_for_load(slot, waiter, go_on)

    # ---- time -----------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Must be called every few hundredths of a second; costs nothing where nothing waits."""
        demand = self.demand
        for slot in list(self._busy):
            load = len(slot.waiters)
            if len(slot.waiters):
                slot.waiters.sweep(now)
            is_idle = not len(slot.waiters)
            if slot.queue is not None:
                slot.queue.sweep(now)
                waiting, in_flight, _ = slot.queue.statistics()
                is_idle = is_idle and not waiting and not in_flight
                load += waiting + in_flight
            demand[slot] = demand.get(slot, 0) + load
            if is_idle:
                self._busy.discard(slot)

    @property
    def is_idle(self) -> bool:
        """True while no request is under way."""
        return not self._busy


class _Asking:
    """Somebody who waits for a model's signature."""

    def __init__(self, described: Described, deadline: float) -> None:
        self._described = described
        self.deadline = deadline
        self.is_open = True

    def tell(self, description: ModelDescription) -> None:
        self.is_open = False
        self._described(description)

    def fail(self, error: GatewayError) -> None:
        self.is_open = False
        self._described(error)


def not_found(model: str, version: int | str) -> ModelNotFound:
    """What is said of a model that does not exist, also where it does not for this caller."""
    if version and not isinstance(version, str):
        return ModelNotFound(f"Request for unknown model: '{model}' version {version} is not found")
    return ModelNotFound(f"Request for unknown model: '{model}' is not found")


def _unknown_label(model: str, label: str, version: int | None) -> ModelNotFound:
    if version is None:
        return ModelNotFound(f"Request for unknown model: '{model}' has no label '{label}'")
    return ModelNotFound(
        f"Request for unknown model: '{model}' version {version}, which label '{label}' names, is not found"
    )


def _known(slot: VersionSlot) -> ModelSpec:
    spec = slot.spec
    assert spec is not None, "a slot whose waiters go on has an instance, and so a signature"
    return spec
