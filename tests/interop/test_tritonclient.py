"""The official clients, in an environment of their own, against a started gateway."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.bench.environments import Missing, environment
from tests.fakes.gateway_process import Gateway, gateway

SCRIPT = Path(__file__).with_name("client_script.py")
CHECKS = {"http": 32, "http-aio": 32, "grpc": 29, "grpc-aio": 29}


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter that has tritonclient."""
    try:
        return environment("tritonclient", "tritonclient") / "bin" / "python"
    except Missing as missing:
        pytest.skip(f"tritonclient cannot be installed: {missing}")


def run(python: Path, flavour: str, address: str, repository: Path, only: str = "") -> int:
    """Runs those checks whose names have `only` in them; returns how many have passed: all."""
    model_file = repository / "echo_fp32" / "1" / "model.onnx"
    command = [str(python), str(SCRIPT), flavour, address.removeprefix("http://"), str(model_file), only]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wrong = {check: why for check, why in found.items() if why}
    assert not wrong, "\n".join(f"{check}:\n{why}" for check, why in wrong.items())
    return len(found)


# The first run may have to install the clients.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("flavour", CHECKS)
def test_tritonclient_finds_what_it_expects(
    gateway_process: Gateway, repository: Path, python: Path, flavour: str
) -> None:
    address = gateway_process.http if flavour.startswith("http") else gateway_process.grpc
    assert run(python, flavour, address, repository) == CHECKS[flavour]


@pytest.mark.timeout(600)
def test_settings_by_the_official_server(repository: Path, python: Path) -> None:
    environment = {"GATEWAY_FRONTENDS__GRPC__ENGINE": "grpcio"}
    with gateway(repository, "--insecure-dev", environment=environment) as running:
        assert run(python, "grpc", running.grpc, repository, "_settings_are_changed") == 2
        assert running.stop() == 0, running.log.read_text()
