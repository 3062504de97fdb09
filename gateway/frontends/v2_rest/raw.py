"""Raw binary requests: the whole body is the model's single input, and every output comes back as bytes."""

from __future__ import annotations

from math import prod

from gateway.core.clock import Clock
from gateway.core.dtypes import ITEM_SIZE, DType
from gateway.core.errors import InvalidInput
from gateway.core.messages import InferRequest, InferResponse, Lease
from gateway.core.model import ModelSpec
from gateway.core.tensor import Buffer, Tensor, check_size, serialise_bytes_elements
from gateway.core.tensor_spec import TensorSpec
from gateway.frontends.v2_rest.codec import Target, encode
from gateway.frontends.v2_rest.errors import JSON
from gateway.frontends.v2_rest.forms import Form
from gateway.wire.exchange import Headers

_ALL_BINARY = Form(all_binary=True)


def decode_raw(
    spec: ModelSpec, target: Target, body: Buffer, lease: Lease | None, clock: Clock
) -> InferRequest:
    """One row of `body`; raises InvalidInput where the signature leaves its shape open."""
    if len(spec.inputs) != 1:
        raise InvalidInput(
            f"Raw request must only have 1 input (found 1) to be deduced but got {len(spec.inputs)} inputs "
            f"in '{spec.name}' model configuration"
        )
    (wanted,) = spec.inputs
    data: Buffer
    if wanted.dtype is DType.BYTES:
        dims, data = _text_shape(wanted), serialise_bytes_elements([bytes(body)])
    else:
        dims, data = _shape(wanted, len(body)), body
        check_size(wanted.name, wanted.dtype, dims, len(body))
    shape = (1, *dims) if spec.max_batch_size else dims
    tensor = Tensor(wanted.name, wanted.dtype, shape, data)
    return InferRequest(target.model, target.version, (tensor,), protocol="rest", lease=lease)


def encode_raw(response: InferResponse) -> tuple[bytes | tuple[Buffer, ...], Headers]:
    """The answer's body and headers."""
    body, json_bytes = encode(_ALL_BINARY, response)
    if json_bytes is None:
        return body, (JSON,)
    return body, (
        (b"content-type", b"application/octet-stream"),
        (b"inference-header-content-length", b"%d" % json_bytes),
    )


def _text_shape(wanted: TensorSpec) -> tuple[int, ...]:
    if wanted.shape != (1,):
        raise InvalidInput(
            f"For BYTE datatype raw input '{wanted.name}', the model must have input shape [1], "
            f"it has {list(wanted.shape)}"
        )
    return wanted.shape


def _shape(wanted: TensorSpec, size: int) -> tuple[int, ...]:
    """The input's shape with its free dimension, if it has one, as large as `size` bytes make it."""
    free = wanted.shape.count(-1)
    if free > 1:
        raise InvalidInput(
            f"The shape of the raw input '{wanted.name}' can not be deduced because there are more than "
            "one variable-sized dimension"
        )
    slice_bytes = prod(dim for dim in wanted.shape if dim >= 0) * ITEM_SIZE[wanted.dtype]
    if not free:
        return wanted.shape
    if not slice_bytes or size % slice_bytes:
        raise InvalidInput(
            f"The shape of the raw input '{wanted.name}' can not be deduced: its {size} bytes are no "
            f"multiple of {slice_bytes}"
        )
    return tuple(size // slice_bytes if dim < 0 else dim for dim in wanted.shape)
