"""What a model says of a tensor; apart from the tensors themselves, which are compiled."""

from __future__ import annotations

import msgspec

from gateway.core.dtypes import DType


class TensorSpec(msgspec.Struct, frozen=True):
    """What a model says of one input or output; `shape` has -1 for free dimensions.

    `shape` leaves the batch axis out when the model batches (`ModelSpec.max_batch_size` > 0), as
    config.pbtxt does. `reshape` is the shape that the engine wants where it is not the caller's: as
    many elements, free dimensions in the same order. An input that `is_optional` may be left out.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    reshape: tuple[int, ...] | None = None
    is_optional: bool = False
