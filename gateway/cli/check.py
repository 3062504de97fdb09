"""gateway check: what is wrong with a configuration or a repository, before anybody calls it."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from gateway.cli.configuration import ConfigFile, Repositories, load_or_exit, refuse
from gateway.repository.catalogue import Catalogue
from gateway.repository.local import RepositoryUnreachable, scan_all


def check(repository: Repositories = None, config: ConfigFile = None) -> None:
    """Check the configuration and every model's folder and config.pbtxt; exit status 1 for a fault."""
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


def problems(catalogue: Catalogue, fronts: int | str = 1) -> Iterable[str]:
    """One line per fault: model, version where it has one, reason."""
    for entry in catalogue.entries.values():
        if entry.broken:
            yield f"{entry.name}: {entry.broken}"
        elif entry.config.sequence and fronts != 1:
            yield f"{entry.name}: sequence_batching: is supported with server.fronts = 1, there are {fronts}"
        for refused in entry.refused:
            yield f"{entry.name}/{refused.version}: {refused.reason}"
        for label, version in entry.config.labels.items():
            if entry.versions and entry.find(version) is None:
                yield f"{entry.name}: label '{label}' names version {version}, which is not served"
    for ignored in catalogue.ignored:
        yield f"{ignored.name}: ignored, {ignored.reason}"
