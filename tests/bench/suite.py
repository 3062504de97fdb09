"""The rows of the table "What it must reach": each a comparison with Triton, or a figure of ours alone."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.bench import calls, ensemble, models, policies, servers, streams
from tests.bench.bodies import GRPC_PATH, Signature, TensorName, fraud_rows, json_infer
from tests.bench.comparison import Comparison, Sample, Side
from tests.bench.figures import Measure, Target, percentile
from tests.bench.load import JSON_HEADERS, GrpcCall, Plan, RestCall, Shape, generated, grpc, rest
from tests.bench.memory import tree_pss_bytes
from tests.bench.outputs import Load
from tests.bench.report import Row, at_least, at_most, below
from tests.bench.servers import Server

CONNECTIONS = 64
COLD_STARTS = 100
FURTHER_MODELS = 10
OPEN_RATE = 10_000.0
BIG_CONNECTIONS = 2  # one request being read while the other is being written


class Setting(NamedTuple):
    """How a run is made: seconds of each measurement, the cores of either side, a folder to work in."""

    seconds: float
    warm_up_s: float
    server_cpus: frozenset[int]
    load_cpus: frozenset[int]
    folder: Path
    root: Path = servers.COMPILED

    def shape(self, connections: int) -> Shape:
        return Shape(connections, self.seconds, self.warm_up_s, self.load_cpus)


class Single(NamedTuple):
    """Rows of ours alone, measured together on servers that `measure` starts itself."""

    name: str
    title: str
    target: Target
    measure: Callable[[], Sequence[Row]]


def comparisons(setting: Setting) -> list[Comparison]:
    """Every row that has a peer."""
    ours, inline, theirs = _sides(setting)
    unchanged = Side(
        "gateway",
        lambda: servers.gateway(_triton_folder(setting), cpus=setting.server_cpus, root=setting.root),
    )
    bare = Side("without plugins", lambda: policies.bare(setting))
    with_policies = Side("gateway", lambda: policies.gateway(setting))
    row = partial(_comparison, setting, theirs)
    return [
        row("rest", "REST JSON, 64 connections", at_least(4.0), "req/s", ours, _rest_rate),
        row("grpc", "gRPC, 64 connections", at_least(2.7), "req/s", ours, _grpc_rate),
        row("grpc-metadata", "gRPC, metadata ever new", at_least(2.0), "req/s", ours, _metadata_rate),
        row("latency-rest", "p50 at one connection, REST", at_most(0.9), "us", ours, _rest_p50),
        row("latency-grpc", "p50 at one connection, gRPC", at_most(0.9), "us", ours, _grpc_p50),
        row("inline-rest", "the same inline, busy polling, REST", at_most(0.5), "us", inline, _rest_p50),
        row("inline-grpc", "the same inline, busy polling, gRPC", at_most(0.5), "us", inline, _grpc_p50),
        row(
            "python-rest",
            "Triton's own Python file, REST JSON",
            at_least(1.5),
            "req/s",
            unchanged,
            _rest_rate,
        ),
        row("python-grpc", "Triton's own Python file, gRPC", at_least(1.5), "req/s", unchanged, _grpc_rate),
        *(
            Comparison(name, title, at_least(0.85), "req/s", with_policies, bare, partial(rate, setting))
            for name, title, rate in (
                ("policies-rest", "API keys, a rate limit, weighted routing: REST", _rest_rate),
                ("policies-grpc", "API keys, a rate limit, weighted routing: gRPC", _grpc_rate),
            )
        ),
        row("identity-rest", "16 MiB FP32, REST binary", at_least(1.0), "MiB/s", ours, _rest_bytes),
        row("identity-grpc", "16 MiB FP32, gRPC", at_least(1.0), "MiB/s", ours, _grpc_bytes),
    ]


def singles(setting: Setting) -> list[Single]:
    """Every row of ours alone."""
    rest_title, grpc_title = ("open loop 10,000 req/s, p99, " + name for name in ("REST", "gRPC"))
    p99, cold, costs = below(10.0, "ms"), below(40.0, "ms"), at_most(1.5)
    return [
        Single("open-rest", rest_title, p99, lambda: [_open_loop(setting, "rest", rest_title, p99)]),
        Single("open-grpc", grpc_title, p99, lambda: [_open_loop(setting, "grpc", grpc_title, p99)]),
        Single("cold", "first request to a model, p95", cold, lambda: [_cold_starts(setting, cold)]),
        *(
            Single(name, title, costs, partial(ensemble.measure, setting, name, title, costs, ask))
            for name, title, ask in (
                ("ensemble-rest", "an ensemble of three, p50, REST", ensemble.ask_rest),
                ("ensemble-grpc", "an ensemble of three, p50, gRPC", ensemble.ask_grpc),
            )
        ),
        Single("stream", "responses of one decoupled model", streams.TARGET, lambda: _streams(setting)),
        Single("memory", "the tree at rest, PSS", below(160.0, "MB"), lambda: _memory(setting)),
    ]


def gateway_side(setting: Setting, *, inline: bool = False) -> Side:
    """Our gateway over its benchmark repository, which is written on the first call.

    Inline it polls busily, as whoever wants the lowest latency would have it.
    """
    folder = setting.folder / ("inline" if inline else "gateway")
    if not folder.exists():
        models.write_gateway_repository(folder, inline=inline)
    more = "[wire]\nbusy_poll_us = 1000\n" if inline else ""
    cpus, root = setting.server_cpus, setting.root
    return Side("gateway", lambda: servers.gateway(folder, cpus=cpus, more=more, root=root))


def _sides(setting: Setting) -> tuple[Side, Side, Side]:
    folder = _triton_folder(setting)
    theirs = Side("Triton", lambda: servers.triton(folder, cpus=setting.server_cpus))
    return gateway_side(setting), gateway_side(setting, inline=True), theirs


def _triton_folder(setting: Setting) -> Path:
    """The repository of Triton's side, written on the first call; our gateway can serve it as it is."""
    folder = setting.folder / "triton"
    if not folder.exists():
        models.write_triton_repository(folder)
    return folder


