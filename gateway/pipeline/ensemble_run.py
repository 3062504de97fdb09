"""One request on its way through an ensemble: steps begin when their tensors are there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

from gateway.core.clock import Clock
from gateway.core.ensemble import fitted_shape
from gateway.core.errors import GatewayError, ModelFailed, ModelNotFound, ModelUnavailable
from gateway.core.messages import Done, InferRequest, InferResponse, Lease
from gateway.core.model import ModelSpec
from gateway.core.tensor import Tensor
from gateway.core.tensor_spec import TensorSpec
from gateway.pipeline.chain import refuse_circle
from gateway.pipeline.ensemble_plan import Plan, Step, full_rank
from gateway.scheduling.pending import Pending

# A fault of the parts is not mended by asking again at once.
RETRY_S = 30.0


class Infers(Protocol):
    """Where a step's request goes."""

    def infer(self, request: InferRequest, done: Done) -> Pending | None:
        """Runs it as any other; see InferenceService."""


def blame(ensemble: str, step: str, error: GatewayError) -> GatewayError:
    """`error` with the same reason and the step in its text.

    That a step's model is gone is not the caller's mistake: the ensemble is there and cannot be served.
    """
    text = f"{step} of ensemble '{ensemble}': {error.text}"
    if isinstance(error, ModelNotFound):
        return ModelUnavailable(text, retry_after_s=RETRY_S)
    return type(error)(text, retry_after_s=error.retry_after_s)


class Held(NamedTuple):
    """Several pieces of memory that are held and given back together."""

    leases: tuple[Lease, ...]

    def hold(self) -> None:
        """See Lease."""
        for lease in self.leases:
            lease.hold()

    def release(self) -> None:
        """See Lease."""
        for lease in self.leases:
            lease.release()


def together(leases: Sequence[Lease | None]) -> Lease | None:
    """One lease for all of `leases`; one that stands among them twice is held twice."""
    held = tuple([lease for lease in leases if lease is not None])
    if not held:
        return None
    return held[0] if len(held) == 1 else Held(held)


