"""A worker's side of batches: frames to arrays, arrays through the model, arrays to frames.

DESIGN: one receive buffer for the whole process, because it runs one batch at a time. What a table
says is checked once; the arrays over the receive buffer that it describes are then kept with it, so a
batch of a known kind costs no numpy call before the engine. Large inputs are views of the front's
segments, large outputs are written by the engine into segments of this worker: neither is copied.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from gateway.core.dtypes import NUMPY, DType
from gateway.core.errors import InvalidInput
from gateway.core.model import ModelSpec
from gateway.core.tensor import Buffer, iterate_bytes_elements, serialise_bytes_elements
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import (
    ABSENT,
    Array,
    BadInput,
    ConcurrentModel,
    LoadedModel,
    StreamingModel,
    concurrent,
    streaming,
)
from gateway.runtimes.sequence_signature import wired
from gateway.workers import frames
from gateway.workers.arena import Arena, ArenaLease, Segment
from gateway.workers.frames import HEADER, HEADER_BYTES, MAX_FRAME_BYTES, ProtocolViolation, Region, Table
from gateway.workers.plans import fits
from gateway.workers.segments import ForeignSegments

_MAX_PLANS = 512
_MAX_REPLIES = 64
_OBJECT = np.dtype(object)


class ModelMisbehaved(Exception):
    """The model's outputs are not what its signature promises; the text is for the caller."""


class NoRoom(Exception):
    """No shared memory is left for the outputs: the front has not released earlier ones."""


class ReplyForm(NamedTuple):
    """A reply's table, the padding after each inline output, the frame's length, and that of all outputs."""

    table: bytes
    pads: tuple[bytes, ...]
    total: int
    tensor_bytes: int


class ServePlan:
    """One checked kind of RUN frame. `inputs` are None where they must be made for each batch."""

    __slots__ = ("dtypes", "inputs", "outputs", "regions", "replies", "rows", "specs", "total")

    def __init__(self, spec: ModelSpec, table: Table, total: int) -> None:
        lead = (table.rows,) if spec.max_batch_size else ()
        self.total = total
        self.rows = table.rows
        self.regions = table.tensors
        self.outputs = table.outputs
        self.specs = tuple(
            TensorSpec(out.name, out.dtype, lead + out.shape) for out in _wanted(spec, table.outputs)
        )
        self.dtypes = tuple(NUMPY.get(out.dtype, _OBJECT) for out in self.specs)
        self.inputs: tuple[Array, ...] | None = None
        # Forms of all-inline replies by the outputs' shapes.
        self.replies: dict[tuple[tuple[int, ...], ...], ReplyForm] = {}


def _wanted(spec: ModelSpec, outputs: Sequence[int]) -> list[TensorSpec]:
    if not outputs or max(outputs) >= len(spec.outputs) or len(set(outputs)) != len(outputs):
        raise ProtocolViolation("a batch that wants outputs the model does not have")
    return [spec.outputs[ordinal] for ordinal in outputs]


