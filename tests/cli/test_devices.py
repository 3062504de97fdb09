"""`gateway devices` as a process, over a stand-in for NVIDIA's library and without any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.devices import rows_of, table_of
from gateway.core.device import Device
from gateway.devices.inventory import Look
from gateway.devices.reserve import Reserve

ROOT = Path(__file__).parents[2]
FAKES = ROOT / "tests" / "fakes"


def run(*arguments: str, library: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    environment |= {"PYTHONPATH": f"{library}{os.pathsep}{ROOT}", "COLUMNS": "200", **variables}
    return subprocess.run(
        [sys.executable, "-m", "gateway", "devices", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def no_library(tmp_path: Path) -> Path:
    (tmp_path / "pynvml.py").write_text("raise ImportError\n")
    return tmp_path


def test_cards_and_slices_are_listed() -> None:
    done = run(library=FAKES / "nvml_mig")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    (host,) = [line for line in lines if " cpu " in line]
    assert "sound" in host
    (card,) = [line for line in lines if "GPU-h100" in line]
    assert [word.strip() for word in card.strip("│").split("│")] == [
        "0",
        "GPU-h100",
        "gpu",
        "NVIDIA H100 80GB HBM3",
        "79.6 GiB",
        "75.7 GiB",
        "78.6 GiB",
        "1.00",
        "sound",
    ]
    (lost,) = [line for line in lines if "MIG-a100-1" in line]
    assert "not told" in lost
    assert "lost" in lost
    assert sum("MIG-a100-" in line for line in lines) == 4
    assert "no GPU was looked for" not in done.stdout


def test_json_tells_the_same_for_programs() -> None:
    done = run("--json", library=FAKES / "nvml_mig", CUDA_VISIBLE_DEVICES="MIG-a100-2,0")
    told = json.loads(done.stdout)
    assert told["reason"] == ""
    assert [(one["number"], one["id"]) for one in told["devices"]] == [
        (None, "cpu"),
        (0, "MIG-a100-2"),
        (1, "GPU-h100"),
    ]
    host, part, card = told["devices"]
    assert host["card"] is None
    assert part["card"] == {"number": 1, "id": "GPU-a100"}
    assert part["compute_share"] == 1 / 7
    assert card["card"] == {"number": 0, "id": "GPU-h100"}
    assert card["memory_bytes"] - card["free_bytes"] == 1 << 30
    assert card["is_healthy"] is True


def test_without_a_library_the_reason_is_told(no_library: Path) -> None:
    done = run(library=no_library)
    assert done.returncode == 0, done.stderr
    assert " cpu " in done.stdout
    assert "no GPU was looked for: the package nvidia-ml-py is not installed" in done.stdout
    told = json.loads(run("--json", library=no_library).stdout)
    assert "nvidia-ml-py" in told["reason"]
    assert [one["kind"] for one in told["devices"]] == ["cpu"]


def test_the_configuration_bounds_the_hosts_memory(no_library: Path) -> None:
    bounds = {"GATEWAY_DEVICES__HOST_MEMORY_BYTES": "1000000", "GATEWAY_DEVICES__RESERVE_FRACTION": "0.5"}
    (host,) = json.loads(run("--json", library=no_library, **bounds).stdout)["devices"]
    assert (host["memory_bytes"], host["usable_bytes"]) == (1_000_000, 500_000)


def test_a_bad_configuration_is_refused(no_library: Path) -> None:
    done = run(library=no_library, GATEWAY_DEVICES__RESERVE_FRACTION="2")
    assert done.returncode == 2
    assert "devices.reserve_fraction = 2: must be a number at least 0 and at most 0.9" in done.stderr


def test_a_table_has_a_row_for_each_device() -> None:
    look = Look((Device(), Device("GPU-1", "gpu", number=3)), {"cpu": 5})
    rows = rows_of(look, Reserve())
    assert [row["number"] for row in rows] == [None, 0]
    assert [row["free_bytes"] for row in rows] == [5, None]
    assert table_of(rows).row_count == 2
