"""What the machine's processors, memory and GPUs are doing, read now and then in a thread of its own.

DESIGN: what tells of a GPU is a driver, and a driver may take its time or never answer: nothing that
serves waits for it. Readings are values that replace each other. The processors are the whole machine's,
as its kernel counts them, whatever share of it this process may use.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import msgspec

log = logging.getLogger("gateway.telemetry")

CPU = "cpu"
_KIB = 1024


class DeviceReading(msgspec.Struct, frozen=True):
    """One device at one moment; None is what it does not tell. `device` is a GPU's UUID, or CPU."""

    kind: Literal["cpu", "gpu"]
    device: str
    utilization: float | None = None  # 0 to 1
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    power_w: float | None = None
    power_limit_w: float | None = None
    energy_j: float | None = None  # since its driver was loaded


class Processors:
    """Reads the processors and the memory; a utilization is that since the reading before."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._before: tuple[int, int] | None = None

    def read(self) -> DeviceReading:
        """Now; raises OSError or ValueError where the kernel does not tell."""
        memory = self._memory()
        total = memory["MemTotal"] * _KIB
        return DeviceReading("cpu", CPU, self._busy(), total, total - memory["MemAvailable"] * _KIB)

    def _memory(self) -> dict[str, int]:
        lines = (self._proc / "meminfo").read_text(encoding="ascii").splitlines()
        pairs = (line.partition(":") for line in lines)
        return {name: int(rest.split()[0]) for name, _, rest in pairs}

    def _busy(self) -> float | None:
        with (self._proc / "stat").open(encoding="ascii") as stat:
            # user nice system idle iowait irq softirq steal; what follows is part of the first two.
            times = [int(part) for part in stat.readline().split()[1:9]]
        now = (sum(times), times[3] + times[4])
        before, self._before = self._before, now
        if before is None or now[0] <= before[0]:
            return None
        return min(1.0, max(0.0, 1.0 - (now[1] - before[1]) / (now[0] - before[0])))


class Gpus:
    """Reads GPUs through `library`, a module like NVIDIA's pynvml, which was initialised."""

    def __init__(self, library: Any) -> None:
        self._library = library

    @classmethod
    def find(cls, library: str = "pynvml") -> Gpus | None:
        """None where there is no such library, or no driver for it."""
        try:
            found = import_module(library)
        except ImportError:
            log.debug("GPUs are not read: nvidia-ml-py is not installed")
            return None
        try:
            found.nvmlInit()
        except found.NVMLError as error:
            log.info("GPUs are not read: %s", error)
            return None
        return cls(found)

    def read(self) -> list[DeviceReading]:
        """All GPUs that tell their name."""
        library = self._library
        count = self._ask(library.nvmlDeviceGetCount) or 0
        handles = [self._ask(library.nvmlDeviceGetHandleByIndex, index) for index in range(count)]
        readings = [self._read(handle) for handle in handles if handle is not None]
        return [reading for reading in readings if reading is not None]

    def _read(self, handle: Any) -> DeviceReading | None:
        library = self._library
        uuid = self._ask(library.nvmlDeviceGetUUID, handle)
        if uuid is None:
            return None
        memory = self._ask(library.nvmlDeviceGetMemoryInfo, handle)
        rates = self._ask(library.nvmlDeviceGetUtilizationRates, handle)
        return DeviceReading(
            "gpu",
            uuid.decode() if isinstance(uuid, bytes) else str(uuid),
            None if rates is None else rates.gpu / 100,
            None if memory is None else int(memory.total),
            None if memory is None else int(memory.used),
            _thousandth(self._ask(library.nvmlDeviceGetPowerUsage, handle)),
            _thousandth(self._ask(library.nvmlDeviceGetEnforcedPowerLimit, handle)),
            _thousandth(self._ask(library.nvmlDeviceGetTotalEnergyConsumption, handle)),
        )

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any | None:
        """An answer, or None where this GPU has none."""
        try:
            return question(*arguments)
        except self._library.NVMLError:
            return None


def _thousandth(number: int | None) -> float | None:
    return None if number is None else number / 1000


class Machine:
    """Keeps the newest readings; `start` once, and `close`."""

    def __init__(self, interval_s: float, find_gpus: Callable[[], Gpus | None] = Gpus.find) -> None:
        self._interval_s = interval_s
        self._find_gpus = find_gpus
        self._processors = Processors()
        self._end = threading.Event()
        self.readings: tuple[DeviceReading, ...] = ()

    def start(self) -> None:
        """Begins to read, now and every so often."""
        # A daemon: a driver that does not answer must not keep the process from ending.
        threading.Thread(target=self._run, name="machine", daemon=True).start()

    def close(self) -> None:
        """Reads no more."""
        self._end.set()

    def _run(self) -> None:
        gpus = self._find_gpus()
        while not self._end.is_set():
            readings: list[DeviceReading] = []
            try:
                readings = [] if gpus is None else gpus.read()
            except Exception as error:  # whatever it was, old readings must not be left standing
                log.error("GPUs are read no more", exc_info=error)
                gpus = None
            try:
                readings.insert(0, self._processors.read())
            except (OSError, ValueError, KeyError) as error:
                log.debug("the machine does not tell of its processors: %s", error)
            self.readings = tuple(readings)
            self._end.wait(self._interval_s)
