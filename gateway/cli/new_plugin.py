"""A package to begin with: a plugin with settings, and a test that runs it in a front."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from gateway import __version__

_NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")


class NotMade(Exception):
    """The package cannot be made: one line."""


def make_package(name: str, folder: Path) -> Path:
    """The folder of the new package; raises NotMade, and never writes into one that is there."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise NotMade(f"'{name}' cannot be the name of a module: small letters, digits and _")
    root = folder / name
    try:
        root.mkdir(parents=True)
        (root / "tests").mkdir()
        for path, text in _files(name).items():
            (root / path).write_text(text, encoding="utf-8")
    except FileExistsError:
        raise NotMade(f"{root} is there already") from None
    except OSError as error:
        raise NotMade(f"{root}: {error.strerror or error}") from None
    return root


def _files(name: str) -> dict[str, str]:
    kind = "".join(part.capitalize() for part in name.split("_"))
    filled = {"NAME": name, "KIND": kind, "VERSION": __version__}
    return {
        path.replace("NAME", name): re.sub(r"@(NAME|KIND|VERSION)@", lambda found: filled[found[1]], text)
        for path, text in _TEMPLATES.items()
    }


_TEMPLATES = {
    "pyproject.toml": """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "@NAME@"
version = "0.1.0"
description = "A plugin for the model gateway."
requires-python = ">=3.11"
dependencies = ["model-gateway>=@VERSION@"]

[project.entry-points."gateway.plugins"]
@NAME@ = "@NAME@:@KIND@"

[tool.setuptools]
py-modules = ["@NAME@"]
""",
    "NAME.py": '''\
"""What this plugin is for, and for whom."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.caller import Caller, matches
from gateway.core.errors import Forbidden
from gateway.core.messages import InferRequest
from gateway.hooks import Start, hookimpl


class @KIND@Settings(BaseModel):
    """[plugins.settings.@NAME@]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    closed: tuple[str, ...] = Field((), description="Patterns of models that nobody may call.")


class @KIND@:
    """Refuses requests to models that are closed."""

    Settings = @KIND@Settings

    def __init__(self, settings: @KIND@Settings, start: Start) -> None:
        self._closed = settings.closed

    # `gateway plugins hooks` tells of this hook and of all others; each may be `async def` as well.
    @hookimpl
    def admit(self, request: InferRequest, caller: Caller) -> None:
        if any(matches(pattern, request.model) for pattern in self._closed):
            raise Forbidden(f"model '{request.model}' is closed")
''',
    "tests/test_NAME.py": '''\
"""The plugin in a front: everything is real but sockets, time and models."""

import asyncio

import pytest
from @NAME@ import @KIND@, @KIND@Settings

from gateway.testing import Bench, Function, start

MODELS = {"open": Function(), "closed-1": Function()}


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_closed_models_are_refused(protocol: str) -> None:
    plugin = @KIND@(@KIND@Settings(closed=("closed-*",)), start())

    async def ask(model: str) -> bool:
        async with Bench(plugin, models=MODELS) as bench:
            return (await bench.infer(model, {"x": [[1.0]]}, protocol=protocol)).is_ok

    assert asyncio.run(ask("open"))
    assert not asyncio.run(ask("closed-1"))
''',
}
