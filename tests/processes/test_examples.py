"""The worked examples, and a package made by the gateway: installed by pip, found by their entry points."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fakes.gateway_process import gateway
from tests.fakes.waiting import GENEROUS_S, until_blocking

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "tests" / "examples"
SAMPLE = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 30], "data": [0.5] * 30}]}


def run(*command: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def installed(folder: Path, sources: Sequence[Path]) -> dict[str, str]:
    """What has to be in the environment to find the packages, which pip has put into `folder`."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--no-build-isolation", "--target", str(folder / "site")]
    copies = [shutil.copytree(source, folder / source.name) for source in sources]
    done = run(*pip, *map(str, copies))
    assert done.returncode == 0, done.stderr
    # The tree itself too: not everybody runs the tests from an installed one.
    return {"PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT), str(ROOT / "plugins")])}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    names = ("office_hours", "watermark", "request_log")
    return installed(tmp_path_factory.mktemp("examples"), [EXAMPLES / name for name in names])


def test_they_are_listed_and_bring_their_commands(environment: dict[str, str], tmp_path: Path) -> None:
    listed = run(sys.executable, "-m", "gateway", "plugins", COLUMNS="200", **environment)
    for name in ("office_hours", "watermark", "request_log"):
        assert name in listed.stdout
    (tmp_path / "log").write_text('{"model": "m", "reason": "OK"}\n' * 3)
    counted = run(
        *(sys.executable, "-m", "gateway", "request-log", "count", str(tmp_path / "log")), **environment
    )
    assert counted.stdout == "m OK 3\n", counted.stderr


def test_all_of_them_in_one_gateway(environment: dict[str, str], tmp_path: Path) -> None:
    hour = time.gmtime().tm_hour
    told = {"request_log": {"file": str(tmp_path / "log")}, "office_hours": {"opens": 0, "closes": 24}}
    use = ["office_hours", "watermark", "request_log"]
    plugins = {"GATEWAY_PLUGINS__USE": json.dumps(use), "GATEWAY_PLUGINS__SETTINGS": json.dumps(told)}
    with gateway(ROOT / "model_repo", environment={**environment, **plugins}) as served:
        status, answer, headers = served.infer("fraud", SAMPLE)
        assert status == 200
        assert answer["parameters"]["watermark"] == "fraud/1"
        assert headers["x-watermark"] == "1"
        assert served.infer("nobody", SAMPLE)[0] == 404
        lines = tmp_path / "log"
        until_blocking(lambda: lines.exists() and len(lines.read_text().splitlines()) == 2, GENEROUS_S)
        assert served.stop() == 0
    outcomes = [json.loads(line)["reason"] for line in lines.read_text().splitlines()]
    assert outcomes == ["OK", "NOT_FOUND"]
    closed = {"office_hours": {"opens": (hour + 2) % 23, "closes": (hour + 2) % 23 + 1}}
    plugins = {"GATEWAY_PLUGINS__USE": '["office_hours"]', "GATEWAY_PLUGINS__SETTINGS": json.dumps(closed)}
    with gateway(ROOT / "model_repo", environment={**environment, **plugins}) as served:
        status, answer, headers = served.infer("fraud", SAMPLE)
        assert (status, answer["code"]) == (503, "OVERLOADED")
        assert int(headers["retry-after"]) > 60


def test_a_package_that_the_gateway_made_passes_its_own_test_and_serves(tmp_path: Path) -> None:
    made = run(*(
        sys.executable,
        "-m",
        "gateway",
        "plugins",
        "new",
        "night_rates",
        "--folder",
        str(tmp_path / "new"),
    ))
    assert made.returncode == 0, made.stderr
    environment = installed(tmp_path, [tmp_path / "new" / "night_rates"])
    tested = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"),
        cwd=tmp_path / "new" / "night_rates",
        **environment,
    )
    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout
    plugins = {
        "GATEWAY_PLUGINS__USE": '["night_rates"]',
        "GATEWAY_PLUGINS__SETTINGS": '{"night_rates": {"closed": ["fr*"]}}',
    }
    with gateway(ROOT / "model_repo", environment={**environment, **plugins}) as served:
        status, answer, _ = served.infer("fraud", SAMPLE)
        assert (status, answer["error"]) == (403, "model 'fraud' is closed")
