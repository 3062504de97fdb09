"""Commands of plugins: only looked for when they are wanted, and never in the way of the gateway's own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.extensions import add_commands, wants_plugins
from gateway.hooks import hookimpl
from gateway.hooks.manager import GROUP, Installed

OWN = ("serve", "plugins")


def command(text: str) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    def say() -> None:
        typer.echo(text)

    @app.command()
    def other() -> None:
        typer.echo("other")

    return app


class Brings:
    @staticmethod
    @hookimpl
    def register_commands() -> dict[str, typer.Typer]:
        return {"keys": command("a key"), "serve": command("mine")}


class Rubbish:
    @staticmethod
    @hookimpl
    def register_commands() -> int:
        return 1


class Fails:
    @staticmethod
    @hookimpl
    def register_commands() -> int:
        raise OSError("no")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["serve"], False),
        (["--version"], False),
        (["serve", "keys"], False),
        (["keys", "list"], True),
        (["--help"], True),
        ([], True),
    ],
)
def test_plugins_are_looked_at_when_they_are_wanted(arguments: Sequence[str], wanted: bool) -> None:
    assert wants_plugins(arguments, OWN) is wanted


def test_commands_of_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()

    @app.command()
    def serve() -> None:
        typer.echo("own")

    names = ("Brings", "Rubbish", "Fails", "Absent")
    add_commands(app, OWN, [Installed(one, EntryPoint(one, f"{__name__}:{one}", GROUP)) for one in names])
    told = capsys.readouterr().err
    assert "plugin 'Brings': 'serve' is a command of the gateway" in told
    assert "plugin 'Rubbish' brings no commands: plugin 'Rubbish' returned a int" in told
    assert "plugin 'Fails' brings no commands: plugin 'Fails' failed at 'register_commands'" in told
    assert "plugin 'Absent' brings no commands: AttributeError" in told
    runner = CliRunner()
    assert runner.invoke(app, ["keys", "say"]).output == "a key\n"
    assert runner.invoke(app, ["serve"]).output == "own\n"