def _comparison(
    setting: Setting,
    theirs: Side,
    name: str,
    title: str,
    target: Target,
    unit: str,
    ours: Side,
    measure: Callable[[Setting, Server], Sample],
) -> Comparison:
    return Comparison(name, title, target, unit, ours, theirs, partial(measure, setting))


def _rate(load: Load) -> Sample:
    return Sample(load.rate, load.failures, load.requests, load.busy)


def _p50(load: Load) -> Sample:
    return Sample(load.p50_us, load.failures, load.requests, load.busy)


def _mebibytes(load: Load) -> Sample:
    """One way's bytes a second: each request brings 16 MiB and takes 16 MiB home."""
    return Sample(load.rate * calls.BIG_BYTES / (1 << 20), load.failures, load.requests, load.busy)


def _rest_rate(setting: Setting, server: Server) -> Sample:
    return _rate(rest(server.http_port, calls.fraud_json(server), setting.shape(CONNECTIONS)))


def _grpc_rate(setting: Setting, server: Server) -> Sample:
    return _rate(grpc(server.grpc_port, calls.fraud_grpc(server), setting.shape(CONNECTIONS)))


def _metadata_rate(setting: Setting, server: Server) -> Sample:
    plan = _grpc_plan(setting, server.grpc_port, calls.fraud_grpc(server), unique_metadata=True)
    return _rate(generated(plan, setting.load_cpus))


def _rest_p50(setting: Setting, server: Server) -> Sample:
    return _p50(rest(server.http_port, calls.fraud_json(server), setting.shape(1)))


def _grpc_p50(setting: Setting, server: Server) -> Sample:
    return _p50(grpc(server.grpc_port, calls.fraud_grpc(server), setting.shape(1)))


def _rest_bytes(setting: Setting, server: Server) -> Sample:
    return _mebibytes(rest(server.http_port, calls.identity_rest(server), setting.shape(BIG_CONNECTIONS)))


def _grpc_bytes(setting: Setting, server: Server) -> Sample:
    return _mebibytes(grpc(server.grpc_port, calls.identity_grpc(server), setting.shape(BIG_CONNECTIONS)))


def _grpc_plan(
    setting: Setting, port: int, call: GrpcCall, *, unique_metadata: bool = False, rate: float = 0.0
) -> Plan:
    return Plan(
        protocol="grpc",
        port=port,
        path=GRPC_PATH,
        body=call.message,
        headers={},
        connections=CONNECTIONS,
        seconds=setting.seconds,
        warm_up_s=setting.warm_up_s,
        rate=rate,
        unique_metadata=unique_metadata,
    )


