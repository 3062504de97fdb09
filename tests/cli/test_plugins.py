from importlib.metadata import EntryPoint, EntryPoints

import pytest

from gateway.cli import plugins


def test_installed_plugins_are_listed_by_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = EntryPoints([
        EntryPoint("b", "pkg:B", "gateway.plugins"),
        EntryPoint("a", "pkg:A", "gateway.plugins"),
    ])
    monkeypatch.setattr(plugins, "entry_points", lambda group: points.select(group=group))
    plugins.plugins()
    shown = capsys.readouterr().out
    assert shown.index("pkg:A") < shown.index("pkg:B")


def test_none_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints([]))
    plugins.plugins()
    assert "no plugins are installed" in capsys.readouterr().out
