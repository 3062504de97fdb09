"""The model configuration extension over REST: a ModelConfig as JSON, with Triton's numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict

from gateway.pipeline.service import ModelDescription
from gateway.repository.normalised import completed

_EACH = "*"
# JSON of protobuf writes 64-bit integers as texts. Triton writes these as numbers, and no others.
_NUMBERS: tuple[tuple[str, ...], ...] = (
    ("input", _EACH, "dims", _EACH),
    ("input", _EACH, "reshape", "shape", _EACH),
    ("output", _EACH, "dims", _EACH),
    ("output", _EACH, "reshape", "shape", _EACH),
    ("version_policy", "specific", "versions", _EACH),
    ("dynamic_batching", "max_queue_delay_microseconds"),
    ("dynamic_batching", "priority_levels"),
    ("dynamic_batching", "default_priority_level"),
    ("dynamic_batching", "default_queue_policy", "default_timeout_microseconds"),
    ("dynamic_batching", "priority_queue_policy", _EACH, "default_timeout_microseconds"),
    ("sequence_batching", "max_sequence_idle_microseconds"),
    ("sequence_batching", "direct", "max_queue_delay_microseconds"),
    ("sequence_batching", "oldest", "max_queue_delay_microseconds"),
    ("sequence_batching", "state", _EACH, "dims", _EACH),
    ("sequence_batching", "state", _EACH, "initial_state", _EACH, "dims", _EACH),
    ("ensemble_scheduling", "step", _EACH, "model_version"),
    ("model_warmup", _EACH, "inputs", _EACH, "dims", _EACH),
)


def model_config(description: ModelDescription) -> bytes:
    """The body of GET /v2/models/{model}/config."""
    config = completed(description.config, description.spec)
    told: dict[str, Any] = MessageToDict(
        config, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    for path in _NUMBERS:
        _to_numbers(told, path)
    return orjson.dumps(told)


def _to_numbers(node: Any, path: tuple[str, ...]) -> None:
    """Makes the texts at the end of `path` below `node` numbers, as far as the path leads."""
    step, rest = path[0], path[1:]
    for key in _keys(node, step):
        if rest:
            _to_numbers(node[key], rest)
        else:
            node[key] = int(node[key])


def _keys(node: Any, step: str) -> Iterable[Any]:
    if step != _EACH:
        return (step,) if step in node else ()
    return range(len(node)) if isinstance(node, list) else tuple(node)