class LargeOutputs:
    """Implements contract.OutputMemory for one batch; holds what it gave out until it is lent or freed."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._leases: dict[int, ArenaLease] = {}

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array | None:
        """See contract.OutputMemory."""
        count = prod(shape)
        room = self._allocate(count * dtype.itemsize)
        return None if room is None else np.frombuffer(room[0], dtype, count).reshape(shape)

    def place(self, data: Array | bytes) -> tuple[Segment, int]:
        """Where `data` lies in our segments: where the engine put it, else where it is copied to now."""
        if isinstance(data, np.ndarray):
            found = self._arena.locate(data.data) if data.flags.c_contiguous else None
            if found is not None and found[0].number in self._leases:
                return found
        raw = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
        copy = self.array(raw.dtype, raw.shape)
        if copy is None:
            raise NoRoom
        copy[...] = raw
        found = self._arena.locate(copy.data)
        assert found is not None
        return found

    def lend(self, number: int) -> ArenaLease:
        """Hands over the lease of a segment that a reply refers to."""
        return self._leases.pop(number)

    def free(self) -> None:
        """Frees all that was not lent."""
        for lease in self._leases.values():
            lease.release()
        self._leases.clear()

    def _allocate(self, size: int) -> tuple[memoryview, ArenaLease] | None:
        room = self._arena.allocate(size)
        if room is not None:
            self._leases[room[1].segment.number] = room[1]
        return room


class Executor:
    """Runs one model for all data channels of the process; knows arrays and tables, not sockets."""

    def __init__(self, model: LoadedModel, arena: Arena) -> None:
        self.model = model
        self.arena = arena
        self.view = memoryview(mmap.mmap(-1, MAX_FRAME_BYTES))
        self._spec = wired(model.spec)
        self.streaming: StreamingModel | None = streaming(model)
        self.concurrent: ConcurrentModel | None = concurrent(model)
        self.is_plain = self.streaming is None and self.concurrent is None
        self._plans: dict[bytes, ServePlan] = {}

    def plan(self, total: int, payload: int) -> ServePlan:
        """The plan for the RUN frame now in `view`; raises ProtocolViolation."""
        raw = self.view[HEADER_BYTES:payload].tobytes()
        plan = self._plans.get(raw)
        if plan is None or plan.total != total:
            plan = self._check(raw, total)
        return plan

    def inputs(self, plan: ServePlan, theirs: ForeignSegments) -> tuple[Array, ...]:
        """The batch's inputs, read-only; raises ProtocolViolation, and BadInput for malformed BYTES."""
        return plan.inputs or self._in_places(plan, [self._input(region, theirs) for region in plan.regions])

    def _check(self, raw: bytes, total: int) -> ServePlan:
        table = frames.unpack_table(raw, total)
        check_inputs(self._spec, table)
        plan = ServePlan(self._spec, table, total)
        if not any(region.segment or region.dtype is DType.BYTES for region in table.tensors):
            arrays = [_array(region, self.view[region.offset :]) for region in table.tensors]
            plan.inputs = self._in_places(plan, arrays)
        if not any(region.segment for region in table.tensors):
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            self._plans[raw] = plan
        return plan

    def _in_places(self, plan: ServePlan, arrays: Sequence[Array]) -> tuple[Array, ...]:
        count = len(self._spec.inputs)
        if len(arrays) == count:
            return tuple(arrays)
        return in_places(arrays, [region.ordinal for region in plan.regions], count)

    def _input(self, region: Region, theirs: ForeignSegments) -> Array:
        if region.segment:
            return _array(region, theirs.view(region.segment, region.offset, region.size))
        return _array(region, self.view[region.offset : region.offset + region.size])


def in_places(arrays: Sequence[Array], ordinals: Sequence[int], count: int) -> tuple[Array, ...]:
    """The inputs of a model that has `count`: those given, by their ordinals, and ABSENT for all others."""
    given = dict(zip(ordinals, arrays, strict=True))
    return tuple([given.get(ordinal, ABSENT) for ordinal in range(count)])


def check_inputs(spec: ModelSpec, table: Table) -> None:
    """Raises ProtocolViolation unless the batch is one that the model's signature allows."""
    lead: tuple[int, ...] = (table.rows,) if spec.max_batch_size else ()
    if not 1 <= table.rows <= max(1, spec.max_batch_size):
        raise ProtocolViolation(f"a batch of {table.rows} rows for a model of {spec.max_batch_size}")
    given = [region.ordinal for region in table.tensors]
    if given != [i for i, want in enumerate(spec.inputs) if i in given or not want.is_optional]:
        raise ProtocolViolation("a batch without exactly the model's inputs in order")
    for region, want in zip(table.tensors, [spec.inputs[i] for i in given], strict=True):
        if region.dtype is not want.dtype or not fits(region.shape, lead + want.shape):
            raise ProtocolViolation(
                f"input '{want.name}' as {region.dtype.name} {list(region.shape)} for a model that takes "
                f"{want.dtype.name} {list(lead + want.shape)}"
            )


