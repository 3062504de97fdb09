"""One batch's outputs back into one answer per request, along the batch axis."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.dtypes import ITEM_SIZE, DType
from gateway.core.messages import InferResponse, Lease
from gateway.core.model import ModelSpec
from gateway.core.tensor import Buffer, Tensor, iterate_bytes_elements
from gateway.scheduling.pending import Pending
from gateway.workers.links import Output


def whole(spec: ModelSpec, member: Pending, outputs: Sequence[Output], lease: Lease | None) -> InferResponse:
    """The answer of a batch that was one request alone; takes over `lease`."""
    specs = spec.outputs
    return InferResponse(
        spec.name,
        spec.version,
        tuple([
            Tensor(specs[index].name, specs[index].dtype, shape, data)
            for index, (shape, data) in zip(member.plan.signature.outputs, outputs, strict=True)
        ]),
        member.request.id,
        lease=lease,
    )


def split(
    spec: ModelSpec, members: Sequence[Pending], outputs: Sequence[Output], lease: Lease | None
) -> list[InferResponse]:
    """An answer per member, in order; each holds `lease` once (the caller's own hold is not used up).

    Every output has the batch's rows as its first dimension: the channel has checked that.
    """
    columns = [
        _column(spec, index, members, shape, data)
        for index, (shape, data) in zip(members[0].plan.signature.outputs, outputs, strict=True)
    ]
    name, version = spec.name, spec.version
    responses = []
    for member, tensors in zip(members, zip(*columns, strict=True), strict=True):
        if lease is not None:
            lease.hold()
        responses.append(InferResponse(name, version, tensors, member.request.id, lease=lease))
    return responses


def _column(
    spec: ModelSpec, index: int, members: Sequence[Pending], shape: tuple[int, ...], data: Buffer
) -> list[Tensor]:
    name, dtype = spec.outputs[index].name, spec.outputs[index].dtype
    item = ITEM_SIZE[dtype]
    if not item:
        return _bytes_column(name, members, shape, data)
    row_bytes = len(data) // shape[0]
    tail = shape[1:]
    one = (1, *tail)  # shared: most requests have one row
    tensors = []
    at = 0
    for member in members:
        rows = member.plan.rows
        end = at + rows * row_bytes
        tensors.append(Tensor(name, dtype, one if rows == 1 else (rows, *tail), data[at:end]))
        at = end
    return tensors


def _bytes_column(
    name: str, members: Sequence[Pending], shape: tuple[int, ...], data: Buffer
) -> list[Tensor]:
    per_row = 1
    for dim in shape[1:]:
        per_row *= dim
    ends = [0]
    for element in iterate_bytes_elements(name, data):
        ends.append(ends[-1] + 4 + len(element))
    tensors = []
    row = 0
    for member in members:
        until = row + member.plan.rows
        piece = data[ends[row * per_row] : ends[until * per_row]]
        tensors.append(Tensor(name, DType.BYTES, (member.plan.rows, *shape[1:]), piece))
        row = until
    return tensors
