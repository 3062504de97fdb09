"""schemathesis, in an environment of its own, against the OpenAPI document of each kind of model."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.bench.environments import Missing, environment
from tests.fakes.gateway_process import Gateway, gateway

MODELS = Path("model_repo")
EXAMPLES = "15"


@pytest.fixture(scope="module")
def command() -> Path:
    """The program."""
    try:
        return environment("schemathesis", "schemathesis") / "bin" / "schemathesis"
    except Missing as missing:
        pytest.skip(f"schemathesis cannot be installed: {missing}")


@pytest.fixture(scope="module")
def served() -> Generator[Gateway]:
    with gateway(MODELS, "--insecure-dev") as running:
        yield running
        assert "Traceback" not in running.log.read_text()
        assert running.stop() == 0, running.log.read_text()


# The first run may have to install it.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("model", ["simple", "digits", "identity_bytes"])
def test_no_request_is_answered_with_a_server_error(
    served: Gateway, command: Path, tmp_path: Path, model: str
) -> None:
    document = f"{served.http}/v2/models/{model}/docs/dataplane.json"
    # A seed, so that a failure is the same failure the next time.
    options = ["--checks", "not_a_server_error", "--max-examples", EXAMPLES, "--seed", "1", "--no-color"]
    done = subprocess.run(
        [str(command), "run", document, "--url", served.http, "--suppress-health-check", "all", *options],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,  # it leaves a folder behind
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 selected" in done.stdout, done.stdout
