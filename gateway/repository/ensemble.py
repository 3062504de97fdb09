"""ensemble_scheduling of config.pbtxt to an EnsembleGraph: all that can be said without its parts."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message

from gateway.core.ensemble import EnsembleGraph, EnsembleStep, Pairs, fault_of_graph
from gateway.core.errors import InvalidInput
from gateway.core.model import MAX_VERSION, check_name
from gateway.generated import model_config_pb2 as pb
from gateway.repository.refusal import ConfigRefused, brief, in_range

ENSEMBLE = "ensemble"
MAX_STEPS = 256
MAX_NAME = 1024

_AT = "ensemble_scheduling"
_MEANINGLESS = ("instance_group", "model_warmup", "default_model_filename", "optimization")
_NOTHING = "means nothing for an ensemble"


def is_ensemble(message: pb.ModelConfig) -> bool:
    """Whether anything in it says that it is one."""
    return ENSEMBLE in {message.platform, message.backend} or message.HasField("ensemble_scheduling")


def read_ensemble(message: pb.ModelConfig, folder: str) -> EnsembleGraph | None:
    """The graph of the ensemble in `folder`, None where it is none; raises ConfigRefused."""
    if not is_ensemble(message):
        return None
    _check_kind(message)
    steps = tuple(
        _read_step(f"{_AT}.step[{index}]", step, folder)
        for index, step in enumerate(message.ensemble_scheduling.step)
    )
    in_range(f"{_AT}: number of steps", len(steps), 1, MAX_STEPS)
    graph = EnsembleGraph(steps)
    inputs = [tensor.name for tensor in message.input]
    outputs = [tensor.name for tensor in message.output]
    if fault := fault_of_graph(graph, inputs, outputs):
        raise ConfigRefused(_AT, fault)
    return graph


def _check_kind(message: pb.ModelConfig) -> None:
    for field in ("platform", "backend"):
        given = getattr(message, field)
        if given not in {"", ENSEMBLE}:
            raise ConfigRefused(field, f"'{brief(given)}' contradicts {_AT}: it must be '{ENSEMBLE}'")
    for field, is_given in (
        (_AT, message.HasField("ensemble_scheduling")),
        ("input", bool(message.input)),
        ("output", bool(message.output)),
    ):
        if not is_given:
            raise ConfigRefused(field, "must be given for an ensemble")
    _refuse_meaningless(message)


def _refuse_meaningless(message: pb.ModelConfig) -> None:
    """What is said of files, workers or engines, of which an ensemble has none."""
    for descriptor, value in message.ListFields():
        is_empty = isinstance(value, Message) and not value.ByteSize()
        if descriptor.name in _MEANINGLESS and not is_empty:
            raise ConfigRefused(descriptor.name, _NOTHING)
    for key in message.parameters:
        if key != "gateway.labels":
            raise ConfigRefused(f"parameters['{brief(key)}']", _NOTHING)
    for kind, tensors in (("input", message.input), ("output", message.output)):
        for index, tensor in enumerate(tensors):
            if tensor.HasField("reshape"):
                raise ConfigRefused(f"{kind}[{index}].reshape", _NOTHING)


def _read_step(at: str, message: pb.ModelEnsembling.Step, folder: str) -> EnsembleStep:
    try:
        model = check_name(message.model_name)
    except InvalidInput as error:
        raise ConfigRefused(f"{at}.model_name", error.text) from None
    if model == folder:
        raise ConfigRefused(f"{at}.model_name", f"'{model}' is the ensemble itself")
    version = message.model_version
    if version != -1:
        in_range(f"{at}.model_version, other than -1 for the latest", version, 1, MAX_VERSION)
    return EnsembleStep(
        model,
        max(version, 0),
        _read_map(f"{at}.input_map", message.input_map),
        _read_map(f"{at}.output_map", message.output_map),
    )


def _read_map(at: str, pairs: Mapping[str, str]) -> Pairs:
    if not pairs:
        raise ConfigRefused(at, "must be given")
    for name, tensor in pairs.items():
        for text in (name, tensor):
            if not text or len(text) > MAX_NAME or not text.isprintable():
                raise ConfigRefused(at, f"key and value must be 1 to {MAX_NAME} printable characters")
    return tuple(sorted(pairs.items()))
