"""What may be loaded here: by the model's name, by the size of its files, and by their kinds.

DESIGN: looked at once the files are here, so that it holds for uploads, stores and folders alike. A file is
known by its name alone: a pickle that calls itself weights.bin is not found out; a signature (see
repository.signatures) says who made a file, this says what kinds nobody is to load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.caller import matches
from gateway.core.errors import Forbidden
from gateway.hooks import Start, hookimpl

# More files than any model has; a folder with more is not gone through to its end.
_MAX_FILES = 100_000


class LoadPolicySettings(BaseModel):
    """[plugins.settings.load_policy]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = Field(
        ("*",), min_length=1, description="Patterns of models that may be loaded."
    )
    not_models: tuple[str, ...] = Field((), description="Patterns of those that may not, all the same.")
    not_files: tuple[str, ...] = Field(
        (), description="Patterns of file names that no version may have, such as *.pkl, *.pt or *.py."
    )
    max_bytes: int | None = Field(None, ge=1, description="Of all files of a version.")
    keep: tuple[str, ...] = Field((), description="Patterns of models that nobody may unload.")


class LoadPolicy:
    """Keeps models from being loaded by name, size or kinds of files, and others from being unloaded."""

    Settings = LoadPolicySettings

    def __init__(self, settings: LoadPolicySettings, start: Start) -> None:
        self._settings = settings
        self._reads_files = bool(settings.not_files) or settings.max_bytes is not None
        self.unused = () if settings.keep else ("approve_unload",)

    @hookimpl
    async def approve_load(self, model: str, version: int, folder: Path) -> None:
        """Raises Forbidden."""
        settings = self._settings
        if not _has(settings.models, model) or _has(settings.not_models, model):
            raise Forbidden("load_policy: models of this name are not loaded here")
        if self._reads_files and (fault := await asyncio.to_thread(self._fault, folder)):
            raise Forbidden(f"load_policy: {fault}")

    @hookimpl
    def approve_unload(self, model: str) -> None:
        """Raises Forbidden."""
        if _has(self._settings.keep, model):
            raise Forbidden(f"load_policy: model '{model}' is kept loaded")

    def _fault(self, folder: Path) -> str:
        """What is wrong with the files, "" for nothing; blocks."""
        most, size = self._settings.max_bytes, 0
        not_files = tuple([pattern.lower() for pattern in self._settings.not_files])
        for count, file in enumerate(_files(folder)):
            if _has(not_files, file.name.lower()):
                return f"files such as '{file.name}' are not loaded here"
            size += file.stat().st_size
            if most is not None and size > most:
                return f"its files have more than {most} bytes"
            if count >= _MAX_FILES:
                return f"it has more than {_MAX_FILES} files"
        return ""


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else iter((folder,))


def _has(patterns: tuple[str, ...], name: str) -> bool:
    return any(matches(pattern, name) for pattern in patterns)
