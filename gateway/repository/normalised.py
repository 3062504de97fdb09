"""The one complete ModelConfig of a version: what was written, what was found, and every default.

DESIGN: what travels is the file as it was written and the version's ModelSpec, in which a worker may
have filled in tensors and batching; the two are joined when somebody asks, which is rare. The
defaults are those Triton shows, so that a client which reads them there finds them here.
"""

from __future__ import annotations

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.generated import model_config_pb2 as pb
from gateway.repository.formats import matching
from gateway.repository.sequence_batching import DEFAULT_IDLE_US


def completed(written: bytes, spec: ModelSpec) -> pb.ModelConfig:
    """The configuration of a version with `spec`; `written` is PartialConfig.written."""
    config = pb.ModelConfig.FromString(written)
    config.name, config.platform, config.backend = spec.name, spec.platform, spec.backend
    config.max_batch_size = spec.max_batch_size
    if not config.default_model_filename:
        known = matching(spec.platform, spec.backend)
        config.default_model_filename = known[0].file_name if known else ""
    if config.version_policy.WhichOneof("policy_choice") is None:
        config.version_policy.latest.num_versions = 1
    for tensors, told in ((spec.inputs, config.input), (spec.outputs, config.output)):
        if not told:
            for tensor in tensors:
                _describe(tensor, told.add())
    if spec.decoupled:
        config.model_transaction_policy.decoupled = True
    _complete_batching(config, spec)
    if not config.HasField("ensemble_scheduling"):  # which has none: it runs in the fronts
        _complete_instances(config, spec)
    for memory in ("input_pinned_memory", "output_pinned_memory"):
        if not config.optimization.HasField(memory):
            getattr(config.optimization, memory).enable = True
    return config


def _describe(spec: TensorSpec, message: pb.ModelInput | pb.ModelOutput) -> None:
    name = "STRING" if spec.dtype is DType.BYTES else spec.dtype.name
    message.name = spec.name
    message.data_type = pb.DataType.Value(f"TYPE_{name}")
    message.dims.extend(spec.shape)
    if isinstance(message, pb.ModelInput):
        message.optional = spec.is_optional
    if spec.reshape is not None:
        message.reshape.SetInParent()
        message.reshape.shape.extend(spec.reshape)


def _complete_batching(config: pb.ModelConfig, spec: ModelSpec) -> None:
    if config.HasField("sequence_batching"):
        _complete_sequences(config.sequence_batching, spec)
    if config.WhichOneof("scheduling_choice") is None and spec.batching.enabled and spec.max_batch_size > 1:
        config.dynamic_batching.SetInParent()
    if config.HasField("dynamic_batching") and spec.max_batch_size:
        # None preferred is all that fits.
        config.dynamic_batching.preferred_batch_size[:] = spec.batching.preferred_sizes or (
            spec.max_batch_size,
        )


def _complete_sequences(batching: pb.ModelSequenceBatching, spec: ModelSpec) -> None:
    batching.max_sequence_idle_microseconds = batching.max_sequence_idle_microseconds or DEFAULT_IDLE_US
    if batching.WhichOneof("strategy_choice") is None:
        batching.direct.SetInParent()
    if batching.HasField("oldest") and spec.max_batch_size and not batching.oldest.preferred_batch_size:
        batching.oldest.preferred_batch_size.append(spec.max_batch_size)


def _complete_instances(config: pb.ModelConfig, spec: ModelSpec) -> None:
    if not config.instance_group:
        config.instance_group.add(name=spec.name)
    for index, group in enumerate(config.instance_group):
        group.name = group.name or f"{spec.name}_{index}"
        group.count = group.count or 1
        if group.kind == pb.ModelInstanceGroup.KIND_AUTO:
            needs_gpu = group.gpus or spec.backend == "tensorrt"
            kind = pb.ModelInstanceGroup.KIND_GPU if needs_gpu else pb.ModelInstanceGroup.KIND_CPU
            group.kind = kind
