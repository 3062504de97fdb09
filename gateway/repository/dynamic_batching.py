"""dynamic_batching of config.pbtxt to a BatchPolicy, by Triton's rules."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.model import BatchPolicy, QueuePolicy
from gateway.generated import model_config_pb2 as pb
from gateway.repository.batching_strategy import with_strategy
from gateway.repository.refusal import ConfigRefused, in_range

MAX_QUEUE_DELAY_US = 60_000_000
MAX_TIMEOUT_US = 3_600_000_000
MAX_PRIORITY_LEVELS = 1024
# A worker and a front are told of a model in one packet of 128 KiB; a policy takes 0.1 of that.
MAX_PRIORITY_POLICIES = 128

_AT = "dynamic_batching"


def read_batching(message: pb.ModelConfig) -> BatchPolicy:
    """How the model's requests wait and batch; raises ConfigRefused.

    As Triton: a model that says how large its batches are and not `dynamic_batching` runs each alone; one
    without a batch axis may have the section for its queue policies, and then runs each alone too. There
    is no key of our own for those policies: whoever knows Triton's configuration looks for them here.
    """
    return with_strategy(message, _read_dynamic(message))


def _read_dynamic(message: pb.ModelConfig) -> BatchPolicy:
    if not message.HasField("dynamic_batching"):
        return BatchPolicy(enabled=not (message.max_batch_size or message.input))
    batching = message.dynamic_batching
    delay_us = batching.max_queue_delay_microseconds
    in_range(f"{_AT}.max_queue_delay_microseconds", delay_us, 0, MAX_QUEUE_DELAY_US)
    policy = BatchPolicy(
        preferred_sizes=_read_preferred(batching, message.max_batch_size),
        max_queue_delay_s=delay_us / 1e6,
        preserve_ordering=batching.preserve_ordering,
        priority_levels=in_range(f"{_AT}.priority_levels", batching.priority_levels, 0, MAX_PRIORITY_LEVELS),
        default_priority_level=_read_default_level(batching),
        queue_policy=_read_queue(f"{_AT}.default_queue_policy", batching.default_queue_policy),
        priority_policies=_read_levels(batching.priority_queue_policy, batching.priority_levels),
    )
    _check_ordering(policy)
    return policy


def written_batching(written: bytes) -> BatchPolicy:
    """The same of a configuration that is known to be sound, as PartialConfig.written has it."""
    return read_batching(pb.ModelConfig.FromString(written))


def _read_preferred(batching: pb.ModelDynamicBatching, max_batch_size: int) -> tuple[int, ...]:
    field = f"{_AT}.preferred_batch_size"
    preferred = sorted(set(batching.preferred_batch_size))
    if preferred and not max_batch_size:
        raise ConfigRefused(field, "needs max_batch_size")
    for size in preferred:
        in_range(field, size, 1, max_batch_size)
    return tuple(preferred)


def _read_default_level(batching: pb.ModelDynamicBatching) -> int:
    field, levels = f"{_AT}.default_priority_level", batching.priority_levels
    if not levels:
        if batching.default_priority_level:
            raise ConfigRefused(field, "needs priority_levels")
        return 0
    return in_range(field, batching.default_priority_level, 1, levels)


def _read_levels(
    policies: Mapping[int, pb.ModelQueuePolicy], levels: int
) -> tuple[tuple[int, QueuePolicy], ...]:
    field = f"{_AT}.priority_queue_policy"
    if policies and not levels:
        raise ConfigRefused(field, "needs priority_levels")
    in_range(f"{field}: number of policies", len(policies), 0, MAX_PRIORITY_POLICIES)
    return tuple(
        (in_range(field, level, 1, levels), _read_queue(f"{field}[{level}]", policies[level]))
        for level in sorted(policies)
    )


def _read_queue(at: str, message: pb.ModelQueuePolicy) -> QueuePolicy:
    timeout_us = message.default_timeout_microseconds
    return QueuePolicy(
        timeout_action="delay" if message.timeout_action == pb.ModelQueuePolicy.DELAY else "reject",
        default_timeout_s=in_range(f"{at}.default_timeout_microseconds", timeout_us, 0, MAX_TIMEOUT_US) / 1e6,
        allow_timeout_override=message.allow_timeout_override,
        max_queue_size=message.max_queue_size,
    )


def _check_ordering(policy: BatchPolicy) -> None:
    """Answers in order and requests that overtake each other exclude one another."""
    if not policy.preserve_ordering:
        return
    if policy.priority_levels > 1:
        raise ConfigRefused(f"{_AT}.preserve_ordering", "cannot be kept with more than one priority level")
    queues = (policy.queue_policy, *(queue for _, queue in policy.priority_policies))
    if any(queue.timeout_action == "delay" and queue.default_timeout_s for queue in queues):
        raise ConfigRefused(f"{_AT}.preserve_ordering", "cannot be kept with a timeout_action DELAY")
