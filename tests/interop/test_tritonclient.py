"""The official clients, in an environment of their own, against a started gateway."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.bench.environments import Missing, environment
from tests.fakes.gateway_process import Gateway

SCRIPT = Path(__file__).with_name("client_script.py")
CHECKS = {"http": 28, "http-aio": 28, "grpc": 25, "grpc-aio": 25}


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter that has tritonclient."""
    try:
        return environment("tritonclient", "tritonclient") / "bin" / "python"
    except Missing as missing:
        pytest.skip(f"tritonclient cannot be installed: {missing}")


# The first run may have to install the clients.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("flavour", CHECKS)
def test_tritonclient_finds_what_it_expects(
    gateway_process: Gateway, repository: Path, python: Path, flavour: str
) -> None:
    address = gateway_process.http if flavour.startswith("http") else gateway_process.grpc
    model_file = repository / "echo_fp32" / "1" / "model.onnx"
    command = [str(python), str(SCRIPT), flavour, address.removeprefix("http://"), str(model_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wrong = {check: why for check, why in found.items() if why}
    assert not wrong, "\n".join(f"{check}:\n{why}" for check, why in wrong.items())
    assert len(found) == CHECKS[flavour]
