"""Models for tests.fakes.lab_runtime, and a brake that holds one of them in the middle of a row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

# The value over which a model with a brake waits.
SLOW = 7.0


class Brake:
    """Holds whoever computes SLOW until it is released; a time would be too short on a busy machine."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "released"

    @property
    def rows(self) -> Mapping[str, object]:
        """What a model must be told to have this brake."""
        return {str(SLOW): {"do": "wait", "file": str(self._file)}}

    def hold(self) -> None:
        """The next one waits, as at the beginning."""
        self._file.unlink(missing_ok=True)

    def release(self) -> None:
        """Lets go of all that wait, and of all that come, until `hold`."""
        self._file.touch()


def add_lab_model(
    root: Path,
    name: str,
    *,
    rows: Mapping[str, object] | None = None,
    load: Mapping[str, object] | None = None,
) -> None:
    """A model that does as it is told; see tests.fakes.lab_runtime."""
    version = root / name / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(b"lab")
    (version / "model.lab").write_text(json.dumps({"rows": rows or {}, "load": load or {}}))
