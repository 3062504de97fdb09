"""What a model version is: its name, its signature, how it batches and where it runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from gateway.core.errors import InvalidInput
from gateway.core.sequence import SequenceBatching
from gateway.core.tensor_spec import TensorSpec

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MAX_VERSION = (1 << 63) - 1
# A letter first: never taken for a number.
LABEL = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")


class ModelKey(msgspec.Struct, frozen=True, order=True):
    """One version of one model."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


class QueuePolicy(msgspec.Struct, frozen=True):
    """How long and how many may wait; 0 is no limit for either but the gateway's own.

    `timeout_action` says what becomes of a request that has waited for `default_timeout_s`: refused,
    or moved behind all others of its level. With `allow_timeout_override` a request may ask for less.
    """

    timeout_action: Literal["reject", "delay"] = "reject"
    default_timeout_s: float = 0.0
    allow_timeout_override: bool = False
    max_queue_size: int = 0


class BatchPolicy(msgspec.Struct, frozen=True):
    """How requests wait, and when rows wait for one another; that not where `max_batch_size` is 0.

    `enabled` False runs each request alone. `max_queue_delay_s` 0 sends whatever is there as soon as
    an instance can take it. With `preserve_ordering` answers leave in the order in which their requests
    came. `priority_levels` 0 is one queue for all; else level 1 comes first, and a
    request that names none has `default_priority_level`. `priority_policies` are (level, policy),
    levels ascending; all other levels have `queue_policy`.

    `strategy` names the one of the batching strategies that forms the batches, "" the queue's own. It is told
    the objective for latency, the exact `size` of a batch (0 for the largest), and whether the order is
    `by_deadline` in place of arrival.
    """

    enabled: bool = True
    preferred_sizes: tuple[int, ...] = ()
    max_queue_delay_s: float = 0.0
    preserve_ordering: bool = False
    priority_levels: int = 0
    default_priority_level: int = 0
    queue_policy: QueuePolicy = QueuePolicy()
    priority_policies: tuple[tuple[int, QueuePolicy], ...] = ()
    strategy: str = ""
    objective_s: float = 0.0
    size: int = 0
    by_deadline: bool = False


class ModelSpec(msgspec.Struct, frozen=True):
    """Everything the data plane must know to check, batch and place a request.

    `max_batch_size` 0 means that the model has no batch axis; else every request's tensors have one
    in front of `TensorSpec.shape`, of 1..max_batch_size rows. `class_labels` are, by output, the
    names of its classes in order, and may be shorter than the output; a worker is not
    told of them. A `decoupled` model answers a request any number of times, a stateful one has `sequence`.
    One with a `concurrency` runs so many batches at the same time in each instance; 0 is one after the other.
    """

    name: str
    version: int
    platform: str
    backend: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int = 0
    batching: BatchPolicy = BatchPolicy()
    instances: int = 1
    isolation: Literal["auto", "process", "shared", "inline"] = "auto"
    class_labels: Mapping[str, tuple[str, ...]] = {}
    decoupled: bool = False
    concurrency: int = 0
    sequence: SequenceBatching | None = None

    @property
    def key(self) -> ModelKey:
        return ModelKey(self.name, self.version)


def check_name(name: str) -> str:
    """Returns `name`; raises InvalidInput where it could be anything but a plain model name."""
    if not NAME.fullmatch(name):
        raise InvalidInput("a model name is 1 to 128 of A-Z a-z 0-9 . _ -, the first a letter or digit")
    return name


def parse_version(text: str) -> int | str:
    """The version or label a caller named, 0 for "" (the latest); raises InvalidInput for anything else."""
    if text == "":
        return 0
    if LABEL.fullmatch(text):
        return text
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or not 0 < int(text) <= MAX_VERSION:
        raise InvalidInput("a model version is an integral value > 0, or a label that begins with a letter")
    return int(text)
