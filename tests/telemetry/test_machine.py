from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.telemetry.machine import DeviceReading, Gpus, Machine, Processors
from tests.fakes.nvml import pynvml
from tests.fakes.waiting import until_blocking

FIRST = DeviceReading("gpu", "GPU-0", 0.25, 80 << 30, 1 << 30, 70.5, 700.0, 1234.567)
SECOND = DeviceReading("gpu", "GPU-1", None, 80 << 30, 2 << 30)


def test_processors_and_memory_as_the_kernel_tells_them(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  1000 kB\nMemFree:  10 kB\nMemAvailable:  400 kB\nHuge: 0\n")
    (tmp_path / "stat").write_text("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1\n")
    processors = Processors(tmp_path)
    assert processors.read() == DeviceReading("cpu", "cpu", None, 1024_000, 614_400)
    (tmp_path / "stat").write_text("cpu  150 0 125 710 115 0 0 0 99 0\n")
    assert processors.read().utilization == 0.75
    assert processors.read().utilization is None


def test_this_machine_tells() -> None:
    reading = Processors().read()
    assert reading.memory_total_bytes > reading.memory_used_bytes > 0


def test_a_gpu_tells_what_it_can() -> None:
    gpus = Gpus.find("tests.fakes.nvml.pynvml")
    assert gpus is not None
    assert gpus.read() == [FIRST, SECOND]


def test_without_library_or_driver_there_are_no_gpus(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert Gpus.find("tests.fakes.no_such_library") is None

    def fail() -> None:
        raise pynvml.NVMLError("Driver Not Loaded")

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    with caplog.at_level(logging.INFO):
        assert Gpus.find("tests.fakes.nvml.pynvml") is None
    assert "Driver Not Loaded" in caplog.text


def test_readings_replace_each_other_until_the_end() -> None:
    counts: list[int] = []

    def count() -> int:
        counts.append(1)
        return len(counts) % 2

    library = SimpleNamespace(**vars(pynvml) | {"nvmlDeviceGetCount": count})
    machine = Machine(0.001, lambda: Gpus(library))
    assert machine.readings == ()
    machine.start()
    until_blocking(lambda: [one.kind for one in machine.readings] == ["cpu", "gpu"])
    until_blocking(lambda: len(machine.readings) == 1)
    machine.close()
    assert machine.readings[0].kind == "cpu"


def test_a_driver_that_goes_mad_leaves_no_old_reading(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[int] = []

    def count() -> int:
        asked.append(1)
        if len(asked) > 1:
            raise OSError("mad")
        return 1

    library = SimpleNamespace(**vars(pynvml) | {"nvmlDeviceGetCount": count})
    machine = Machine(0.001, lambda: Gpus(library))
    machine.start()
    until_blocking(lambda: len(asked) == 2 and [one.kind for one in machine.readings] == ["cpu"])
    machine.close()
    assert "GPUs are read no more" in caplog.text
