"""Packages of plugins, installed into a folder of their own as pip would leave them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def installed(folder: Path, name: str, source: str, points: Mapping[str, str]) -> dict[str, str]:
    """A distribution with one module; what has to be in the environment for it to be found."""
    (folder / f"{name}.py").write_text(source)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{point} = {value}" for point, value in points.items()]
    (metadata / "entry_points.txt").write_text("[gateway.plugins]\n" + "\n".join(lines) + "\n")
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(path)}
