"""Folders of remote models."""

from __future__ import annotations

from pathlib import Path


def add_remote(root: Path, name: str, url: str, more: str = "", **options: str) -> None:
    """`root/name`, which is served at `url`; `more` stands in its config.pbtxt too."""
    (root / name / "1").mkdir(parents=True)
    lines = [
        f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
        for key, value in {"url": url, **options}.items()
    ]
    (root / name / "config.pbtxt").write_text("\n".join(['backend: "remote"', more, *lines]))
