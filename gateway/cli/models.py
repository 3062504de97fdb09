"""gateway models: what lies in the repository, as the gateway would serve it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from gateway.cli.configuration import ConfigFile, Repositories, load_or_exit, refuse
from gateway.core.tensor_spec import TensorSpec
from gateway.repository.catalogue import Catalogue, ModelEntry
from gateway.repository.local import RepositoryUnreachable, scan_all


def models(repository: Repositories = None, config: ConfigFile = None) -> None:
    """List the models of the repository with what their configuration tells."""
    loaded = load_or_exit(config, {"repository.paths": repository or None})
    try:
        catalogue = scan_all(loaded.repository.paths)
    except RepositoryUnreachable as error:
        refuse(error.text)
    Console().print(table_of(catalogue))


def table_of(catalogue: Catalogue) -> Table:
    """One row a model."""
    table = Table("model", "versions", "platform", "batch", "inputs", "outputs", "state")
    for entry in catalogue.entries.values():
        table.add_row(*_row(entry))
    return table


def _row(entry: ModelEntry) -> tuple[str, ...]:
    config = entry.config
    platforms = sorted({version.platform for version in entry.versions})
    return (
        entry.name,
        " ".join(_version(entry, version.version) for version in entry.versions),
        " ".join(platforms),
        str(config.max_batch_size) if config.is_max_batch_known else "from the model",
        _tensors(config.inputs),
        _tensors(config.outputs),
        entry.broken or _state(entry),
    )


def _state(entry: ModelEntry) -> str:
    graph = entry.config.ensemble
    if graph is None:
        return "loads when called"
    return f"calls {', '.join(dict.fromkeys(step.model for step in graph.steps))}"


def _version(entry: ModelEntry, version: int) -> str:
    """The number, with the labels that name it."""
    labels = [label for label, named in entry.config.labels.items() if named == version]
    return f"{version} ({', '.join(labels)})" if labels else str(version)


def _tensors(specs: tuple[TensorSpec, ...]) -> str:
    if not specs:
        return "from the model"
    return "\n".join(
        f"{spec.name} {spec.dtype.name} {list(spec.shape)}{' optional' if spec.is_optional else ''}"
        for spec in specs
    )
