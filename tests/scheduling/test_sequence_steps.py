from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import InvalidInput, ModelFailed
from gateway.core.model import ModelSpec
from gateway.core.sequence import Control, SequenceBatching
from gateway.scheduling.sequence_steps import (
    Step,
    check_rows,
    faults_of,
    identity_bytes,
    read_step,
    step_bytes,
    unknown_sequence,
)
from tests.fakes.specs import doubling_spec


def spec_with(identity: DType | None) -> ModelSpec:
    controls = () if identity is None else (Control("corrid", "C", identity),)
    return msgspec.structs.replace(doubling_spec(), sequence=SequenceBatching(controls=controls))


@pytest.mark.parametrize(
    ("parameters", "step"),
    [
        ({"sequence_id": 5}, Step(5, False, False)),
        ({"sequence_id": "a", "sequence_start": True, "x": 1}, Step("a", True, False)),
        ({"sequence_id": 5, "sequence_start": True, "sequence_end": True}, Step(5, True, True)),
    ],
)
def test_a_step_is_what_the_parameters_say(parameters: Mapping[str, Any], step: Step) -> None:
    assert read_step(spec_with(None), parameters) == step


@pytest.mark.parametrize("parameters", [{}, {"sequence_start": True}, {"x": 1}])
def test_a_request_must_be_of_a_sequence(parameters: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="'double' must specify a non-zero or non-empty correlation ID"):
        read_step(spec_with(None), parameters)


@pytest.mark.parametrize("identity", [-1, 1 << 64, "x" * 129, True])
def test_an_id_of_whom_nobody_checked_is_refused(identity: Any) -> None:
    """A model that calls this one may name anything."""
    with pytest.raises(InvalidInput, match="model 'double'"):
        read_step(spec_with(None), {"sequence_id": identity, "sequence_start": True})


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        (DType.BYTES, "a", 5),
        (DType.UINT64, 2**64 - 1, "a"),
        (DType.INT64, 2**63 - 1, 2**63),
        (DType.UINT32, 2**32 - 1, 2**32),
        (DType.INT32, 2**31 - 1, 2**31),
    ],
)
def test_a_model_that_is_told_the_id_can_be_told_it(dtype: DType, good: Any, bad: Any) -> None:
    assert read_step(spec_with(dtype), {"sequence_id": good}).identity == good
    with pytest.raises(InvalidInput, match="parameter 'sequence_id'"):
        read_step(spec_with(dtype), {"sequence_id": bad})


def test_a_request_is_one_row() -> None:
    check_rows("m", 1)
    with pytest.raises(InvalidInput, match="must specify batch-size 1"):
        check_rows("m", 2)


def test_what_is_not_open_is_told_with_what_may_have_happened() -> None:
    text = unknown_sequence("m", "abc", 1.5).text
    assert "sequence abc to model 'm' must specify the START flag" in text
    assert "idle for 1.5 s" in text


def test_faults_by_request() -> None:
    texts = [b"", b"ino thirteen", b"fbroken", b"i\xff"]
    data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    found = faults_of(data)
    assert [type(fault) for fault in found] == [type(None), InvalidInput, ModelFailed, InvalidInput]
    assert found[1] is not None
    assert found[1].text == "no thirteen"


def test_as_they_travel() -> None:
    assert struct.unpack("<qqQ", step_bytes(3, Step(2**64 - 1, True, False))) == (3, 1, 2**64 - 1)
    assert struct.unpack("<qqQ", step_bytes(0, Step("a", True, True))) == (0, 3, 0)
    assert identity_bytes(Step("ä", True, True)) == b"\2\0\0\0\xc3\xa4"
    assert identity_bytes(Step(5, True, True)) == bytes(4)
