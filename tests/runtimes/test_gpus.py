from __future__ import annotations

from pathlib import Path

import pytest

from gateway.core.placement import Accelerator, Accelerators, Kind, Place
from gateway.runtimes.gpus import count, fault_of, fault_of_options, visible


def test_what_the_driver_has_is_counted(tmp_path: Path) -> None:
    driver, devices = tmp_path / "driver", tmp_path / "dev"
    assert count(driver, devices) == 0
    for name in ("nvidia0", "nvidia12", "nvidiactl", "nvidia-uvm", "null"):
        (devices / name).mkdir(parents=True)
    assert count(driver, devices) == 2
    (driver / "0000:01:00.0").mkdir(parents=True)
    assert count(driver, devices) == 1


@pytest.mark.parametrize(
    ("there", "told", "seen"),
    [
        (2, None, 2),
        (0, None, 0),
        (4, "", 0),
        (4, "-1", 0),
        (4, "2, 0", 2),
        (4, "2,-1,0", 1),
        (2, "0,7,1", 1),
        (2, "0,0", 0),
        (2, "NoDevFiles", 0),
        (1, "MIG-5c89852c-d268-c3f3-1b07-005d5ae1dc3f", 1),
        (1, "MIG-GPU-8932f937/1/0,GPU-8932f937", 2),
        (0, "0", 0),
        (0, "GPU-8932f937", 0),
    ],
)
def test_what_the_environment_leaves(there: int, told: str | None, seen: int) -> None:
    assert visible(there, told) == seen


@pytest.mark.parametrize(
    ("place", "gpus", "fault"),
    [
        (Place(), 0, ""),
        (Place("cpu"), 0, ""),
        (Place("gpu", 1), 2, ""),
        (Place("gpu", 0), 0, "instance_group: KIND_GPU needs GPU 0, and no GPU is visible"),
        (Place("gpu", 3), 2, "instance_group: KIND_GPU needs GPU 3, and only 2 are visible"),
    ],
)
def test_what_must_be_on_a_gpu_is_on_one_that_is_there(place: Place, gpus: int, fault: str) -> None:
    assert fault_of(place, gpus) == fault


@pytest.mark.parametrize(
    ("options", "kinds", "fault"),
    [
        ({}, (), ""),
        (Place("auto", 1).options(), (), ""),
        (Place("cpu").options(), ("cpu",), ""),
        (
            Place("gpu").options(),
            ("cpu",),
            "instance_group: KIND_GPU is not supported for this kind of model",
        ),
        (
            Place("cpu").options(),
            ("gpu",),
            "instance_group: KIND_CPU is not supported for this kind of model",
        ),
        (
            Accelerators((Accelerator("cuda"),)).options(),
            ("gpu",),
            "optimization.execution_accelerators is not supported for this kind of model",
        ),
    ],
)
def test_what_an_engine_does_not_do_is_said(
    options: dict[str, str], kinds: tuple[Kind, ...], fault: str
) -> None:
    assert fault_of_options(options, kinds) == fault
