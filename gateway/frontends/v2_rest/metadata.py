"""What V2 REST says of the server and of a model."""

from __future__ import annotations

import orjson

from gateway.core.tensor_spec import TensorSpec
from gateway.frontends.extensions import in_order
from gateway.pipeline.service import ModelDescription

# Exactly those that always work; Triton's other extensions are not claimed.
EXTENSIONS = (
    "classification",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)


def server_metadata(name: str, version: str, extensions: tuple[str, ...] = ()) -> bytes:
    """The body of GET /v2; `extensions` beyond those that always work."""
    return orjson.dumps({"name": name, "version": version, "extensions": in_order(EXTENSIONS + extensions)})


def model_metadata(description: ModelDescription) -> bytes:
    """The body of GET /v2/models/{model}; shapes with the batch axis in front, as -1."""
    spec = description.spec
    batch = (-1,) if spec.max_batch_size else ()
    return orjson.dumps({
        "name": spec.name,
        "versions": [str(version) for version in description.versions],
        "platform": spec.platform,
        "inputs": [_tensor(tensor, batch) for tensor in spec.inputs],
        "outputs": [_tensor(tensor, batch) for tensor in spec.outputs],
    })


def _tensor(spec: TensorSpec, batch: tuple[int, ...]) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.dtype.name, "shape": batch + spec.shape}
