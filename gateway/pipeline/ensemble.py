"""Runs ensembles in the front: every step is a request like any other, made here and answered to here.

DESIGN: an ensemble has no worker and no queue. Each of its steps goes through `Pipeline.infer`: so it
finds the version that answers, wakes its model, shares batches with other callers' requests, and runs
again when its worker dies. A step starts once its inputs are there, so steps that do not need each
other run at the same time. Tensors go from answer to request as they are: what is held is the memory
they lie in, until the last step that reads them has it. Rejected: a worker that calls other models (a
process more, and every tensor twice more through a socket).

What the parts look like may be known only once they are loaded, and may change when a newer version
takes over: whether they fit is checked before the first run, and again when one of them is another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.core.clock import Clock
from gateway.core.ensemble import (
    MAX_DEPTH,
    EnsembleGraph,
    Part,
    fault_of_parts,
    needed_steps,
)
from gateway.core.errors import GatewayError, ModelNotFound, ModelUnavailable
from gateway.core.model import ModelSpec
from gateway.pipeline.cold import Waiting
from gateway.pipeline.ensemble_plan import Plan, make_plan
from gateway.pipeline.ensemble_run import RETRY_S, Infers, Run, blame
from gateway.scheduling.pending import Pending
from gateway.scheduling.signature import Signatures

# Callers choose which outputs they ask for, so what is remembered of that must be bounded.
_MAX_PLANS = 64


class Parts(Infers, Protocol):
    """The pipeline as an ensemble needs it; `version` 0 is the latest."""

    def spec_of(self, model: str, version: int) -> ModelSpec | None:
        """The signature of a model, the very same value until it changes; None where it is not known."""

    def graph_of(self, model: str, version: int) -> EnsembleGraph | None:
        """The graph of a model that is an ensemble itself."""

    def wait_for_part(self, model: str, version: int, waiter: Waiting, go_on: Callable[[], None]) -> None:
        """Loads a model of which no signature is known, then calls `go_on`; raises GatewayError."""

    def is_model_ready(self, model: str, version: int | str) -> bool:
        """True if a request for it could be answered; raises ModelNotFound."""


class Ensemble:
    """One version of an ensemble in this front."""

    def __init__(self, spec: ModelSpec, graph: EnsembleGraph, parts: Parts, clock: Clock) -> None:
        self.spec = spec
        self._graph = graph
        self._parts = parts
        self._clock = clock
        self._signatures = Signatures(spec)
        self._models = dict.fromkeys((step.model, step.version) for step in graph.steps)
        self._plans: dict[tuple[str, ...], Plan] = {}

    def add(self, pending: Pending) -> None:
        """Runs a request; raises GatewayError where it cannot be begun."""
        pending.plan = self._signatures.plan(pending.request)
        wanted = tuple([output.name for output in pending.request.outputs])
        plan = self._plans.get(wanted)
        if plan is None or not self._is_current(plan):
            plan = self._find_plan(wanted, pending)
            if plan is None:
                return
        pending.sent = self._clock()
        pending.batch_rows = pending.plan.rows
        Run(pending, plan, self.spec, self._parts, self._clock).start()

    def is_ready(self) -> bool:
        """True if every step's model could be called and nothing known of them speaks against it."""
        if self._fault(range(len(self._graph.steps))):
            return False
        try:
            return all(self._parts.is_model_ready(*part) for part in self._models)
        except ModelNotFound:
            return False

    # ---- what the parts look like ----------------------------------------------------------------

    def _is_current(self, plan: Plan) -> bool:
        spec_of = self._parts.spec_of
        return all(spec_of(step.model, step.version) is step.spec for step in plan.steps)

    def _find_plan(self, wanted: tuple[str, ...], pending: Pending) -> Plan | None:
        """The plan, checked and kept; None where `pending` has to wait for what the parts look like."""
        names = wanted or tuple(tensor.name for tensor in self.spec.outputs)
        steps = needed_steps(self._graph, names)
        if fault := self._fault(steps):
            raise ModelUnavailable(
                f"ensemble '{self.spec.name}' cannot be served: {fault}", retry_after_s=RETRY_S
            )
        specs = {index: spec for index in steps if (spec := self._spec_of(index)) is not None}
        if len(specs) < len(steps):
            _Asking(pending, self, [index for index in steps if index not in specs]).start()
            return None
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        self._plans[wanted] = plan = make_plan(self.spec, self._graph, names, specs)
        return plan

    def _spec_of(self, index: int) -> ModelSpec | None:
        step = self._graph.steps[index]
        return self._parts.spec_of(step.model, step.version)

    def _fault(self, steps: Sequence[int]) -> str:
        """What is wrong with the parts of `steps`, as far as they are known."""
        if circle := self._circle(self._graph, (self.spec.name,), set()):
            return circle
        parts = [_part(self._spec_of(index)) for index in range(len(self._graph.steps))]
        return fault_of_parts(_known_part(self.spec), self._graph, parts, steps)

    def _circle(self, graph: EnsembleGraph, above: tuple[str, ...], seen: set[str]) -> str:
        """A way from this ensemble back to it: the repository refuses one, but for what has changed since."""
        for step in graph.steps:
            if step.model in above or len(above) > MAX_DEPTH:
                return f"the ensembles form a circle: {' calls '.join(map(repr, (*above, step.model)))}"
            inner = None if step.model in seen else self._parts.graph_of(step.model, step.version)
            seen.add(step.model)
            if inner is not None and (circle := self._circle(inner, (*above, step.model), seen)):
                return circle
        return ""

    def ask(self, index: int, waiter: Waiting, go_on: Callable[[], None]) -> None:
        """Has a step's model loaded, for its signature; raises GatewayError that names the step."""
        step = self._graph.steps[index]
        try:
            self._parts.wait_for_part(step.model, step.version, waiter, go_on)
        except GatewayError as error:
            raise self.blamed(index, error) from None

    def blamed(self, index: int, error: GatewayError) -> GatewayError:
        """`error` of a step as the ensemble's caller is told of it."""
        return blame(self.spec.name, self._graph.name_of(index), error)


def _part(spec: ModelSpec | None) -> Part | None:
    return None if spec is None else _known_part(spec)


def _known_part(spec: ModelSpec) -> Part:
    return Part(spec.inputs, spec.outputs, spec.max_batch_size)


class _Asking:
    """A request that waits until all its parts' signatures are known: they load at the same time."""

    def __init__(self, pending: Pending, ensemble: Ensemble, steps: Sequence[int]) -> None:
        self.pending = pending
        self.ensemble = ensemble
        self._steps = steps
        self._left = len(steps)

    def start(self) -> None:
        self.pending.is_cold = True
        for index in self._steps:
            self.ensemble.ask(index, _AskingForPart(self, index), self._go_on)

    def _go_on(self) -> None:
        self._left -= 1
        if self._left or not self.pending.is_open:
            return
        try:
            self.ensemble.add(self.pending)
        except GatewayError as error:
            self.pending.fail(error)


class _AskingForPart:
    """The same as one part's waiter."""

    def __init__(self, asking: _Asking, index: int) -> None:
        self._asking = asking
        self._index = index
        self.deadline = asking.pending.deadline

    @property
    def is_open(self) -> bool:
        return self._asking.pending.is_open

    def fail(self, error: GatewayError) -> None:
        self._asking.pending.fail(self._asking.ensemble.blamed(self._index, error))
