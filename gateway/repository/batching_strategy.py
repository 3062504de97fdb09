"""Which strategy forms a model's batches, and what it is told: our own keys in `parameters`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gateway.core.model import BatchPolicy
from gateway.core.scaling import parse_keep_alive
from gateway.generated import model_config_pb2 as pb
from gateway.repository.refusal import ConfigRefused, brief

_STRATEGY, _OBJECTIVE = "gateway.batching", "gateway.latency_objective"
_SIZE, _ORDER = "gateway.batch_size", "gateway.batching_order"
BATCHING_PARAMETERS = (_STRATEGY, _OBJECTIVE, _SIZE, _ORDER)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAX_OBJECTIVE_S = 3600.0
_ORDERS: Mapping[str, bool] = {"arrival": False, "deadline": True}


def with_strategy(message: pb.ModelConfig, policy: BatchPolicy) -> BatchPolicy:
    """`policy` with what the parameters say; raises ConfigRefused with the key and what is permitted.

    Whether there is a strategy of that name is not known here: plugins bring them, to the fronts.
    """
    told = {
        key: message.parameters[key].string_value for key in BATCHING_PARAMETERS if key in message.parameters
    }
    if not told:
        return policy
    if _STRATEGY not in told:
        raise _refused(min(told), f"needs {_STRATEGY}")
    name = told[_STRATEGY]
    if not _NAME.fullmatch(name):
        raise _refused(_STRATEGY, f"'{brief(name)}' is not 1 to 64 of a-z 0-9 _, the first a letter")
    _check_model(message)
    _check_policy(policy)
    return msgspec.structs.replace(
        policy,
        enabled=True,
        strategy=name,
        objective_s=_objective_s(told),
        size=_size(told, message.max_batch_size),
        by_deadline=_by_deadline(told),
    )


def _check_model(message: pb.ModelConfig) -> None:
    if message.HasField("ensemble_scheduling"):
        raise _refused(_STRATEGY, "means nothing for an ensemble")
    if message.HasField("sequence_batching"):
        raise _refused(_STRATEGY, "is not supported with sequence_batching")
    if message.model_transaction_policy.decoupled:
        raise _refused(_STRATEGY, "is not supported where a model is decoupled")
    if not message.max_batch_size:
        raise _refused(_STRATEGY, "needs max_batch_size")


def _check_policy(policy: BatchPolicy) -> None:
    """Levels are an order, which a strategy is given; timeouts and sizes are for the queue's own batcher."""
    queues = (policy.queue_policy, *(queue for _, queue in policy.priority_policies))
    if any(queue.default_timeout_s or queue.max_queue_size for queue in queues):
        raise _refused(_STRATEGY, "is not supported with a queue policy's timeout or max_queue_size")


def _objective_s(told: Mapping[str, str]) -> float:
    if _OBJECTIVE not in told:
        return 0.0
    text = told[_OBJECTIVE]
    try:
        seconds = parse_keep_alive(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MAX_OBJECTIVE_S:
        raise _refused(
            _OBJECTIVE, f'\'{brief(text)}\' is not a time such as "20ms" or "1.5s", at most an hour'
        )
    return seconds


def _size(told: Mapping[str, str], max_batch_size: int) -> int:
    if _SIZE not in told:
        return 0
    text = told[_SIZE]
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= max_batch_size):
        raise _refused(_SIZE, f"'{brief(text)}' is not in 1..{max_batch_size}")
    return int(text)


def _by_deadline(told: Mapping[str, str]) -> bool:
    text = told.get(_ORDER, "arrival")
    if text not in _ORDERS:
        raise _refused(_ORDER, f"'{brief(text)}' is not one of arrival, deadline")
    return _ORDERS[text]


def _refused(key: str, problem: str) -> ConfigRefused:
    return ConfigRefused(f"parameters['{key}']", problem)
