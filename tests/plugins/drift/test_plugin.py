"""Models that are watched: a reference is frozen, windows are judged, and both outlive the process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.caller import ANYBODY
from gateway.core.dtypes import DType
from gateway.core.messages import InferRequest, InferResponse
from gateway.core.tensor import Tensor
from gateway.testing import Bench, Function, start
from gateway_plugins.drift.plugin import Drift, DriftSettings

RANDOM = np.random.default_rng(5)


def made(folder: Path, **more: Any) -> Drift:
    told = {
        "models": ["m"],
        "reference": folder / "reference.json",
        "report": folder / "report.json",
        "reference_rows": 1000,
        "window_rows": 500,
    }
    return Drift(DriftSettings.model_validate({**told, **more}), start())


def feed(plugin: Drift, rows: int, shift: float = 0.0, model: str = "m") -> None:
    """Two features, of which the second moves; the output is their sum."""
    for _ in range(rows // 50):
        x = RANDOM.normal(size=(50, 2)).astype("<f4")
        x[:, 1] += shift
        y = x.sum(axis=1, keepdims=True)
        inputs = (Tensor("x", DType.FP32, x.shape, x.tobytes()), Tensor("t", DType.BYTES, (0,), b""))
        outputs = (Tensor("y", DType.FP32, y.shape, y.tobytes()),)
        plugin.transform_response(InferResponse(model, 1, outputs), InferRequest(model, 0, inputs), ANYBODY)


def report(folder: Path) -> dict[tuple[str, str], list[str]]:
    told = json.loads((folder / "report.json").read_text())
    return {
        (one["side"], one["tensor"]): [feature["verdict"] for feature in one["features"]]
        for one in told["tensors"]
    }


def test_what_moves_is_told_by_feature(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plugin = made(tmp_path)
    feed(plugin, 1000)
    feed(plugin, 500)
    asyncio.run(plugin.write())
    assert report(tmp_path) == {("inputs", "x"): ["stable", "stable"], ("outputs", "y"): ["stable"]}
    assert "drift" not in caplog.text
    feed(plugin, 500, shift=2.0)
    asyncio.run(plugin.write())
    assert report(tmp_path) == {("inputs", "x"): ["stable", "severe"], ("outputs", "y"): ["severe"]}
    assert "drift: m, inputs 'x': features 1" in caplog.text


def test_the_reference_stays_frozen_over_a_restart(tmp_path: Path) -> None:
    first = made(tmp_path)
    feed(first, 1000)
    asyncio.run(first.write())
    second = made(tmp_path)
    feed(second, 500, shift=2.0)
    asyncio.run(second.write())
    assert report(tmp_path)["inputs", "x"] == ["stable", "severe"]


def test_other_models_and_other_shapes_are_passed_over(tmp_path: Path) -> None:
    plugin = made(tmp_path)
    feed(plugin, 2000, model="other")
    feed(plugin, 1000)
    wide = Tensor("x", DType.FP32, (1, 3), bytes(12))
    plugin.transform_response(InferResponse("m", 1, ()), InferRequest("m", 0, (wide,)), ANYBODY)
    assert {key[0] for key in plugin._watched} == {"m"}


@pytest.mark.parametrize("text", ["{", "[1]", '[{"model": "m"}]', '{"a": 1}'])
def test_a_reference_that_is_none_stops_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "reference.json").write_text(text)
    with pytest.raises(ValueError, match=r"reference: reference.json holds none"):
        made(tmp_path)


def test_a_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a folder is not there"):
        made(tmp_path, report=tmp_path / "none" / "report.json")


def test_in_a_gateway(tmp_path: Path) -> None:
    async def run() -> None:
        plugin = made(tmp_path, models=["echo"])
        async with Bench(plugin, models={"echo": Function(max_batch_size=1024)}) as bench:
            for shift in (0.0, 0.0, 3.0):
                rows = (RANDOM.normal(size=(600, 1)) + shift).astype("f4")
                assert (await bench.infer("echo", {"x": rows})).is_ok
            assert not bench.failures

    asyncio.run(run())
    assert report(tmp_path) == {("inputs", "x"): ["severe"], ("outputs", "x"): ["severe"]}


def test_how_far_a_model_has_drifted_is_on_the_page(tmp_path: Path) -> None:
    plugin = made(tmp_path)
    feed(plugin, 1000)
    assert plugin.measures() == ()
    feed(plugin, 500, shift=2.0)
    told = {(one.name, dict(one.labels)["tensor"]): one.value for one in plugin.measures()}
    assert (told["drifted_features", "x"], told["drifted_features", "y"]) == (1, 1)
    assert told["psi", "x"] > 0.25