class Run:
    """One request and the steps it has under way.

    Invariant: of every tensor of a step that lies in leased memory there is one hold here, from the
    step's answer until the last use has begun; a step under way has holds of its own.
    """

    __slots__ = (
        *("_clock", "_closed", "_held", "_left", "_parts", "_pending", "_plan", "_spec", "_tensors"),
        *("_tickets", "_uses", "_waits"),
    )

    def __init__(self, pending: Pending, plan: Plan, spec: ModelSpec, parts: Infers, clock: Clock) -> None:
        self._pending = pending
        self._plan = plan
        self._spec = spec
        self._parts = parts
        self._clock = clock
        self._tensors = {tensor.name: tensor for tensor in pending.request.inputs}
        self._held: dict[str, Lease] = {}
        self._uses = dict(plan.uses)
        self._waits = list(plan.waits)
        self._left = len(plan.steps)
        self._tickets: dict[int, Pending] = {}
        self._closed = pending.on_closed
        pending.on_closed = self._on_closed

    def start(self) -> None:
        """Begins every step that waits for none."""
        self._begin([index for index, waits in enumerate(self._plan.waits) if not waits])

    def _begin(self, steps: Sequence[int]) -> None:
        for index in steps:
            if not self._pending.is_open:  # the one before has failed at once
                return
            self._left -= 1
            step = self._plan.steps[index]
            if self._pending.request.chain and self._is_refused(step):
                return
            request = self._request(step)
            ticket = self._parts.infer(request, partial(self._on_done, index))
            if ticket is not None and ticket.is_open:
                self._tickets[index] = ticket

    def _is_refused(self, step: Step) -> bool:
        """True, and the whole has failed, where the step's model waits for this ensemble's answer."""
        try:
            refuse_circle(step.spec.key, self._pending.request.chain)
        except GatewayError as error:
            self._pending.fail(blame(self._spec.name, step.name, error))
            return True
        return False

    def _request(self, step: Step) -> InferRequest:
        whole = self._pending.request
        inputs = []
        leases: list[Lease | None] = []
        for name, tensor, rank in step.inputs:
            given = self._tensors.get(tensor)
            if given is None:  # an optional input of the ensemble, left out: it is one of the step's too
                continue
            shape = given.shape if len(given.shape) == rank else fitted_shape(given.shape, rank)
            inputs.append(Tensor(name, given.dtype, shape, given.data))
            leases.append(self._held[tensor] if tensor in self._held else self._lease_of_input(tensor))
        lease = together(leases)
        if lease is not None:
            lease.hold()
        for tensor in {tensor for _, tensor, _ in step.inputs}:
            self._use(tensor)
        return InferRequest(
            step.model,
            step.version,
            tuple(inputs),
            whole.id,
            step.outputs,
            whole.parameters,
            self._pending.deadline,
            "ensemble",
            lease,
            chain=whole.chain,
        )

    def _lease_of_input(self, tensor: str) -> Lease | None:
        """The request's own, for a tensor that came with it."""
        return None if tensor in self._plan.uses else self._pending.request.lease

    def _use(self, tensor: str) -> None:
        """One use of a step's tensor is over: whoever reads it holds it."""
        left = self._uses.get(tensor, 0) - 1
        if left < 0:
            return
        self._uses[tensor] = left
        if not left:
            del self._tensors[tensor]
            held = self._held.pop(tensor, None)
            if held is not None:
                held.release()

    def _on_done(self, index: int, result: InferResponse | GatewayError) -> None:
        ticket = self._tickets.pop(index, None)
        step = self._plan.steps[index]
        if ticket is not None and ticket.is_cold:
            self._pending.is_cold = True
        if isinstance(result, GatewayError):
            self._pending.fail(blame(self._spec.name, step.name, result))
            return
        ready = self._keep(step, result)
        if ready:
            self._begin(ready)
        elif not self._left and not self._tickets:
            self._answer()

    def _keep(self, step: Step, response: InferResponse) -> list[int]:
        """Takes a step's tensors over; returns the steps that have all they need now."""
        ready = []
        for output in response.outputs:
            name = step.tensors.get(output.name)
            if name is None:
                continue
            self._tensors[name] = output
            if response.lease is not None:
                response.lease.hold()
                self._held[name] = response.lease
            for reader in self._plan.readers[name]:
                self._waits[reader] -= 1
                if not self._waits[reader]:
                    ready.append(reader)
        if response.lease is not None:
            response.lease.release()
        return ready

    def _answer(self) -> None:
        spec, pending = self._spec, self._pending
        try:
            outputs = tuple([self._output(output) for output in self._plan.outputs])
        except ModelFailed as error:
            pending.fail(error)
            return
        lease = together([self._held.pop(output.name, None) for output in self._plan.outputs])
        pending.timings_ns = (0, round((self._clock() - pending.sent) * 1e9), 0)
        pending.answer(InferResponse(spec.name, spec.version, outputs, pending.request.id, lease=lease))

    def _output(self, output: TensorSpec) -> Tensor:
        """What the ensemble answers, held to its own promise: its parts may leave a dimension free."""
        made = self._tensors[output.name]
        shape = fitted_shape(made.shape, full_rank(output, self._spec))
        dims = shape[1:] if self._spec.max_batch_size else shape
        if len(dims) != len(output.shape) or any(
            fixed not in {-1, dim} for fixed, dim in zip(output.shape, dims, strict=True)
        ):
            raise ModelFailed(
                f"output '{output.name}' of ensemble '{self._spec.name}' has shape {list(made.shape)}, "
                f"its dims are {list(output.shape)}"
            )
        return Tensor(output.name, made.dtype, shape, made.data)

    def _on_closed(self, pending: Pending, error: GatewayError | None) -> None:
        """Answered, failed or given up: nothing of it is left running, and nothing is held."""
        tickets, self._tickets = self._tickets, {}
        for ticket in tickets.values():
            ticket.cancel()
        held, self._held = self._held, {}
        for lease in held.values():
            lease.release()
        self._closed(pending, error)
