"""Ensembles among the models of a repository."""

from __future__ import annotations

import msgspec
import pytest

from gateway.core.ensemble import MAX_DEPTH, Part
from gateway.core.model import ModelSpec
from gateway.repository.catalogue import Beside, ConfigFile, ModelEntry, PartialConfig, VersionEntry
from gateway.repository.parts import part_of, refuse_unsound
from tests.fakes.ensembles import Row, fp32, graph_of

BOTH = {"inputs": fp32("x"), "outputs": fp32("y")}


def model(name: str, *, broken: str = "", **config: object) -> ModelEntry:
    versions = () if broken else (VersionEntry(1, "p", "f", "model.onnx", "onnxruntime_onnx", "onnxruntime"),)
    return ModelEntry(name, versions, ConfigFile("c", PartialConfig(**config)), broken=broken)  # type: ignore[arg-type]


def ensemble(name: str, *rows: Row, **config: object) -> ModelEntry:
    return model(name, ensemble=graph_of(rows), **{**BOTH, **config})


def via(*models: str) -> tuple[Row, ...]:
    """A chain of x to y through these models."""
    tensors = ["x", *(f"t{index}" for index in range(len(models) - 1)), "y"]
    return tuple((one, {"x": tensors[index]}, {"y": tensors[index + 1]}) for index, one in enumerate(models))


def faults(*entries: ModelEntry) -> dict[str, str]:
    checked = refuse_unsound({entry.name: entry for entry in entries})
    for entry in checked.values():
        assert bool(entry.broken) == (not entry.versions)
    return {name: entry.broken for name, entry in checked.items() if entry.broken}


def test_sound_ones_stay_as_they_are() -> None:
    entries = {
        one.name: one
        for one in (
            model("known", **BOTH),
            model("unknown"),
            ensemble("e", *via("known", "unknown", "known/1")),
            ensemble("nested", *via("e", "known")),
        )
    }
    assert refuse_unsound(entries) == entries


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("none", {"x": "x"}, {"y": "y"}), "step 0 (model 'none'): there is no such model"),
        (("bad", {"x": "x"}, {"y": "y"}), "step 0 (model 'bad'): config.pbtxt: no"),
        (("a/2", {"x": "x"}, {"y": "y"}), "step 0 (model 'a'): its version 2 is not served"),
        (("a", {"z": "x"}, {"y": "y"}), "step 0 (model 'a'): it has no input 'z', its inputs are x"),
    ],
)
def test_a_part_that_is_not_there_breaks_the_ensemble_alone(row: Row, fault: str) -> None:
    told = faults(model("a", **BOTH), model("bad", broken="config.pbtxt: no"), ensemble("e", row))
    assert told == {"bad": "config.pbtxt: no", "e": fault}


def test_rows_are_compared_as_far_as_they_are_known() -> None:
    assert part_of(model("a")) == Part(None, None, None)
    told = faults(
        model("alone", **BOTH),
        model("from_the_file"),
        model("batches", **BOTH, max_batch_size=8),
        ensemble("one", *via("alone"), max_batch_size=8),
        ensemble("two", *via("from_the_file"), max_batch_size=8),
        ensemble("three", *via("batches"), max_batch_size=8),
    )
    assert told == {
        "one": "step 0 (model 'alone'): it does not batch, and max_batch_size of the ensemble is 8"
    }


def test_a_circle_of_ensembles_is_named_and_breaks_whoever_needs_it() -> None:
    told = faults(
        model("a", **BOTH),
        ensemble("e", *via("a", "f")),
        ensemble("f", *via("g")),
        ensemble("g", *via("a", "e")),
        ensemble("outside", *via("f")),
        ensemble("self", *via("self")),
        ensemble("sound", *via("a")),
    )
    assert sorted(told) == ["e", "f", "g", "outside", "self"]
    assert "the ensembles form a circle: 'e' calls 'f' calls 'g' calls 'e'" in told["e"]
    assert "circle: 'self' calls 'self'" in told["self"]


@pytest.mark.parametrize("order", [1, -1])
def test_ensembles_in_ensembles_have_a_depth(order: int) -> None:
    chain = [ensemble(f"e{n:02}", *via(f"e{n - 1:02}" if n else "a")) for n in range(MAX_DEPTH + 9)]
    told = faults(model("a", **BOTH), *chain[::order])
    assert sorted(told) == [f"e{n:02}" for n in range(MAX_DEPTH, MAX_DEPTH + 9)]
    assert all(f"more than {MAX_DEPTH} deep" in text for text in told.values())


def test_many_ways_to_the_same_part_are_looked_at_once() -> None:
    double = [ensemble(f"e{n:02}", *via(*[f"e{n - 1:02}" if n else "a"] * 8)) for n in range(MAX_DEPTH)]
    assert faults(model("a", **BOTH), *double[::-1]) == {}


def test_a_spec_of_a_part_is_that_of_its_configuration() -> None:
    spec = ModelSpec("a", 1, "", "", fp32("x"), fp32("y"), 4)
    assert part_of(model("a", inputs=spec.inputs, outputs=spec.outputs, max_batch_size=4)) == Part(
        spec.inputs, spec.outputs, 4
    )


def test_class_labels_are_those_of_the_model_that_makes_the_output() -> None:
    labelled = model("a", **BOTH)
    beside = Beside({"y": ("cat", "dog")})
    labelled = msgspec.structs.replace(
        labelled, config_file=msgspec.structs.replace(labelled.config_file, beside=beside)
    )
    own = ensemble("own", *via("a"))
    own = msgspec.structs.replace(
        own, config_file=msgspec.structs.replace(own.config_file, beside=Beside({"y": ("CAT",)}))
    )
    entries = {
        one.name: one
        for one in (
            labelled,
            own,
            ensemble("e", *via("a")),
            ensemble("n", *via("a", "e")),
            ensemble("o", *via("own")),
        )
    }
    checked = refuse_unsound(entries)
    told = {name: entry.beside.class_labels["y"] for name, entry in checked.items()}
    assert told == {
        "a": ("cat", "dog"),
        "own": ("CAT",),
        "e": ("cat", "dog"),
        "n": ("cat", "dog"),
        "o": ("CAT",),
    }
    assert refuse_unsound(checked) == checked
