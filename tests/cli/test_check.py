from pathlib import Path

from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.cli.check import problems
from gateway.core.sequence import SequenceBatching
from gateway.repository.catalogue import (
    Catalogue,
    ConfigFile,
    Ignored,
    ModelEntry,
    PartialConfig,
    RefusedVersion,
    VersionEntry,
)
from gateway.repository.local import scan_all
from tests.fakes.ensembles import DIAMOND, add_ensemble, config_of
from tests.fakes.onnx_files import identity


def test_one_line_a_fault_and_none_for_what_is_sound() -> None:
    catalogue = Catalogue(
        {
            "good": ModelEntry("good", ()),
            "bad": ModelEntry("bad", (), broken="config.pbtxt: no"),
            "half": ModelEntry("half", (), refused=(RefusedVersion(2, "a link"),)),
        },
        (Ignored("no name", "not a model name"),),
    )
    assert list(problems(catalogue)) == [
        "bad: config.pbtxt: no",
        "half/2: a link",
        "no name: ignored, not a model name",
    ]


def test_a_stateful_model_is_for_one_front() -> None:
    config = ConfigFile("c", PartialConfig(sequence=SequenceBatching()))
    one = VersionEntry(1, "p", "f", "model.onnx", "onnxruntime_onnx", "onnxruntime")
    catalogue = Catalogue({"m": ModelEntry("m", (one,), config)})
    assert list(problems(catalogue, 1)) == []
    (line,) = problems(catalogue, 2)
    assert line == "m: sequence_batching: is supported with server.fronts = 1, there are 2"


def test_a_label_must_name_a_version_that_is_served() -> None:
    config = ConfigFile("c", PartialConfig(labels={"stable": 1, "canary": 3}))
    one = VersionEntry(1, "p", "f", "model.onnx", "onnxruntime_onnx", "onnxruntime")
    catalogue = Catalogue({"m": ModelEntry("m", (one,), config)})
    assert list(problems(catalogue)) == ["m: label 'canary' names version 3, which is not served"]


def test_an_ensemble_is_checked_against_its_parts(tmp_path: Path) -> None:
    identity(tmp_path / "double" / "1")
    add_ensemble(
        tmp_path, "e", config_of(DIAMOND, ["in TYPE_FP32 [ 2 ]"], ["out TYPE_FP32 [ 2 ]"], max_batch_size=4)
    )
    assert list(problems(scan_all([tmp_path]))) == ["e: step 2 (model 'add'): there is no such model"]
    identity(tmp_path / "add" / "1")
    assert list(problems(scan_all([tmp_path]))) == []


def test_one_model_before_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    runner = CliRunner()
    empty = runner.invoke(app, ["check", str(tmp_path / "m")])
    assert (empty.exit_code, "m: no version can be loaded" in empty.output) == (1, True), empty.output
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"x")
    sound = runner.invoke(app, ["check", str(tmp_path / "m")])
    assert (sound.exit_code, sound.output) == (0, "m/1: onnxruntime_onnx, can be served\n"), sound.output
    (tmp_path / "m" / "config.pbtxt").write_text("max_batch_size: many")
    broken = runner.invoke(app, ["check", str(tmp_path / "m")])
    assert (broken.exit_code, "config.pbtxt" in broken.output) == (1, True)
    for folder in ("none", "."):
        assert runner.invoke(app, ["check", str(tmp_path / folder / "a b")]).exit_code == 2
