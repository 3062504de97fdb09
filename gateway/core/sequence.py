"""What a stateful model keeps between the requests of a sequence, and what it is told of them.

Between a front and an instance each request of a sequence has one or two further inputs behind the
model's own: `STEP`, and where a text may be the id, `IDENTITY`; and its answer one further output where
the model can refuse it alone: `FAULT`. Callers see neither these nor the model's controls and states.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.core.dtypes import DType
from gateway.core.tensor_spec import TensorSpec
from gateway.core.warmup import WarmupInput

ControlKind = Literal["start", "ready", "end", "corrid"]
SequenceId = int | str

MAX_ID_BYTES = 128  # of an id that is a text, as Triton has it
# The batch slot, the flags, and the id where that is a number (its 64 bits), else 0.
STEP = TensorSpec("gateway.sequence.step", DType.INT64, (3,))
# The id where that is a text, else "".
IDENTITY = TensorSpec("gateway.sequence.identity", DType.BYTES, (1,))
# Why the request has no answer though the batch has run: "" or one of the two letters and a text.
FAULT = TensorSpec("gateway.sequence.fault", DType.BYTES, (1,))
BAD_INPUT, FAILED = "i", "f"
# The flags, as Triton's Python backend numbers them.
START, END = 1, 2


class Control(msgspec.Struct, frozen=True):
    """An input that the gateway fills in: `values` are what stands for false and for true."""

    kind: ControlKind
    name: str
    dtype: DType
    values: tuple[float, float] = (0, 1)

    @property
    def tensor(self) -> TensorSpec:
        return TensorSpec(self.name, self.dtype, (1,))


class SequenceState(msgspec.Struct, frozen=True):
    """An output that is the next request's input; `initial` is what the first request of a sequence gets.

    `input` and `output` differ in their names alone.
    """

    input: TensorSpec
    output: TensorSpec
    initial: WarmupInput


class SequenceBatching(msgspec.Struct, frozen=True):
    """How a stateful model's sequences are batched, and what it needs for that.

    Direct where `max_candidates` is 0: each sequence has a row of the batch for as long as it lives, and a
    run waits up to `max_queue_delay_s` until `min_utilization` of the rows have a request. Else oldest: up
    to so many sequences live in an instance, and any of their requests share a batch, the oldest first.
    """

    max_idle_s: float = 1.0
    max_candidates: int = 0
    max_queue_delay_s: float = 0.0
    min_utilization: float = 0.0
    preferred_sizes: tuple[int, ...] = ()
    controls: tuple[Control, ...] = ()
    states: tuple[SequenceState, ...] = ()

    @property
    def is_direct(self) -> bool:
        return not self.max_candidates

    @property
    def identity_dtype(self) -> DType | None:
        """The datatype in which the model is told the id; None where it does not ask."""
        return next((one.dtype for one in self.controls if one.kind == "corrid"), None)


def hidden_inputs(batching: SequenceBatching, backend: str) -> tuple[TensorSpec, ...]:
    """What travels to an instance behind the model's own inputs."""
    is_text = batching.identity_dtype is DType.BYTES or backend == "python"
    return (STEP, IDENTITY) if is_text else (STEP,)


def hidden_outputs(backend: str) -> tuple[TensorSpec, ...]:
    """What travels from an instance behind the model's own outputs."""
    return (FAULT,) if backend == "python" else ()
