from __future__ import annotations

import importlib
import sys

import pytest

from gateway.runtimes.calls import Desk
from gateway.runtimes.triton_python import utils
from gateway.runtimes.triton_python.utils import Logger


def served(monkeypatch: pytest.MonkeyPatch, model: str = "") -> None:
    """Until the test ends this process serves `model`."""
    monkeypatch.setattr(utils._Served, "model", model)
    monkeypatch.setattr(utils._Served, "folder", "")


def test_files_find_it_by_tritons_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, utils.MODULE, raising=False)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(utils.MODULE)
    monkeypatch.setitem(sys.modules, utils.MODULE, utils)  # so that it is gone afterwards
    served(monkeypatch)
    utils.offer("m/1", "/models/m/1", Desk())
    assert utils.get_model_dir() == "/models/m/1"
    assert importlib.import_module(utils.MODULE) is utils
    assert all(hasattr(utils, name) for name in utils.__all__)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(AttributeError, match="MetricFamily: metrics of a model's own is not supported"):
        _ = utils.MetricFamily
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = utils.nothing


def test_log_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, "m/1")
    Logger.log_info("one\nline")
    Logger.log_warn("two")
    Logger.log_error("three")
    Logger.log_verbose("nothing")
    Logger.log("four", Logger.LogLevel.WARNING)
    assert Logger.WARNING is Logger.LogLevel.WARNING
    assert capsys.readouterr().err == (
        "python model m/1: INFO: one line\npython model m/1: WARNING: two\n"
        "python model m/1: ERROR: three\npython model m/1: WARNING: four\n"
    )
