"""What a request asks of its sequence, and how that travels to the instance; all pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from gateway.core.dtypes import DType
from gateway.core.errors import GatewayError, InvalidInput, ModelFailed
from gateway.core.messages import Parameter
from gateway.core.model import ModelSpec
from gateway.core.sequence import BAD_INPUT, END, MAX_ID_BYTES, START, SequenceId
from gateway.core.tensor import Buffer, iterate_bytes_elements

# The least and the most that an id of each datatype can be.
_RANGES: Mapping[DType, tuple[int, int]] = {
    DType.INT32: (1, (1 << 31) - 1),
    DType.UINT32: (1, (1 << 32) - 1),
    DType.INT64: (1, (1 << 63) - 1),
    DType.UINT64: (1, (1 << 64) - 1),
}
_STEP = struct.Struct("<qqQ")
_LENGTH = struct.Struct("<I")
_NO_TEXT = _LENGTH.pack(0)


class Step(NamedTuple):
    """A request's place in its sequence: whose it is, and whether it is the first or the last of it."""

    identity: SequenceId
    is_start: bool
    is_end: bool


def read_step(spec: ModelSpec, parameters: Mapping[str, Parameter]) -> Step:
    """The step that a request to a stateful model is; raises InvalidInput."""
    identity = parameters.get("sequence_id", 0)
    if isinstance(identity, bool | float) or not identity:
        raise InvalidInput(
            f"inference request to model '{spec.name}' must specify a non-zero or non-empty correlation ID"
        )
    # Callers' ids are checked when they are decoded; a model that calls this one may send anything.
    is_text = isinstance(identity, str)
    if not (len(str(identity).encode()) <= MAX_ID_BYTES if is_text else 0 < int(identity) < 1 << 64):
        raise InvalidInput(f"parameter 'sequence_id' of a request to model '{spec.name}' is out of range")
    wanted = None if spec.sequence is None else spec.sequence.identity_dtype
    if wanted is not None:
        _check_identity(spec.name, identity, wanted)
    return Step(identity, bool(parameters.get("sequence_start")), bool(parameters.get("sequence_end")))


def _check_identity(model: str, identity: SequenceId, wanted: DType) -> None:
    if isinstance(identity, str) != (wanted is DType.BYTES):
        what = "a text" if wanted is DType.BYTES else "a number"
        raise InvalidInput(f"parameter 'sequence_id': model '{model}' takes {what}")
    if isinstance(identity, int):
        least, most = _RANGES[wanted]
        if not least <= identity <= most:
            raise InvalidInput(
                f"parameter 'sequence_id': {identity} is not in {least}..{most}, '{model}' takes"
            )


def check_rows(model: str, rows: int) -> None:
    """Raises InvalidInput for a request of several rows: a sequence has one in a batch."""
    if rows != 1:
        raise InvalidInput(
            f"inference request to model '{model}' must specify batch-size 1 due to requirements of sequence "
            f"batcher, got {rows}"
        )


def unknown_sequence(model: str, identity: SequenceId, max_idle_s: float) -> InvalidInput:
    """A request goes on with a sequence that there is not."""
    return InvalidInput(
        f"inference request for sequence {identity} to model '{model}' must specify the START flag on the "
        f"first request of the sequence: none with this id is open (it may have ended, been idle for "
        f"{max_idle_s:g} s, or been lost with the model's process)"
    )


def step_bytes(slot: int, step: Step) -> bytes:
    """core.sequence.STEP for one request."""
    number = 0 if isinstance(step.identity, str) else step.identity
    return _STEP.pack(slot, START * step.is_start + END * step.is_end, number)


def identity_bytes(step: Step) -> bytes:
    """core.sequence.IDENTITY for one request."""
    if not isinstance(step.identity, str):
        return _NO_TEXT
    text = step.identity.encode()
    return _LENGTH.pack(len(text)) + text


def faults_of(data: Buffer) -> list[GatewayError | None]:
    """By request, what core.sequence.FAULT says of it; None where it has an answer."""
    return [_fault(bytes(text).decode(errors="replace")) for text in iterate_bytes_elements("", data)]


def _fault(text: str) -> GatewayError | None:
    if not text:
        return None
    return InvalidInput(text[1:]) if text[0] == BAD_INPUT else ModelFailed(text[1:])
