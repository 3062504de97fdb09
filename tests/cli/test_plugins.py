from importlib.metadata import EntryPoint

import pytest

from gateway.cli import plugins
from gateway.hooks import manager
from gateway.hooks.manager import GROUP


def listed(
    points: list[EntryPoint], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setattr(manager, "entry_points", lambda group: points)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("GATEWAY_PLUGINS__USE", '["absent", "a"]')
    plugins.plugins()
    return capsys.readouterr().out


def test_installed_plugins_are_listed_with_what_they_implement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [
        EntryPoint("b", "no_such_package:B", GROUP),
        EntryPoint("a", "gateway_plugins.header_transform:HeaderTransform", GROUP),
    ]
    shown = listed(points, monkeypatch, capsys)
    assert shown.index("transform_request") < shown.index("cannot be imported: ModuleNotFoundError")
    assert "Headers of requests become parameters" in shown


def test_none_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no plugins are installed" in listed([], monkeypatch, capsys)


def test_one_that_is_used_and_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [EntryPoint("a", "gateway_plugins.header_transform:HeaderTransform", GROUP)]
    monkeypatch.setattr(manager, "entry_points", lambda group: points)
    monkeypatch.setenv("GATEWAY_PLUGINS__USE", '["absent", "a"]')
    plugins.plugins()
    assert "names 'absent', which is not installed" in capsys.readouterr().err
