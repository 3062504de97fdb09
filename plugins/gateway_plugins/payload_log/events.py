"""From a request and its answer to a CloudEvent (version 1.0, JSON)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from gateway.core.caller import Caller, matches
from gateway.core.dtypes import NUMPY, DType
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.tensor import Tensor, iterate_bytes_elements
from gateway_plugins.payload_log.settings import PayloadLogSettings

TYPE = "org.model-gateway.inference"
_REDACTED = "[redacted]"


def event(
    settings: PayloadLogSettings,
    identity: str,
    wall: float,
    request: InferRequest,
    response: InferResponse,
    caller: Caller,
) -> dict[str, Any]:
    """The event; holds nothing of headers, and of tensors and parameters what the settings leave."""
    data: dict[str, Any] = {
        "model": response.model,
        "version": response.version,
        "request_id": request.id,
        "protocol": request.protocol,
        "principal": caller.id,
        "tenant": caller.tenant,
        "parameters": _parameters(settings, request.parameters),
    }
    if settings.inputs:
        data["inputs"] = [_tensor(settings, one) for one in request.inputs]
    if settings.outputs:
        data["outputs"] = [_tensor(settings, one) for one in response.outputs]
    return {
        "specversion": "1.0",
        "id": identity,
        "source": f"/models/{response.model}/versions/{response.version}",
        "type": TYPE,
        "time": datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": data,
    }


def _parameters(settings: PayloadLogSettings, told: Mapping[str, object]) -> dict[str, object]:
    return {name: _REDACTED if _is_secret(settings.redact, name) else value for name, value in told.items()}


def _tensor(settings: PayloadLogSettings, tensor: Tensor) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.dtype.name,
        "shape": list(tensor.shape),
    }
    if _is_secret(settings.redact, tensor.name):
        told["data"] = _REDACTED
    elif np.prod(tensor.shape, dtype=np.int64) <= settings.max_elements:
        told["data"] = _elements(tensor)
    return told


def _elements(tensor: Tensor) -> list[Any]:
    """The elements in order; bytes that are no text in hexadecimal, numbers that JSON has not as texts."""
    if tensor.dtype is DType.BYTES:
        return [_text(bytes(one)) for one in iterate_bytes_elements(tensor.name, tensor.data)]
    if tensor.dtype not in NUMPY:
        return [bytes(tensor.data).hex()]
    values = np.frombuffer(tensor.data, NUMPY[tensor.dtype])
    if values.dtype.kind != "f" or np.isfinite(values).all():
        found: list[Any] = values.tolist()
        return found
    return [one if np.isfinite(one) else str(one) for one in values.tolist()]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.hex()


def _is_secret(patterns: Sequence[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)