def _rest_plan(setting: Setting, port: int, call: RestCall, rate: float) -> Plan:
    return Plan(
        protocol="rest",
        port=port,
        path=call.path,
        body=call.body,
        headers=dict(call.headers),
        connections=CONNECTIONS,
        seconds=setting.seconds,
        warm_up_s=setting.warm_up_s,
        rate=rate,
    )


def _open_loop(setting: Setting, protocol: str, title: str, target: Target) -> Row:
    """p99 from the moment a request was due, milliseconds; server on its cores, generator on its own."""
    with gateway_side(setting).start() as server:
        if protocol == "grpc":
            plan = _grpc_plan(setting, server.grpc_port, calls.fraud_grpc(server), rate=OPEN_RATE)
        else:
            plan = _rest_plan(setting, server.http_port, calls.fraud_json(server), OPEN_RATE)
        load = generated(plan, setting.load_cpus)
    p99_ms = load.p99_us / 1e3 if load.failures < load.requests else float("inf")
    return Row(
        name=f"open-{protocol}",
        title=title,
        target=target,
        figure=p99_ms,
        ours=Measure((p99_ms,)),
        unit="ms",
        failures=load.failures,
        requests=load.requests,
    )


@contextmanager
def _many(setting: Setting, count: int) -> Generator[tuple[Server, list[str]]]:
    folder = setting.folder / f"many-{count}"
    names = [path.name for path in folder.glob("*")] or models.write_many(folder, count)
    start: AbstractContextManager[Server] = servers.gateway(
        folder, cpus=setting.server_cpus, root=setting.root
    )
    with start as server:
        wait_until_steady(server.pid)
        yield server, sorted(names)


def _cold_starts(setting: Setting, target: Target) -> Row:
    """One request to each of 100 models that no process has ever loaded, one after the other."""
    with _many(setting, COLD_STARTS) as (server, names):
        taken = [_first_request_ms(server, name) for name in names]
    p95 = percentile(sorted(taken), 0.95)
    return Row(
        name="cold",
        title=f"first request to a model, p95 of {len(taken)}",
        target=target,
        figure=p95,
        ours=Measure(tuple(taken)),
        unit="ms",
        requests=len(taken),
    )


def _first_request_ms(server: Server, name: str) -> float:
    """Milliseconds from the first byte sent to the last one read; raises WrongAnswer."""
    # Not from the model's metadata: asking for that would load it.
    tensors = (TensorName("features", "FP32", (-1, 30)),)
    body = json_infer(Signature(name, tensors, ()), fraud_rows())
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=60)
    try:
        connection.connect()
        before = time.perf_counter()
        connection.request("POST", f"/v2/models/{name}/infer", body, dict(JSON_HEADERS))
        answer = connection.getresponse()
        text = answer.read()
        took = time.perf_counter() - before
    finally:
        connection.close()
    if answer.status != 200:
        raise calls.WrongAnswer(f"{name}: {answer.status} {text[:300]!r}")
    return took * 1e3


def _streams(setting: Setting) -> Sequence[Row]:
    folder = setting.folder / "streams"
    streams.write_repository(folder)
    with servers.gateway(folder, cpus=setting.server_cpus) as server:
        return [streams.over_sse(server, setting.load_cpus), streams.over_grpc(server, setting.load_cpus)]


def _memory(setting: Setting) -> Sequence[Row]:
    """PSS of the tree before any model is loaded, and what each further model adds to it."""
    with _many(setting, FURTHER_MODELS + 1) as (server, names):
        at_rest = tree_pss_bytes(server.pid) / 1e6
        _first_request_ms(server, names[0])
        one = wait_until_steady(server.pid) / 1e6
        for name in names[1:]:
            _first_request_ms(server, name)
        added = (wait_until_steady(server.pid) / 1e6 - one) / (len(names) - 1)
    rest_target, model_target = below(160.0, "MB"), below(10.0, "MB")
    one_model = f"the tree at rest, PSS ({one:.0f} MB with one model)"
    return [
        Row("memory", one_model, rest_target, at_rest, Measure((at_rest,)), "MB"),
        Row("memory-model", "each further loaded model", model_target, added, Measure((added,)), "MB"),
    ]


def wait_until_steady(pid: int, limit_s: float = 15.0) -> int:
    """Waits until the tree's PSS moves by less than 1 % within half a second; returns it, bytes."""
    until = time.monotonic() + limit_s
    last, now = 0, tree_pss_bytes(pid)
    while abs(now - last) > now / 100 and time.monotonic() < until:
        time.sleep(0.5)
        last, now = now, tree_pss_bytes(pid)
    return now
