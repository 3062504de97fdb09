"""One traced request, and how it is written: the objects of Triton's trace format.

Times are nanoseconds on the scale that never jumps. Tensors are kept as the first bytes of their data,
for whoever writes them later: nothing of a request can be held until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
import orjson

from gateway.core.dtypes import ITEM_SIZE, NUMPY, DType
from gateway.core.tensor import Tensor

# Of a text with its length; longer ones leave fewer whole.
_TEXT_BYTES = 64

# A name and its time.
Event = tuple[str, int]


class TracedTensor:
    """A tensor as far as it is written: all of its description, and `elements` of its data at most."""

    __slots__ = ("activity", "data", "dtype", "elements", "is_whole", "name", "shape")

    def __init__(self, activity: str, tensor: Tensor, elements: int) -> None:
        size = ITEM_SIZE[tensor.dtype]
        self.activity = activity
        self.name = tensor.name
        self.dtype = tensor.dtype
        self.shape = tensor.shape
        self.elements = elements
        limit = elements * (size or _TEXT_BYTES)
        self.data = bytes(memoryview(tensor.data)[:limit])
        self.is_whole = len(tensor.data) <= limit


class Traced:
    """One request under trace; `number` is its own among all of the gateway's for a long time."""

    __slots__ = ("events", "log_frequency", "model", "number", "parent", "request_id", "tensors", "version")

    def __init__(
        self, number: int, model: str, version: int, request_id: str, log_frequency: int = 0
    ) -> None:
        self.number = number
        self.model = model
        self.version = version
        self.request_id = request_id
        self.log_frequency = log_frequency
        self.parent = 0
        self.events: list[Event] = []
        self.tensors: list[TracedTensor] = []

    def objects(self) -> Iterator[dict[str, object]]:
        """What stands of it in a trace file: whose it is, then each event and each tensor."""
        about: dict[str, object] = {"id": self.number}
        if self.parent:
            about["parent_id"] = self.parent
        about |= {"model_name": self.model, "model_version": self.version}
        if self.request_id:
            about["request_id"] = self.request_id
        yield about
        for name, at_ns in self.events:
            yield {"id": self.number, "timestamps": [{"name": name, "ns": at_ns}]}
        for tensor in self.tensors:
            yield {"id": self.number, "activity": tensor.activity, "tensor": _told(tensor)}

    def lines(self) -> bytes:
        """The objects as JSON, one a line, with commas between them."""
        return b",\n".join(orjson.dumps(one) for one in self.objects())


def _told(tensor: TracedTensor) -> dict[str, object]:
    values = list(islice(_values(tensor), tensor.elements))
    told: dict[str, object] = {
        "name": tensor.name,
        "data": ",".join(values),
        "shape": ",".join(map(str, tensor.shape)),
        "dtype": tensor.dtype.name,
    }
    if not tensor.is_whole:
        told["data_elements"] = len(values)  # the first ones
    return told


def _values(tensor: TracedTensor) -> Iterable[str]:
    if tensor.dtype is DType.BYTES:
        return _texts(tensor)
    array = np.frombuffer(tensor.data, NUMPY[tensor.dtype])
    if tensor.dtype is DType.BF16:
        array = (array.astype("<u4") << 16).view("<f4")
    return map(str, array.tolist())


def _texts(tensor: TracedTensor) -> Iterator[str]:
    """As they are where they are UTF-8; the last may be cut off, and is then left out."""
    data = tensor.data
    at = 0
    while at + 4 <= len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if end > len(data):
            return
        yield data[at + 4 : end].decode("utf-8", "replace")
        at = end
