from __future__ import annotations

import pytest

from gateway.runtimes.contract import LoadedModel, LoadError, Runtime, find_runtime, one_line
from tests.fakes.lab_runtime import LabModel, LabRuntime


def test_a_runtime_is_found_by_its_name() -> None:
    found = find_runtime("tests.fakes.lab_runtime:LabRuntime")
    assert type(found).__name__ == "LabRuntime"


@pytest.mark.parametrize("reference", ["", "nowhere:X", "json:X", "json", "json:loads", ":X"])
def test_what_is_no_runtime_is_a_load_error(reference: str) -> None:
    with pytest.raises(LoadError, match="no runtime"):
        find_runtime(reference)


def test_the_fakes_keep_the_contract() -> None:
    runtime: type[Runtime] = LabRuntime
    model: type[LoadedModel] = LabModel
    assert (runtime, model) == (LabRuntime, LabModel)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\n lines", "two lines"),
        ("in /models/m/1/model.onnx: bad", "in model.onnx: bad"),
        ("see '/etc/secret.d/key'", "see 'key'"),
        ("/my models/m/1/x.onnx failed", "x.onnx failed"),
        ("a/b and 1/2 stay", "a/b and 1/2 stay"),
        ("", "ValueError"),
        ("x" * 1000, "x" * 400),
    ],
)
def test_errors_for_people_are_one_line_without_paths(text: str, line: str) -> None:
    assert one_line(ValueError(text), hide="/my models/m/1") == line
