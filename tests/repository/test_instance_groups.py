from __future__ import annotations

import pytest
from google.protobuf import text_format

from gateway.core.placement import InstanceGroup
from gateway.generated import model_config_pb2 as pb
from gateway.repository.instance_groups import count_of, read_instances, refuse_gpu_in_front
from gateway.repository.refusal import ConfigRefused


def groups(text: str) -> tuple[InstanceGroup, ...]:
    return read_instances(text_format.Parse(text, pb.ModelConfig()))


@pytest.mark.parametrize(
    ("text", "expected", "count"),
    [
        ("", (InstanceGroup(),), 1),
        ("instance_group { count: 3 }", (InstanceGroup("auto", 3),), 3),
        ("instance_group { kind: KIND_CPU }", (InstanceGroup("cpu"),), 1),
        ("instance_group { kind: KIND_GPU count: 2 }", (InstanceGroup("gpu", 2),), 2),
        ("instance_group { gpus: [ 2 ] }", (InstanceGroup("gpu", 1, (2,)),), 1),
        ("instance_group { kind: KIND_GPU count: 2 gpus: [ 0, 1 ] }", (InstanceGroup("gpu", 2, (0, 1)),), 4),
        ("backend: 'python' instance_group { kind: KIND_GPU }", (InstanceGroup("gpu"),), 1),
        ("backend: 'tensorrt' instance_group { kind: KIND_GPU }", (InstanceGroup("gpu"),), 1),
    ],
)
def test_what_is_understood(text: str, expected: tuple[InstanceGroup, ...], count: int) -> None:
    assert groups(text) == expected
    assert count_of(groups(text)) == count


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "instance_group { kind: KIND_MODEL }",
            "[0].kind: KIND_MODEL is not supported; supported: KIND_AUTO",
        ),
        ("instance_group { count: 65 }", "[0].count: 65 is not in 1..64"),
        ("instance_group { gpus: [ -1 ] }", "[0].gpus: -1 is not in 0..255"),
        ("instance_group { gpus: [ 1, 1 ] }", "[0].gpus: names one of them twice"),
        ("instance_group { kind: KIND_CPU gpus: 1 }", "[0].gpus: means nothing with KIND_CPU"),
        ("instance_group { count: 33 gpus: [ 0, 1 ] }", ": count of all groups: 66 is not in 1..64"),
        (
            "backend: 'tensorrt' instance_group { } instance_group { kind: KIND_CPU }",
            "[1].kind: KIND_CPU is not supported for backend 'tensorrt'",
        ),
        (
            "backend: 'tensorrt' instance_group { kind: KIND_CPU }",
            "[0].kind: KIND_CPU is not supported for backend 'tensorrt'",
        ),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigRefused) as caught:
        groups(text)
    assert caught.value.text.startswith(f"config.pbtxt: instance_group{reason}")


def test_a_front_opens_no_gpu() -> None:
    refuse_gpu_in_front((InstanceGroup("gpu"),), None)
    refuse_gpu_in_front((InstanceGroup(),), "inline")
    with pytest.raises(ConfigRefused, match=r"KIND_GPU contradicts gateway.isolation inline"):
        refuse_gpu_in_front((InstanceGroup("gpu"),), "inline")
