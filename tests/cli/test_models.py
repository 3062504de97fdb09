import io
from pathlib import Path

from rich.console import Console

from gateway.cli.models import table_of
from gateway.repository.local import scan
from tests.fakes.ensembles import DIAMOND, add_ensemble, config_of

ROOT = Path(__file__).parents[2]


def test_the_committed_models_are_told_as_they_would_be_served() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table_of(scan(ROOT / "model_repo")))
    shown = console.export_text()
    fraud = next(line for line in shown.splitlines() if "fraud" in line)
    assert "features FP32 [30]" in fraud
    assert "64" in fraud
    assert "loads when called" in fraud
    digits = next(line for line in shown.splitlines() if "digits" in line)
    assert digits.count("from the model") == 3


def test_a_broken_model_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad" / "1").mkdir(parents=True)
    (tmp_path / "bad" / "config.pbtxt").write_text("max_batch_size: many")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table_of(scan(tmp_path)))
    assert "config.pbtxt" in console.export_text()


def test_labels_stand_beside_the_versions_they_name(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / "m" / version).mkdir(parents=True)
        (tmp_path / "m" / version / "model.onnx").write_bytes(b"x")
    (tmp_path / "m" / "config.pbtxt").write_text(
        "version_policy { all { } }"
        "parameters { key: 'gateway.labels' value { string_value: 'stable=1,canary=2,next=2' } }"
    )
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table_of(scan(tmp_path)))
    assert "1 (stable) 2 (canary, next)" in console.export_text()


def test_an_ensemble_tells_what_it_calls(tmp_path: Path) -> None:
    ends = (["in TYPE_FP32 [ 2 ]"], ["out TYPE_FP32 [ 2 ]"])
    add_ensemble(tmp_path, "e", config_of(DIAMOND, *ends))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table_of(scan(tmp_path)))
    assert "calls double, add" in console.export_text()


def test_an_optional_input_is_told(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"x")
    (tmp_path / "m" / "config.pbtxt").write_text(
        "input { name: 'x' data_type: TYPE_FP32 dims: 1 optional: true }"
    )
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table_of(scan(tmp_path)))
    assert "x FP32 [1] optional" in console.export_text()
