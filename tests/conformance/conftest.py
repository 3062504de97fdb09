"""Two gateways with two fronts each over the same models, one for each engine of gRPC, and the doors."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack

import grpc
import pytest

from tests.conformance.cases import GRPCIO, MAX_REQUEST_BYTES, NATIVE, REST_BINARY, REST_JSON
from tests.conformance.doors import Door, Grpc, RestBinary, RestJson
from tests.conformance.models import KINDS, remote
from tests.fakes.gateway_process import Gateway, gateway

LIMITS = {
    "GATEWAY_FRONTENDS__GRPC__MAX_MESSAGE_BYTES": str(MAX_REQUEST_BYTES),
    "GATEWAY_FRONTENDS__REST__MAX_BODY_BYTES": str(MAX_REQUEST_BYTES),
}


@pytest.fixture(scope="package")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mapping[str, Gateway]]:
    """A gateway for each engine, by its name; SIGTERM must end both with status 0."""
    root = tmp_path_factory.mktemp("models")
    for make in KINDS:
        make(root)
    with ExitStack() as stack:

        def start(engine: str) -> Gateway:
            environment = {**LIMITS, "GATEWAY_FRONTENDS__GRPC__ENGINE": engine}
            return stack.enter_context(gateway(root, "--fronts", "2", environment=environment))

        running = {engine: start(engine) for engine in ("native", "grpcio")}
        for one in running.values():
            # Its deadline is to pass while it runs, not while it loads: what it looks like is in its file.
            assert one.ask("/v2/models/busy", timeout_s=30)[0] == 200
        yield running
        for one in running.values():
            assert one.stop() == 0, one.log.read_text()


@pytest.fixture(scope="package")
def doors(gateways: Mapping[str, Gateway]) -> Generator[Mapping[str, Door]]:
    """The four doors by name."""
    with ExitStack() as stack:
        channels = {
            engine: stack.enter_context(grpc.insecure_channel(running.grpc))
            for engine, running in gateways.items()
        }
        yield {
            REST_JSON: RestJson(REST_JSON, gateways["native"].http),
            REST_BINARY: RestBinary(REST_BINARY, gateways["native"].http),
            NATIVE: Grpc(NATIVE, channels["native"]),
            GRPCIO: Grpc(GRPCIO, channels["grpcio"]),
        }


@pytest.fixture(scope="module")
def behind(gateways: Mapping[str, Gateway], tmp_path_factory: pytest.TempPathFactory) -> Generator[Door]:
    """A door of a third gateway, whose models are those of the first, over either protocol."""
    root = tmp_path_factory.mktemp("remote")
    upstream = gateways["native"]
    remote(root, {"http": upstream.http, "grpc": f"grpc://{upstream.grpc}"})
    with gateway(root, environment=LIMITS) as running:
        yield RestBinary(REST_BINARY, running.http)
        assert running.stop() == 0, running.log.read_text()
