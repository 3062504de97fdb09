"""Stateful specs and requests of sequences for tests."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import msgspec

from gateway.core.dtypes import DType
from gateway.core.messages import InferRequest, Lease, Parameter
from gateway.core.model import ModelSpec
from gateway.core.sequence import SequenceBatching, SequenceId, SequenceState
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import WarmupInput
from gateway.scheduling.pending import Closed, Pending, Plan
from gateway.scheduling.sequence_states import Sequence, Turn
from gateway.scheduling.sequence_steps import Step
from gateway.workers.plans import Signature
from tests.fakes.specs import doubling_spec, row_request

STATE = SequenceState(
    TensorSpec("in", DType.FP32, (2,)),
    TensorSpec("out", DType.FP32, (2,)),
    WarmupInput("in", DType.FP32, (2,), "zero"),
)


def stateful_spec(batching: SequenceBatching, *, rows: int = 4, backend: str = "onnxruntime") -> ModelSpec:
    """FP32 x [2] in, FP32 y [2] out, of a model that keeps sequences."""
    return msgspec.structs.replace(
        doubling_spec(max_batch_size=rows), sequence=batching, backend=backend, platform=""
    )


def sequence_request(
    value: float,
    identity: SequenceId,
    *,
    start: bool = False,
    end: bool = False,
    rows: int = 1,
    lease: Lease | None = None,
) -> InferRequest:
    """A request of a sequence, as a codec decodes it."""
    parameters: dict[str, Parameter] = {"sequence_id": identity} if identity else {}
    if start:
        parameters["sequence_start"] = True
    if end:
        parameters["sequence_end"] = True
    return row_request(value, rows=rows, parameters=parameters, lease=lease)


def pending_of(
    arrived: float,
    on_closed: Closed,
    *,
    deadline: float = inf,
    compat: int = 0,
    done: Callable[[object], None] = lambda _: None,
) -> Pending:
    """A request with a plan, which shares a batch with those of equal `compat`."""
    pending = Pending(row_request(1.0), done, on_closed, arrived, deadline)
    pending.plan = Plan(1, (0,), Signature((), (0,)), (compat,))
    return pending


def turn_of(arrived: float, *, slot: int = 0, compat: int = 0) -> Turn:
    """A turn of a sequence that has a slot."""
    sequence = Sequence(slot + 1)
    sequence.slot = slot
    turn = Turn(pending_of(arrived, lambda *_: None, compat=compat), Step(slot + 1, False, False), sequence)
    sequence.turns.append(turn)
    return turn
