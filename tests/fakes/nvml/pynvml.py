"""Stands in for NVIDIA's library where a test puts its folder on the path: two GPUs, one tells little."""

from __future__ import annotations

from types import SimpleNamespace


class NVMLError(Exception):
    """What this GPU does not tell, and NVML's number for the reason: unknown, unless said."""

    def __init__(self, text, value=999):
        super().__init__(text)
        self.value = value


def nvmlInit():
    pass


def nvmlShutdown():
    pass


def nvmlDeviceGetCount():
    return 3


def nvmlDeviceGetHandleByIndex(index):
    if index == 2:
        raise NVMLError("GPU is lost", 15)
    return index


def nvmlDeviceGetUUID(handle):
    return f"GPU-{handle}"


def nvmlDeviceGetName(handle):
    return "NVIDIA H100 80GB HBM3"


def nvmlDeviceGetMemoryInfo(handle):
    return SimpleNamespace(total=80 << 30, used=(handle + 1) << 30, free=(79 - handle) << 30)


def nvmlDeviceGetMigMode(handle):
    raise NVMLError("Not Supported", 3)


def _told_by_the_first(value):
    def tell(handle):
        if handle:
            raise NVMLError("Not Supported", 3)
        return value

    return tell


nvmlDeviceGetUtilizationRates = _told_by_the_first(SimpleNamespace(gpu=25))
nvmlDeviceGetPowerUsage = _told_by_the_first(70_500)
nvmlDeviceGetEnforcedPowerLimit = _told_by_the_first(700_000)
nvmlDeviceGetTotalEnergyConsumption = _told_by_the_first(1_234_567)
