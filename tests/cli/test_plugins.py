from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import plugins
from gateway.hooks import manager
from gateway.hooks.manager import GROUP


def listed(
    points: list[EntryPoint], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setattr(manager, "entry_points", lambda group: points)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("GATEWAY_PLUGINS__USE", '["absent", "a"]')
    return CliRunner().invoke(plugins.plugins).stdout


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
    assert "names 'absent', which is not installed" in CliRunner().invoke(plugins.plugins).stderr


def test_the_reference_of_one_hook_or_of_all() -> None:
    runner = CliRunner()
    one = runner.invoke(plugins.plugins, ["hooks", "admit"]).stdout
    assert one.startswith("admit(request: InferRequest, caller: Caller)")
    assert len(runner.invoke(plugins.plugins, ["hooks"]).stdout) > 5 * len(one)
    assert "there is no hook 'fly'" in runner.invoke(plugins.plugins, ["hooks", "fly"]).stderr


def test_a_package_is_made_once(tmp_path: Path) -> None:
    runner, arguments = CliRunner(), ["new", "night_rates", "--folder", str(tmp_path)]
    assert 'use = ["night_rates"]' in runner.invoke(plugins.plugins, arguments).stdout
    again = runner.invoke(plugins.plugins, arguments)
    assert again.exit_code == 2
    assert "is there already" in again.stderr
