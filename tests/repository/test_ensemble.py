from __future__ import annotations

import pytest
from google.protobuf import text_format

from gateway.core.ensemble import EnsembleGraph, EnsembleStep
from gateway.generated import model_config_pb2 as pb
from gateway.repository.ensemble import MAX_STEPS, read_ensemble
from gateway.repository.refusal import ConfigRefused

IN = "input { name: 'in' data_type: TYPE_FP32 dims: 2 }"
OUT = "output { name: 'out' data_type: TYPE_FP32 dims: 2 }"
MAPS = "input_map { key: 'x' value: 'in' } output_map { key: 'y' value: 'out' }"


def ensemble(steps: str, more: str = "", ends: str = IN + OUT) -> pb.ModelConfig:
    text = f"platform: 'ensemble' {ends} {more} ensemble_scheduling {{ {steps} }}"
    return text_format.Parse(text, pb.ModelConfig())


def step(model: str = "a", version: str = "-1", maps: str = MAPS) -> str:
    return f"step {{ model_name: '{model}' model_version: {version} {maps} }}"


def refusal(message: pb.ModelConfig) -> str:
    with pytest.raises(ConfigRefused) as caught:
        read_ensemble(message, "m")
    return caught.value.text.removeprefix("config.pbtxt: ")


def test_what_says_nothing_of_an_ensemble_is_none() -> None:
    assert read_ensemble(text_format.Parse(f"backend: 'python' {IN}", pb.ModelConfig()), "m") is None


def test_steps_with_their_versions_and_maps() -> None:
    more = "input_map { key: 'z' value: 't' } input_map { key: 'x' value: 't' }"
    middle = step(maps="input_map { key: 'x' value: 'in' } output_map { key: 'y' value: 't' }")
    last = step("b", "7", f"{more} output_map {{ key: 'y' value: 'out' }}")
    assert read_ensemble(ensemble(middle + last), "m") == EnsembleGraph((
        EnsembleStep("a", 0, (("x", "in"),), (("y", "t"),)),
        EnsembleStep("b", 7, (("x", "t"), ("z", "t")), (("y", "out"),)),
    ))


@pytest.mark.parametrize("said", ["", "platform: 'ensemble'", "backend: 'ensemble'"])
def test_the_ways_to_say_that_it_is_one(said: str) -> None:
    text = f"{said} {IN} {OUT} ensemble_scheduling {{ {step()} }}"
    assert read_ensemble(text_format.Parse(text, pb.ModelConfig()), "m") is not None


def test_what_asks_for_nothing_is_no_contradiction() -> None:
    more = "optimization { } parameters { key: 'gateway.labels' value { string_value: 'a=1' } }"
    assert read_ensemble(ensemble(step(), more), "m") is not None


REFUSED = {
    "no scheduling": (
        text_format.Parse(f"platform: 'ensemble' {IN} {OUT}", pb.ModelConfig()),
        "ensemble_scheduling: must be given for an ensemble",
    ),
    "another platform": (
        text_format.Parse("platform: 'onnxruntime_onnx' ensemble_scheduling { }", pb.ModelConfig()),
        "platform: 'onnxruntime_onnx' contradicts ensemble_scheduling: it must be 'ensemble'",
    ),
    "another backend": (ensemble(step(), "backend: 'python'"), "backend: 'python' contradicts"),
    "no input": (ensemble(step(), ends=OUT), "input: must be given"),
    "no output": (ensemble(step(), ends=IN), "output: must be given"),
    "no step": (ensemble(""), "ensemble_scheduling: number of steps: 0 is not in 1..256"),
    "too many steps": (ensemble(step() * (MAX_STEPS + 1)), "ensemble_scheduling: number of steps: 257"),
    "no model": (ensemble(step("")), "ensemble_scheduling.step[0].model_name: a model name is"),
    "a path": (ensemble(step("../a")), "ensemble_scheduling.step[0].model_name: a model name is"),
    "itself": (ensemble(step("m")), "ensemble_scheduling.step[0].model_name: 'm' is the ensemble itself"),
    "version 0": (
        ensemble(step(version="0")),
        "ensemble_scheduling.step[0].model_version, other than -1 for the latest: 0 is not in 1..",
    ),
    "version -2": (ensemble(step(version="-2")), "ensemble_scheduling.step[0].model_version, other than -1"),
    "no input map": (
        ensemble(step(maps="output_map { key: 'y' value: 'out' }")),
        "ensemble_scheduling.step[0].input_map: must be given",
    ),
    "no output map": (
        ensemble(step(maps="input_map { key: 'x' value: 'in' }")),
        "ensemble_scheduling.step[0].output_map: must be given",
    ),
    "no name": (
        ensemble(step(maps="input_map { key: 'x' } output_map { key: 'y' value: 'out' }")),
        "ensemble_scheduling.step[0].input_map: key and value must be 1 to 1024 printable characters",
    ),
    "a graph that is none": (
        ensemble(step(maps="input_map { key: 'x' value: 'in' } output_map { key: 'y' value: 't' }")),
        "ensemble_scheduling: no step makes the output 'out'",
    ),
    "instances": (ensemble(step(), "instance_group { count: 2 }"), "instance_group: means nothing for an"),
    "warm-up": (
        ensemble(step(), "model_warmup { name: 'w' }"),
        "model_warmup: means nothing for an ensemble",
    ),
    "a file": (ensemble(step(), "default_model_filename: 'm.onnx'"), "default_model_filename: means nothing"),
    "optimization": (
        ensemble(step(), "optimization { graph { level: 1 } }"),
        "optimization: means nothing for an ensemble",
    ),
    "isolation": (
        ensemble(step(), "parameters { key: 'gateway.isolation' value { string_value: 'inline' } }"),
        "parameters['gateway.isolation']: means nothing for an ensemble",
    ),
    "reshape": (
        ensemble(step(), ends=IN + "output { name: 'out' data_type: TYPE_FP32 dims: 1 reshape { } }"),
        "output[0].reshape: means nothing for an ensemble",
    ),
}


@pytest.mark.parametrize(("message", "beginning"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused_and_how(message: pb.ModelConfig, beginning: str) -> None:
    assert refusal(message).startswith(beginning), refusal(message)
