"""How many instances a model has and how long unused ones stay: our own keys in `parameters`."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.scaling import ScalePolicy, parse_keep_alive
from gateway.generated import model_config_pb2 as pb
from gateway.repository.instance_groups import MAX_INSTANCES
from gateway.repository.refusal import ConfigRefused, brief

_MIN, _MAX = "gateway.min_instances", "gateway.max_instances"
_KEEP_ALIVE, _TARGET = "gateway.keep_alive", "gateway.target_concurrency"
_SLEEP = "gateway.sleep"
_PINNED = "gateway.pinned"
_WEIGHT, MAX_WEIGHT = "gateway.weight", 100
SCALE_PARAMETERS = (_MIN, _MAX, _KEEP_ALIVE, _TARGET, _PINNED, _WEIGHT, _SLEEP)
_MAX_TARGET = 1_000_000
_FLAGS: Mapping[str, bool] = {"true": True, "false": False}


def read_scale(message: pb.ModelConfig) -> ScalePolicy:
    """The policy; raises ConfigRefused with the key and what is permitted."""
    told = {
        key: message.parameters[key].string_value for key in SCALE_PARAMETERS if key in message.parameters
    }
    if not told:
        return ScalePolicy()
    if message.HasField("ensemble_scheduling"):
        raise ConfigRefused(f"parameters['{min(told)}']", "means nothing for an ensemble")
    policy = ScalePolicy(
        _whole(told, _MIN),
        _whole(told, _MAX),
        _time(told, _KEEP_ALIVE),
        _target(told),
        _flag(told),
        _weight(told),
        _time(told, _SLEEP),
    )
    if policy.max_instances and policy.min_instances > policy.max_instances:
        raise ConfigRefused(f"parameters['{_MIN}']", f"{policy.min_instances} is above {_MAX}")
    if policy.max_instances and message.HasField("sequence_batching"):
        # A sequence stays where it began, and would end with its instance.
        raise ConfigRefused(f"parameters['{_MAX}']", "is not supported with sequence_batching")
    return policy


def _whole(told: Mapping[str, str], key: str) -> int:
    text = told.get(key, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) <= MAX_INSTANCES):
        raise ConfigRefused(f"parameters['{key}']", f"'{brief(text)}' is not in 0..{MAX_INSTANCES}")
    return int(text)


def _time(told: Mapping[str, str], key: str) -> float | None:
    if key not in told:
        return None
    try:
        return parse_keep_alive(told[key])
    except ValueError as error:
        raise ConfigRefused(f"parameters['{key}']", f"'{brief(told[key])}' {error}") from None


def _target(told: Mapping[str, str]) -> float:
    text = told.get(_TARGET, "0")
    try:
        value = float(text) if len(text) <= 32 else -1.0
    except ValueError:
        value = -1.0
    if not (value == 0 or 0.01 <= value <= _MAX_TARGET):
        raise ConfigRefused(f"parameters['{_TARGET}']", f"'{brief(text)}' is not in 0.01..{_MAX_TARGET}")
    return value


def _weight(told: Mapping[str, str]) -> int:
    text = told.get(_WEIGHT, "1")
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_WEIGHT):
        raise ConfigRefused(f"parameters['{_WEIGHT}']", f"'{brief(text)}' is not in 1..{MAX_WEIGHT}")
    return int(text)


def _flag(told: Mapping[str, str]) -> bool:
    text = told.get(_PINNED, "false")
    if text not in _FLAGS:
        raise ConfigRefused(f"parameters['{_PINNED}']", f"'{brief(text)}' is not one of true, false")
    return _FLAGS[text]
