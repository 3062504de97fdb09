"""Ensembles written down briefly: as a graph, and as a config.pbtxt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.core.dtypes import DType
from gateway.core.ensemble import EnsembleGraph, EnsembleStep
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec

# Model, its inputs' tensors, its outputs' tensors.
Row = tuple[str, Mapping[str, str], Mapping[str, str]]

# Takes the sum of two tensors, in one row: a diamond of two doublers and an adder.
DIAMOND: tuple[Row, ...] = (
    ("double", {"x": "in"}, {"y": "left"}),
    ("double", {"x": "in"}, {"y": "right"}),
    ("add", {"a": "left", "b": "right"}, {"sum": "out"}),
)


def graph_of(rows: Sequence[Row]) -> EnsembleGraph:
    """The graph; a model may be "name/version"."""
    return EnsembleGraph(tuple(_step(*row) for row in rows))


def _step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> EnsembleStep:
    name, _, version = model.partition("/")
    return EnsembleStep(name, int(version or 0), tuple(inputs.items()), tuple(outputs.items()))


def fp32(*names: str, dims: tuple[int, ...] = (2,)) -> tuple[TensorSpec, ...]:
    """Tensors of FP32."""
    return tuple(TensorSpec(name, DType.FP32, dims) for name in names)


def model_spec(
    name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], rows: int = 0, version: int = 1
) -> ModelSpec:
    """A model, or with the platform of one an ensemble."""
    return ModelSpec(name, version, "fake", "fake", tuple(inputs), tuple(outputs), rows)


def config_of(
    rows: Sequence[Row], inputs: Sequence[str], outputs: Sequence[str], *, max_batch_size: int = 0
) -> str:
    """A config.pbtxt; tensors are "name TYPE_X dims"."""
    lines = [f'platform: "ensemble"\nmax_batch_size: {max_batch_size}']
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for name, datatype, dims in (tensor.split(" ", 2) for tensor in tensors):
            lines.append(f'{kind} {{ name: "{name}" data_type: {datatype} dims: {dims} }}')
    lines.append("ensemble_scheduling {")
    for model, taken, made in rows:
        name, _, version = model.partition("/")
        lines.append(f'  step {{ model_name: "{name}" model_version: {version or -1}')
        lines += [f'    input_map {{ key: "{key}" value: "{tensor}" }}' for key, tensor in taken.items()]
        lines += [f'    output_map {{ key: "{key}" value: "{tensor}" }}' for key, tensor in made.items()]
        lines.append("  }")
    return "\n".join([*lines, "}\n"])


def add_ensemble(root: Path, name: str, config: str) -> None:
    """An ensemble in the repository `root`, with the empty version folder that Triton wants."""
    (root / name / "1").mkdir(parents=True, exist_ok=True)
    (root / name / "config.pbtxt").write_text(config)
