from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.clock import monotonic_ns, monotonic_s
from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor import serialise_bytes_elements
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import ABSENT, LoadedModel, LoadError
from gateway.workers.frames import Failure, ProtocolViolation
from gateway.workers.inline import InlineLink
from gateway.workers.links import Link
from gateway.workers.loading import load_model
from gateway.workers.messages import Load
from gateway.workers.plans import Signature
from tests.fakes.forked_worker import LAB, Answers
from tests.fakes.lab_runtime import checksum

SPEC = ModelSpec("m", 3, "", "lab", (), ())
ONE = Signature(((DType.FP32, (4,)),), (0,))


def load(path: Path, **told: Any) -> LoadedModel:
    (path / "model.lab").write_text(json.dumps(told))
    return load_model(Load(LAB, str(path), SPEC), monotonic_s)[0]


def parts(value: float, count: int = 1) -> list[list[bytes]]:
    return [[np.full(4, value, "f4").tobytes()] * count]


def test_answers_come_before_send_returns(tmp_path: Path) -> None:
    answers = Answers()
    link: Link = InlineLink(load(tmp_path), 1, answers, monotonic_ns)
    for batch, count in enumerate((1, 3, 3)):
        link.send(batch, count, ONE, parts(5, count))
        ((shape, data),) = answers.replies[batch]
        assert shape == (count, 1)
        assert np.frombuffer(data, "i8").tolist() == [checksum(np.full(4, 5, "f4"), 3)] * count
    assert link.in_flight == 0
    assert answers.leases == {0: None, 1: None, 2: None}


def test_answers_can_be_put_off_and_are_dropped_by_close(tmp_path: Path) -> None:
    answers, calls = Answers(), []

    def later(call: Callable[..., None], *arguments: Any) -> None:
        calls.append((call, arguments))

    link = InlineLink(load(tmp_path), 1, answers, monotonic_ns, later)
    link.send(1, 1, ONE, parts(5))
    link.send(2, 1, ONE, parts(5))
    assert (link.in_flight, answers.replies) == (2, {})
    call, arguments = calls[0]
    call(*arguments)
    assert list(answers.replies) == [1]
    link.close()
    link.close()
    call, arguments = calls[1]
    call(*arguments)
    assert list(answers.replies) == [1]


@pytest.mark.parametrize(
    ("do", "failure", "text"),
    [
        ("raise", Failure.MODEL_FAILED, "ValueError: a poison value"),
        ("bad_input", Failure.BAD_INPUT, "a value the caller must not send"),
        ("broken", Failure.FATAL, "the device is lost"),
        (
            "wrong_shape",
            Failure.MODEL_FAILED,
            "output 'CHECKSUM' has shape [7, 7, 7], the model promises [1, 1]",
        ),
    ],
)
def test_failures_are_told(tmp_path: Path, do: str, failure: Failure, text: str) -> None:
    answers = Answers()
    link = InlineLink(load(tmp_path, rows={"6": {"do": do}}), 1, answers, monotonic_ns)
    link.send(1, 1, ONE, parts(6))
    assert answers.errors == {1: (failure, text)}


def test_bytes_go_in_and_out() -> None:
    class Upper:
        spec = ModelSpec(
            "m", 1, "", "", (TensorSpec("T", DType.BYTES, (2,)),), (TensorSpec("U", DType.BYTES, (2,)),)
        )

        def infer(self, inputs: Any, *_: Any) -> Any:
            return [np.array([one.upper() for one in inputs[0]], object)]

        def close(self) -> None:
            pass

    answers = Answers()
    link = InlineLink(Upper(), 1, answers, monotonic_ns)
    raw = serialise_bytes_elements([b"a", b"bc"])
    link.send(1, 1, Signature(((DType.BYTES, (2,)),), (0,)), [[raw]])
    assert answers.replies[1] == (((2,), raw.upper()),)


def test_an_optional_input_may_be_left_out() -> None:
    class Chosen:
        spec = ModelSpec(
            "m",
            1,
            "",
            "",
            (TensorSpec("x", DType.INT8, (1,), is_optional=True), TensorSpec("y", DType.INT8, (1,))),
            (TensorSpec("z", DType.INT8, (1,)),),
        )

        def infer(self, inputs: Any, *_: Any) -> Any:
            x, y = inputs
            return [y if x is ABSENT else x + y]

        def close(self) -> None:
            pass

    answers = Answers()
    link = InlineLink(Chosen(), 1, answers, monotonic_ns)
    one = (DType.INT8, (1,))
    link.send(1, 1, Signature((one,), (0,), (1,)), [[b"\5"]])
    link.send(2, 1, Signature((one, one), (0,)), [[b"\1"], [b"\5"]])
    assert [answers.replies[batch] for batch in (1, 2)] == [(((1,), b"\5"),), (((1,), b"\6"),)]


def test_parts_of_the_wrong_size_are_never_run(tmp_path: Path) -> None:
    link = InlineLink(load(tmp_path), 1, Answers(), monotonic_ns)
    with pytest.raises(ProtocolViolation):
        link.send(1, 1, ONE, [[b"short"]])


def test_a_load_tells_its_phases_or_its_failure(tmp_path: Path) -> None:
    (tmp_path / "model.lab").write_text("{}")
    ticks = iter((1.0, 3.0, 7.0))
    assert load_model(Load(LAB, str(tmp_path), SPEC), lambda: next(ticks))[1] == {"runtime": 2.0, "load": 4.0}
    (tmp_path / "model.lab").write_text("[]")
    with pytest.raises(LoadError, match="AttributeError"):
        load_model(Load(LAB, str(tmp_path), SPEC), monotonic_s)
