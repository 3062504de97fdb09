from __future__ import annotations

import pytest
from google.protobuf import text_format

from gateway.core.model import BatchPolicy, QueuePolicy
from gateway.generated import model_config_pb2 as pb
from gateway.repository.dynamic_batching import MAX_PRIORITY_POLICIES, read_batching, written_batching
from gateway.repository.refusal import ConfigRefused

REJECT = "timeout_action: REJECT default_timeout_microseconds: 1500 max_queue_size: 7"
DELAY = "timeout_action: DELAY default_timeout_microseconds: 1 allow_timeout_override: true"


def config(text: str) -> pb.ModelConfig:
    return text_format.Parse(f"max_batch_size: 8 dynamic_batching {{ {text} }}", pb.ModelConfig())


GOOD = {
    "": BatchPolicy(),
    "preserve_ordering: true": BatchPolicy(preserve_ordering=True),
    "priority_levels: 3 default_priority_level: 2": BatchPolicy(priority_levels=3, default_priority_level=2),
    "priority_levels: 1 default_priority_level: 1 preserve_ordering: true": BatchPolicy(
        preserve_ordering=True, priority_levels=1, default_priority_level=1
    ),
    f"default_queue_policy {{ {REJECT} }}": BatchPolicy(queue_policy=QueuePolicy("reject", 0.0015, False, 7)),
    f"priority_levels: 2 default_priority_level: 1 priority_queue_policy {{ key: 2 value {{ {DELAY} }} }}": (
        BatchPolicy(
            priority_levels=2,
            default_priority_level=1,
            priority_policies=((2, QueuePolicy("delay", 1e-6, True, 0)),),
        )
    ),
    "preserve_ordering: true default_queue_policy { timeout_action: DELAY }": BatchPolicy(
        preserve_ordering=True, queue_policy=QueuePolicy("delay")
    ),
}


@pytest.mark.parametrize(("text", "expected"), GOOD.items(), ids=list(GOOD))
def test_what_is_understood(text: str, expected: BatchPolicy) -> None:
    assert read_batching(config(text)) == expected


def test_a_model_without_a_batch_axis_may_have_a_queue_policy() -> None:
    message = text_format.Parse(
        f"dynamic_batching {{ default_queue_policy {{ {REJECT} }} }}", pb.ModelConfig()
    )
    assert read_batching(message).queue_policy == QueuePolicy("reject", 0.0015, False, 7)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("priority_levels: 2", "default_priority_level: 0 is not in 1..2"),
        ("priority_levels: 2 default_priority_level: 3", "default_priority_level: 3 is not in 1..2"),
        ("default_priority_level: 1", "default_priority_level: needs priority_levels"),
        ("priority_levels: 5000 default_priority_level: 1", "priority_levels: 5000 is not in 0..1024"),
        ("priority_queue_policy { key: 1 value { } }", "priority_queue_policy: needs priority_levels"),
        (
            "priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 value { } }",
            "priority_queue_policy: 3 is not in 1..2",
        ),
        (
            "default_queue_policy { default_timeout_microseconds: 99999999999 }",
            "default_queue_policy.default_timeout_microseconds: 99999999999 is not in 0..",
        ),
        (
            "preserve_ordering: true priority_levels: 2 default_priority_level: 1",
            "preserve_ordering: cannot be kept with more than one priority level",
        ),
        (
            f"preserve_ordering: true default_queue_policy {{ {DELAY} }}",
            "preserve_ordering: cannot be kept with a timeout_action DELAY",
        ),
        (
            "priority_levels: 200 default_priority_level: 1"
            + "".join(f" priority_queue_policy {{ key: {one} value {{ }} }}" for one in range(1, 130)),
            f"priority_queue_policy: number of policies: 129 is not in 0..{MAX_PRIORITY_POLICIES}",
        ),
    ],
)
def test_what_is_refused(text: str, refusal: str) -> None:
    with pytest.raises(ConfigRefused) as caught:
        read_batching(config(text))
    assert caught.value.text.startswith(f"config.pbtxt: dynamic_batching.{refusal}")


def test_what_was_written_is_read_again() -> None:
    message = config(f"default_queue_policy {{ {REJECT} }}")
    assert written_batching(message.SerializeToString()) == read_batching(message)
    assert written_batching(b"") == BatchPolicy()
