"""config.pbtxt, Triton's description of a model, to a PartialConfig.

A field is honoured or refused, never ignored: a model that would run with other semantics than its
author wrote down is worse than one that does not start. Submessages that ask for nothing (`optimization
{ }`) are no request and pass. Text format over our own descriptors: no includes, no `Any`, no
recursive message, so depth is bounded by the schema (5) and work by the size limit; the slowest
file of 1 MiB found takes about two seconds, once per change of the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from google.protobuf import text_format
from google.protobuf.message import Message

from gateway.core.model import MAX_VERSION
from gateway.generated import model_config_pb2 as pb
from gateway.repository.accelerators import read_accelerators
from gateway.repository.catalogue import PartialConfig
from gateway.repository.dynamic_batching import read_batching
from gateway.repository.ensemble import ENSEMBLE, is_ensemble, read_ensemble
from gateway.repository.formats import FORMATS, REMOTE, matching
from gateway.repository.instance_groups import count_of, read_instances, refuse_gpu_in_front
from gateway.repository.options import (
    check_optional,
    read_decoupled,
    read_isolation,
    read_labels,
    read_options,
    told,
)
from gateway.repository.refusal import ConfigRefused, brief, in_range, plain_file_name
from gateway.repository.scaling import read_scale
from gateway.repository.sequence_batching import read_sequence_batching
from gateway.repository.tensors import read_label_files, read_tensors
from gateway.repository.versions import All, Latest, Specific, VersionPolicy
from gateway.repository.warmup import read_warmup

MAX_CONFIG_BYTES = 1 << 20
MAX_BATCH = 1 << 20

# protobuf says "<line>:<column> : '<the line>': <what is wrong>", the quotation not always.
_PARSE_ERROR = re.compile(r"\d+:\d+ : (?:'.*': )?(.*)", re.DOTALL)

# By message, the fields that are read below. A message that is not listed is read whole.
_HONOURED: Mapping[str, frozenset[str]] = {
    "ModelConfig": frozenset({
        *("name", "platform", "backend", "version_policy", "max_batch_size", "input", "output"),
        *("dynamic_batching", "instance_group", "default_model_filename", "parameters", "optimization"),
        *("model_warmup", "model_transaction_policy", "response_cache", "ensemble_scheduling"),
        "sequence_batching",
    }),
    "ModelInput": frozenset({"name", "data_type", "dims", "reshape", "format", "optional"}),
    "ModelOutput": frozenset({"name", "data_type", "dims", "reshape", "label_filename"}),
    "ModelInstanceGroup": frozenset({"name", "kind", "count", "gpus"}),
    "ModelEnsembling": frozenset({"step"}),
    "ModelSequenceBatching": frozenset({
        *("direct", "oldest", "max_sequence_idle_microseconds", "control_input", "state"),
    }),
    "State": frozenset({"input_name", "output_name", "data_type", "dims", "initial_state"}),
    "Step": frozenset({"model_name", "model_version", "input_map", "output_map"}),
    # Whether memory lent to a GPU is pinned changes no answer.
    "ModelOptimizationPolicy": frozenset({
        *("graph", "execution_accelerators", "input_pinned_memory", "output_pinned_memory"),
    }),
    "ExecutionAccelerators": frozenset({"gpu_execution_accelerator", "cpu_execution_accelerator"}),
    "ModelTransactionPolicy": frozenset({"decoupled"}),
    "ModelResponseCache": frozenset(),
}
# Present but empty, these mean what their absence means.
_EMPTY_IS_ABSENT = frozenset({"model_operations", "model_repository_agents", "model_metrics", "rate_limiter"})
# More than "is not supported", where somebody who moves here will ask why.
_WHY: Mapping[str, str] = {
    "cuda": "is not supported: tensors do not stay where they are, as a CUDA graph would need",
}


def parse(data: bytes, folder: str) -> PartialConfig:
    """The configuration of the model in the folder of that name; raises ConfigRefused."""
    return understand(_read(data), folder)


def understand(message: pb.ModelConfig, folder: str) -> PartialConfig:
    """What `message`, however it came, says of the model of that name; raises ConfigRefused."""
    _refuse_unsupported(message, "")
    if message.name not in {"", folder}:
        raise ConfigRefused("name", f"'{brief(message.name)}' is not the name of the folder, '{folder}'")
    rows = in_range("max_batch_size", message.max_batch_size, 0, MAX_BATCH)
    ensemble = read_ensemble(message, folder)
    check_optional(message)
    platform, groups = _check_engine(message), read_instances(message)
    isolation = read_isolation(message.parameters)
    refuse_gpu_in_front(groups, isolation)
    return PartialConfig(
        platform=platform,
        backend="" if ensemble else message.backend,
        max_batch_size=rows,
        inputs=read_tensors("input", message.input, rows),
        outputs=read_tensors("output", message.output, rows),
        batching=read_batching(message),
        version_policy=_read_version_policy(message.version_policy),
        instances=count_of(groups),
        groups=groups,
        model_filename=_read_file_name(message.default_model_filename),
        options={} if ensemble else {**read_options(message), **read_accelerators(message).options()},
        isolation=isolation,
        labels=read_labels(message.parameters),
        scale=read_scale(message),
        label_files=read_label_files(message.output),
        warmup=read_warmup(message.model_warmup, rows),
        ensemble=ensemble,
        written=told(message).SerializeToString(deterministic=True),
        decoupled=read_decoupled(message),
        sequence=read_sequence_batching(message),
    )


def _read(data: bytes) -> pb.ModelConfig:
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigRefused("", f"is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        return text_format.Parse(data.decode("utf-8"), pb.ModelConfig())
    except UnicodeDecodeError as error:
        raise ConfigRefused("", f"byte {error.start} is not UTF-8") from None
    except text_format.ParseError as error:
        found = _PARSE_ERROR.fullmatch(str(error))
        problem = brief(found[1] if found else str(error))
        raise ConfigRefused(f"line {error.GetLine()}, column {error.GetColumn()}", problem) from None


def _refuse_unsupported(message: Message, prefix: str) -> None:
    honoured = _HONOURED.get(message.DESCRIPTOR.name)
    if honoured is None:
        return
    for field, value in message.ListFields():
        if field.name not in honoured:
            if field.name in _EMPTY_IS_ABSENT and not value.ByteSize():
                continue
            raise ConfigRefused(f"{prefix}{field.name}", _WHY.get(field.name, "is not supported"))
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        if field.is_repeated:
            for index, item in enumerate(value):
                _refuse_unsupported(item, f"{prefix}{field.name}[{index}].")
        else:
            _refuse_unsupported(value, f"{prefix}{field.name}.")


def _check_engine(message: pb.ModelConfig) -> str:
    """The platform; refuses a platform and backend that no format fits."""
    if is_ensemble(message):
        return ENSEMBLE
    if not matching(message.platform, message.backend):
        field = "backend" if matching(message.platform, "") else "platform"
        given = brief(message.backend if field == "backend" else message.platform)
        known = ", ".join(sorted({ENSEMBLE, *(getattr(entry, field) for entry in (*FORMATS, REMOTE))}))
        raise ConfigRefused(field, f"'{given}' is not supported; supported: {known}")
    return message.platform


def _read_file_name(name: str) -> str:
    return name and plain_file_name("default_model_filename", name)


# ---- versions -------------------------------------------------------------------------------------


def _read_version_policy(message: pb.ModelVersionPolicy) -> VersionPolicy:
    match message.WhichOneof("policy_choice"):
        case "all":
            return All()
        case "specific":
            at = "version_policy.specific.versions"
            versions = sorted(in_range(at, each, 1, MAX_VERSION) for each in message.specific.versions)
            if not versions:
                raise ConfigRefused(at, "names no version")
            return Specific(tuple(dict.fromkeys(versions)))
        case "latest":
            at = "version_policy.latest.num_versions"
            return Latest(in_range(at, message.latest.num_versions, 1, 1 << 32))
    return Latest()