def _array(region: Region, view: memoryview) -> Array:
    if region.dtype is DType.BYTES:
        return decode_bytes(region.shape, view[: region.size])
    array: Array = np.frombuffer(view, NUMPY[region.dtype], prod(region.shape)).reshape(region.shape)
    array.flags.writeable = False
    return array


def decode_bytes(shape: tuple[int, ...], data: Buffer) -> Array:
    """An object array of bytes from serialised BYTES; raises BadInput."""
    try:
        elements = [bytes(element) for element in iterate_bytes_elements("", data)]
    except InvalidInput as error:
        raise BadInput(error.text) from None
    if len(elements) != prod(shape):
        raise BadInput(f"{len(elements)} BYTES elements for shape {list(shape)}")
    array: Array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


# ---- outputs ------------------------------------------------------------------------------------


def check_outputs(plan: ServePlan, results: Sequence[Array]) -> None:
    """Raises ModelMisbehaved unless the model answered what it promised."""
    if len(results) != len(plan.specs):
        raise ModelMisbehaved(f"the model gave {len(results)} outputs where {len(plan.specs)} were asked for")
    for result, dtype, spec in zip(results, plan.dtypes, plan.specs, strict=True):
        if not isinstance(result, np.ndarray):
            raise ModelMisbehaved(f"output '{spec.name}' is no array")
        if result.dtype != dtype:
            raise ModelMisbehaved(f"output '{spec.name}' is {result.dtype}, the model promises {dtype}")
        if not fits(result.shape, spec.shape):
            raise ModelMisbehaved(
                f"output '{spec.name}' has shape {list(result.shape)}, the model promises {list(spec.shape)}"
            )


def encode_outputs(results: Sequence[Array]) -> list[Array | bytes]:
    """The outputs as they travel: BYTES serialised; raises ModelMisbehaved for other objects."""
    return [encode_bytes(result) if result.dtype == _OBJECT else result for result in results]


def encode_bytes(result: Array) -> bytes:
    """Serialised BYTES of an object array of bytes or str; raises ModelMisbehaved."""
    elements = [one.encode() if isinstance(one, str) else one for one in result.ravel().tolist()]
    if not all(isinstance(one, bytes) for one in elements):
        raise ModelMisbehaved("a BYTES output has elements that are neither bytes nor str")
    return serialise_bytes_elements(elements)


def reply_form(
    plan: ServePlan,
    results: Sequence[Array],
    sizes: Sequence[int],
    places: Sequence[tuple[int, int] | None],
) -> ReplyForm:
    """The form of a reply whose outputs lie inline (None) or at (segment, offset)."""
    payload = HEADER_BYTES + frames.table_bytes([result.ndim for result in results], 0)
    inline = [size for size, place in zip(sizes, places, strict=True) if place is None]
    offsets, total = frames.lay_out(payload, inline)
    following = iter(offsets)
    regions = tuple(
        Region(ordinal, spec.dtype, result.shape, *(place or (0, next(following))), size)
        for ordinal, spec, result, place, size in zip(
            plan.outputs, plan.specs, results, places, sizes, strict=True
        )
    )
    table = frames.pack_table(Table(plan.rows, regions, ()))
    return ReplyForm(table, frames.pads(payload, inline), total, sum(sizes))


def remember(plan: ServePlan, results: Sequence[Array], form: ReplyForm) -> None:
    """Keeps the form of an all-inline reply without BYTES for the next batch of these shapes."""
    if len(plan.replies) >= _MAX_REPLIES:
        plan.replies.clear()
    plan.replies[tuple([result.shape for result in results])] = form


def packed(word: int, batch: int, form: ReplyForm, inline: Sequence[bytes], infer_ns: int) -> bytes:
    """The frame of an answer of `form`; of its times it tells one."""
    payload = HEADER_BYTES + len(form.table)
    pieces = [HEADER.pack(word, batch, form.total, payload, infer_ns, 0, 0, 0, 0), form.table]
    for data, pad in zip(inline, form.pads, strict=True):
        pieces.append(data)
        if pad:
            pieces.append(pad)
    return b"".join(pieces)
