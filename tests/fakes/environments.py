"""Virtual environments as a worker sees them, made by hand: folders of packages with their metadata."""

from __future__ import annotations

import sys
from pathlib import Path

OURS = f"python{sys.version_info.major}.{sys.version_info.minor}"


def make_environment(folder: Path, python: str = OURS) -> Path:
    """An empty environment, as an operator would prepare one; returns its folder of packages."""
    packages = folder / "lib" / python / "site-packages"
    packages.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"version = {python.removeprefix('python')}.0\n")
    return packages


def install(packages: Path, project: str, version: str, source: str, module: str = "") -> None:
    """A project of one module with this source, called as the project unless told."""
    name = module or project.replace("-", "_")
    (packages / f"{name}.py").write_text(source)
    info = packages / f"{project.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{name}.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
