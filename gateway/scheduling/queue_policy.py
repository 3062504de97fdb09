"""What a model's queue policy says of one request: its level, how long it may wait, and until when. Pure.

The rules are Triton's. A request's `priority` counts where it is one of the model's levels, else (0, or
beyond the last) its level is the default one. Its `timeout` counts where its level's policy has a default
timeout, allows the override, and the request asks for less. One thing is added: where the level's policy
has no timeout, Triton ignores the request's; here it is then the caller's deadline for the whole answer.
What a policy limits is the time in the queue: it begins when the model is loaded.
"""

from __future__ import annotations

from math import inf

from gateway.core.messages import InferRequest
from gateway.core.model import BatchPolicy, QueuePolicy


def has_levels(policy: BatchPolicy) -> bool:
    """True where requests do not simply wait in the order they came, for as long as they like."""
    queues = (policy.queue_policy, *(queue for _, queue in policy.priority_policies))
    return policy.priority_levels > 1 or any(
        queue.default_timeout_s or queue.max_queue_size for queue in queues
    )


def level_of(policy: BatchPolicy, priority: int) -> int:
    """The level of a request: 1 is the highest; 0 is the only one of a model without levels."""
    return priority if 1 <= priority <= policy.priority_levels else policy.default_priority_level


def queue_of(policy: BatchPolicy, level: int) -> QueuePolicy:
    """The policy of a level."""
    return next((queue for of, queue in policy.priority_policies if of == level), policy.queue_policy)


def longest_wait_s(queue: QueuePolicy, asked_s: float) -> float:
    """How long a request may wait that asks for `asked_s` (inf: for nothing); inf for as long as it takes."""
    default_s = queue.default_timeout_s or inf
    return asked_s if queue.allow_timeout_override and asked_s < default_s < inf else default_s


def deadline_of(policy: BatchPolicy, request: InferRequest, deadline: float) -> float:
    """The deadline of a request with a `timeout`: earlier than `deadline` unless a policy rules its wait."""
    if queue_of(policy, level_of(policy, request.priority)).default_timeout_s:
        return deadline
    return min(deadline, request.timeout_at)
