"""A front's side of one kind of batch: the bytes every such RUN begins with, and what may come back.

A plan is made once per signature and number of rows, and kept: of a hundred thousand batches a second
of one model, almost all have one of a few dozen plans. All in here is pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from gateway.core.dtypes import ITEM_SIZE, DType
from gateway.core.model import ModelSpec
from gateway.core.tensor import Buffer
from gateway.core.tensor_spec import TensorSpec
from gateway.workers import frames
from gateway.workers.frames import HEADER, HEADER_BYTES, ProtocolViolation, Region, Table

# Frames up to here are joined into one buffer: copying 16 KiB costs less (0.5 us) than a scatter list.
JOIN_BYTES = 16 << 10
_MAX_ACCEPTED = 64


class Misfit(Exception):
    """A reply that is well-formed but not what the model's signature promises."""


class Signature(NamedTuple):
    """What makes batches alike: datatype and shape of each input, in order, and the wanted outputs.

    A shape leaves the batch axis out where the model batches. `outputs` are indices into
    `ModelSpec.outputs`, in the order of the answer; never empty. `places` are the indices of `inputs`
    into `ModelSpec.inputs` where optional ones are left out, () where none is.
    """

    inputs: tuple[tuple[DType, tuple[int, ...]], ...]
    outputs: tuple[int, ...]
    places: tuple[int, ...] = ()


class Slice(NamedTuple):
    """An output of an accepted reply, and where in the frame or segment it lies.

    `elements` is -1 unless it is BYTES, whose elements must still be walked.
    """

    name: str
    shape: tuple[int, ...]
    segment: int
    offset: int
    end: int
    elements: int


class RunPlan:
    """How to send batches of one signature and number of rows, and how to take their replies.

    `rest` are the bytes between the frame's batch number and its payload, `pads` stand after each
    input, `total` is the frame's length, 0 unless every batch of the plan is a small inline frame of
    the same sizes. `accepted` remembers reply tables that were checked, by their bytes.
    """

    __slots__ = (
        *("accepted", "dtypes", "ordinals", "outputs", "pads", "rest", "rows", "shapes", "sizes"),
        *("specs", "total"),
    )

    def __init__(self, spec: ModelSpec, signature: Signature, rows: int) -> None:
        lead = (rows,) if spec.max_batch_size else ()
        self.rows = rows
        self.dtypes = [dtype for dtype, _ in signature.inputs]
        self.shapes = [lead + shape for _, shape in signature.inputs]
        self.ordinals = signature.places or tuple(range(len(self.shapes)))
        self.outputs = signature.outputs
        # Expected outputs, the batch axis included, -1 for whatever the model may choose.
        self.specs = tuple(
            TensorSpec(out.name, out.dtype, lead + out.shape)
            for out in (spec.outputs[ordinal] for ordinal in signature.outputs)
        )
        self.sizes = self._fixed_sizes()
        self.rest = b""
        self.pads: tuple[bytes, ...] = ()
        self.total = 0
        self.accepted: dict[bytes, tuple[int, tuple[Slice, ...]]] = {}
        if self.sizes is not None and sum(self.sizes) <= JOIN_BYTES:
            self.rest, self.pads, self.total = self.pack([None] * len(self.sizes), self.sizes)

    def _fixed_sizes(self) -> list[int] | None:
        if DType.BYTES in self.dtypes:
            return None
        return [prod(shape) * ITEM_SIZE[dtype] for dtype, shape in zip(self.dtypes, self.shapes, strict=True)]

    def pack(
        self, places: Sequence[tuple[int, int] | None], sizes: Sequence[int]
    ) -> tuple[bytes, tuple[bytes, ...], int]:
        """`rest`, `pads` and `total` for inputs of `sizes`: inline (None) or at (segment, offset)."""
        raw_bytes = frames.table_bytes([len(shape) for shape in self.shapes], len(self.outputs))
        payload = HEADER_BYTES + raw_bytes
        inline = [size for place, size in zip(places, sizes, strict=True) if place is None]
        offsets, total = frames.lay_out(payload, inline)
        following = iter(offsets)
        regions = tuple(
            Region(self.ordinals[i], self.dtypes[i], self.shapes[i], *(place or (0, next(following))), size)
            for i, (place, size) in enumerate(zip(places, sizes, strict=True))
        )
        header = HEADER.pack(0, 0, total, payload, 0, 0, 0, 0, 0)
        rest = header[16:] + frames.pack_table(Table(self.rows, regions, self.outputs))
        return rest, frames.pads(payload, inline), total

    def accept(self, raw: bytes, total: int) -> tuple[Slice, ...]:
        """Checks a reply's table as if a hostile worker had made it; remembers it if all is inline.

        Raises ProtocolViolation where it is malformed, Misfit where it is not what was promised.
        """
        table = frames.unpack_table(raw, total)
        if table.outputs or table.rows != self.rows:
            raise Misfit(f"the worker answered {table.rows} rows to {self.rows}")
        if len(table.tensors) != len(self.specs):
            raise Misfit(
                f"the model gave {len(table.tensors)} outputs where {len(self.specs)} were asked for"
            )
        for region, ordinal, spec in zip(table.tensors, self.outputs, self.specs, strict=True):
            _check_output(region, ordinal, spec)
        slices = tuple(
            _slice(region, spec.name) for region, spec in zip(table.tensors, self.specs, strict=True)
        )
        if not any(piece.segment or piece.elements >= 0 for piece in slices):
            if len(self.accepted) >= _MAX_ACCEPTED:
                self.accepted.clear()
            self.accepted[raw] = (total, slices)
        return slices


def _slice(region: Region, name: str) -> Slice:
    elements = prod(region.shape) if region.dtype is DType.BYTES else -1
    return Slice(name, region.shape, region.segment, region.offset, region.offset + region.size, elements)


def _check_output(region: Region, ordinal: int, spec: TensorSpec) -> None:
    if region.ordinal != ordinal:
        raise Misfit(f"the worker answered output {region.ordinal} where {ordinal} was asked for")
    if region.dtype is not spec.dtype:
        raise Misfit(f"output '{spec.name}' is {region.dtype.name}, the model promises {spec.dtype.name}")
    if not fits(region.shape, spec.shape):
        raise Misfit(
            f"output '{spec.name}' has shape {list(region.shape)}, the model promises {list(spec.shape)}"
        )


def fits(shape: tuple[int, ...], promised: tuple[int, ...]) -> bool:
    """True if `shape` is what `promised` says, which has -1 for free dimensions."""
    return len(shape) == len(promised) and all(
        want in {-1, dim} for dim, want in zip(shape, promised, strict=True)
    )


def size_of(parts: Sequence[Buffer]) -> int:
    """Bytes of buffers to be put one after the other; each must count in bytes (format B)."""
    return sum(map(len, parts))


def check_sizes(plan: RunPlan, sizes: Sequence[int]) -> None:
    """Raises ProtocolViolation where parts are not what the plan's shapes take: a bug on our side."""
    if plan.sizes is not None and list(sizes) != plan.sizes:
        raise ProtocolViolation(f"inputs of {list(sizes)} bytes in a batch that takes {plan.sizes}")
