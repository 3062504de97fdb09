"""Model specs and requests for tests."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

import numpy as np

from gateway.core.dtypes import DType
from gateway.core.errors import GatewayError
from gateway.core.messages import NO_PARAMETERS, InferRequest, InferResponse, Lease, Parameter
from gateway.core.model import BatchPolicy, ModelSpec
from gateway.core.tensor import Tensor
from gateway.core.tensor_spec import TensorSpec


def doubling_spec(
    *, max_batch_size: int = 8, policy: BatchPolicy | None = None, width: int = 2, version: int = 1
) -> ModelSpec:
    """FP32 x [width] in, FP32 y [width] out."""
    return ModelSpec(
        "double",
        version,
        "fake",
        "fake",
        (TensorSpec("x", DType.FP32, (width,)),),
        (TensorSpec("y", DType.FP32, (width,)),),
        max_batch_size=max_batch_size,
        batching=policy or BatchPolicy(),
    )


def row_request(
    value: float,
    *,
    rows: int = 1,
    width: int = 2,
    deadline: float = inf,
    lease: Lease | None = None,
    priority: int = 0,
    timeout_at: float = inf,
    model: str = "double",
    version: int | str = 0,
    parameters: Mapping[str, Parameter] = NO_PARAMETERS,
    protocol: str = "rest",
) -> InferRequest:
    """A request whose every element is `value`."""
    data = np.full((rows, width), value, "<f4").tobytes()
    return InferRequest(
        model,
        version,
        (Tensor("x", DType.FP32, (rows, width), data),),
        deadline=deadline,
        lease=lease,
        priority=priority,
        timeout_at=timeout_at,
        parameters=parameters,
        protocol=protocol,
    )


class KeptStream:
    """A StreamSink that keeps what it is told."""

    def __init__(self) -> None:
        self.responses: list[InferResponse] = []
        self.faults: list[GatewayError] = []
        self.ends: list[GatewayError | None] = []
        self.is_writable = True

    def on_response(self, response: InferResponse, *, is_last: bool) -> None:
        assert not self.ends, "told something after the end"
        self.responses.append(response)
        if is_last:
            self.ends.append(None)

    def on_fault(self, error: GatewayError) -> None:
        assert not self.ends, "told something after the end"
        self.faults.append(error)

    def on_end(self, error: GatewayError | None) -> None:
        assert not self.ends, "ended twice"
        self.ends.append(error)

    @property
    def values(self) -> list[float]:
        """The first element of each answer."""
        return [float(np.frombuffer(one.outputs[0].data, "<f4")[0]) for one in self.responses]


class CountedLease:
    """A lease that knows its holds."""

    def __init__(self) -> None:
        self.holds = 1

    def hold(self) -> None:
        assert self.holds > 0
        self.holds += 1

    def release(self) -> None:
        self.holds -= 1
        assert self.holds >= 0
