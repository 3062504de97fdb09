"""A small model first, a large one where that is in doubt."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gateway.core.dtypes import DType
from gateway.core.messages import InferResponse
from gateway.core.tensor import Tensor
from gateway.hooks.values import Target
from gateway.testing import Bench, Function, start
from gateway_plugins.cascade import Cascade, CascadeSettings

STEP = {"models": ["small"], "output": "x", "at_least": 0.8, "model": "large"}
LARGE = Target("large", 0)


def cascade(**more: Any) -> Cascade:
    return Cascade(CascadeSettings.model_validate({"steps": [{**STEP, **more}]}), start())


def answer(rows: Any, model: str = "small", name: str = "x") -> InferResponse:
    data = np.array(rows, "<f4")
    return InferResponse(model, 1, (Tensor(name, DType.FP32, data.shape, data.tobytes()),))


@pytest.mark.parametrize(
    ("measure", "rows", "is_in_doubt"),
    [
        ("max", [[0.1, 0.9]], False),
        ("max", [[0.1, 0.9], [0.4, 0.6]], True),
        ("max", [[0.1, float("nan")]], True),
        ("max", [0.9, 0.7], True),
        ("margin", [[0.05, 0.05, 0.9]], False),
        ("margin", [[0.6, 0.3, 0.1]], True),
        ("margin", [[0.9]], False),
        ("binary", [[0.05], [0.95]], False),
        ("binary", [[0.05], [0.5]], True),
    ],
)
def test_how_sure_a_model_is(measure: str, rows: Any, is_in_doubt: bool) -> None:
    assert cascade(measure=measure).reconsider(answer(rows)) == (LARGE if is_in_doubt else None)


def test_the_larger_one_and_strangers_are_believed() -> None:
    for model in ("large", "other"):
        assert cascade(models=["*rge", "small"]).reconsider(answer([[0.5]], model)) is None


def test_an_answer_that_says_nothing_of_it_is_believed_and_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = cascade()
    texts = InferResponse("small", 1, (Tensor("x", DType.BYTES, (1,), b"\1\0\0\0a"),))
    with caplog.at_level(logging.WARNING):
        for one in (answer([[0.5]], name="y"), texts, answer(np.zeros((0, 2)))):
            assert made.reconsider(one) is None
    assert caplog.text.count("has no numbers in 'x'") == 1


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_a_cascade_in_a_front(protocol: str) -> None:
    """Each answers with what it is asked; the large one with its negative."""
    models = {"small": Function(), "large": Function(lambda inputs: {"x": -inputs["x"]})}

    async def run() -> tuple[list[float], list[str], dict[Any, float]]:
        async with Bench(cascade(), models=models) as bench:
            told = [await bench.infer("small", {"x": [[value]]}, protocol=protocol) for value in (0.9, 0.5)]
            values = [float(one.outputs["x"][0][0]) for one in told]
            return values, [one.model for one in bench.records], bench.measures()

    values, records, measures = asyncio.run(run())
    assert values == pytest.approx([0.9, -0.5])
    assert records == ["small", "small", "large"]
    assert measures["Cascade", "passed_on", (("model", "small"),)] == 1


def test_a_larger_one_that_is_not_there_leaves_the_first_answer() -> None:
    async def run() -> Any:
        async with Bench(cascade(), models={"small": Function()}) as bench:
            return await bench.infer("small", {"x": [[0.5]]})

    assert asyncio.run(run()).outputs["x"] == [[0.5]]


def test_steps_are_replaced_whole_or_not_at_all() -> None:
    made = cascade()
    before, tag = made.document(), made.tag()
    with pytest.raises(ValueError, match=r"steps\.0\.at_least"):
        made.replace({"steps": [{**STEP, "at_least": "much"}]})
    assert (made.document(), made.tag()) == (before, tag)
    made.replace({"steps": []})
    assert made.reconsider(answer([[0.5]])) is None
    assert made.tag() != tag


@pytest.mark.parametrize(
    "wrong", [{"model": "../x"}, {"version": "a b"}, {"measure": "mean"}, {"models": []}]
)
def test_what_is_no_step(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        cascade(**wrong)
