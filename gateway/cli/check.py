"""gateway check: what is wrong with a configuration or a repository, before anybody calls it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.cli.configuration import ConfigFile, Repositories, load_or_exit, refuse
from gateway.core.errors import InvalidInput
from gateway.core.model import check_name
from gateway.repository.catalogue import Catalogue
from gateway.repository.local import RepositoryUnreachable, scan_all, scan_one


def check(
    model: Annotated[
        Path | None,
        typer.Argument(help="One model (config.pbtxt, 1/model.onnx …), before it is sent."),
    ] = None,
    repository: Repositories = None,
    config: ConfigFile = None,
) -> None:
    """Check the configuration and every model's folder and config.pbtxt; exit status 1 for a fault."""
    if model is not None:
        check_model(model)
    loaded = load_or_exit(config, {"repository.paths": repository or None})
    try:
        catalogue = scan_all(loaded.repository.paths)
    except RepositoryUnreachable as error:
        refuse(error.text)
    faults = list(problems(catalogue, loaded.server.fronts))
    for fault in faults:
        typer.echo(fault)
    sound = sum(1 for entry in catalogue.entries.values() if not entry.broken)
    typer.echo(f"{sound} of {len(catalogue.entries)} models can be served")
    raise typer.Exit(1 if faults else 0)


def check_model(folder: Path) -> NoReturn:
    """Says what is wrong with one model, or that it can be served; exits with status 1 or 0."""
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        refuse(f"'{folder}' is no folder")
    try:
        entry = scan_one([folder.parent], check_name(folder.name), Catalogue())
    except (RepositoryUnreachable, InvalidInput) as error:
        refuse(error.text)
    assert entry is not None, "it is a folder"
    faults = list(problems(Catalogue({entry.name: entry})))
    for fault in faults:
        typer.echo(fault)
    for version in entry.versions:
        typer.echo(f"{entry.name}/{version.version}: {version.platform or version.backend}, can be served")
    raise typer.Exit(1 if faults else 0)


def problems(catalogue: Catalogue, fronts: int | str = 1) -> Iterable[str]:
    """One line per fault: model, version where it has one, reason."""
    for entry in catalogue.entries.values():
        if entry.broken:
            yield f"{entry.name}: {entry.broken}"
        elif entry.config.sequence and fronts != 1:
            yield f"{entry.name}: sequence_batching: is supported with server.fronts = 1, there are {fronts}"
        for refused in entry.refused:
            yield f"{entry.name}/{refused.version}: {refused.reason}"
        for label, version in entry.labels.items():
            if entry.versions and entry.find(version) is None:
                yield f"{entry.name}: label '{label}' names version {version}, which is not served"
    for ignored in catalogue.ignored:
        yield f"{ignored.name}: ignored, {ignored.reason}"
