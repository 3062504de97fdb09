"""gateway serve: the whole process tree, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from gateway import __version__
from gateway.cli.configuration import ConfigFile, Repositories, load_or_exit, refuse
from gateway.config import GatewayConfig

SAMPLE = "sample.json"

Port = Annotated[int | None, typer.Option(help="0 picks a free one.")]


def serve(  # ruff: ignore[too-many-arguments] - one parameter a flag is how typer wants it
    repository: Repositories = None,
    config: ConfigFile = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    http_port: Port = None,
    grpc_port: Port = None,
    metrics_port: Port = None,
    fronts: Annotated[str | None, typer.Option(help="Data-plane processes: a number, or auto.")] = None,
    insecure_dev: Annotated[
        bool | None, typer.Option("--insecure-dev", help="Serve everybody, without authentication.")
    ] = None,
    behind_proxy: Annotated[
        bool | None, typer.Option("--behind-proxy", help="TLS ends at a proxy in front of this.")
    ] = None,
    access_log: Annotated[
        bool | None, typer.Option("--access-log", help="One JSON line a request on standard output.")
    ] = None,
    trace_file: Annotated[
        Path | None, typer.Option(help="Where traces go, once callers or the configuration want any.")
    ] = None,
) -> None:
    """Serve the models of a repository over REST and gRPC; each is loaded when first called."""
    flags = {
        "repository.paths": repository or None,
        "server.host": host,
        "server.http_port": http_port,
        "server.grpc_port": grpc_port,
        "server.metrics_port": metrics_port,
        "server.fronts": int(fronts) if fronts and fronts.isdigit() else fronts,
        "server.insecure_dev": insecure_dev,
        "server.behind_proxy": behind_proxy,
        "telemetry.access_log": access_log,
        "telemetry.trace_file": trace_file,
    }
    loaded = load_or_exit(config, flags)
    # Imported here: `gateway check` and `gateway bench` need none of it.
    from gateway.controller import run
    from gateway.hooks.manager import PluginFault

    try:
        status = run(loaded, _announce(loaded, typer.echo))
    except PluginFault as fault:
        refuse(*str(fault).splitlines())
    raise typer.Exit(status)


def _announce(config: GatewayConfig, say: Callable[[str], None]) -> Callable[[Mapping[str, int]], None]:
    def announce(ports: Mapping[str, int]) -> None:
        for line in announcement(config, ports):
            say(line)

    return announce


def announcement(config: GatewayConfig, ports: Mapping[str, int]) -> Iterable[str]:
    """Where the gateway listens, and one command that calls a model; for people."""
    host = _reachable(config.server.host)
    scheme = "https" if config.tls is not None else "http"
    folders = ", ".join(str(path) for path in config.repository.paths)
    base = f"{scheme}://{host}:{ports['http']}"
    yield f"gateway {__version__} serves {folders}"
    yield f"  REST and gRPC  {base}"
    yield f"  gRPC           {host}:{ports['grpc']}"
    yield f"  metrics        http://{_reachable(config.server.metrics_address)}:{ports['metrics']}/metrics"
    if "admin" in ports:
        yield f"  admin          http://{config.admin.host}:{ports['admin']}/admin/v1"
    yield "try:"
    yield f"  {sample_call(base, config.repository.paths)}"


def sample_call(base: str, repositories: Iterable[Path]) -> str:
    """A curl line for the first model that has a sample request beside it, else for the server itself."""
    for repository in repositories:
        for sample in sorted(repository.glob(f"*/{SAMPLE}")):
            url = f"{base}/v2/models/{sample.parent.name}/infer"
            return f"curl {url} --data @{shlex.quote(str(sample.resolve()))}"
    return f"curl {base}/v2"


def _reachable(host: str) -> str:
    """An address a client can use, for one that means all of them."""
    named = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    return f"[{named}]" if ":" in named and not named.startswith("[") else named
