"""Stands in for NVIDIA's library where a test puts its folder on the path: two GPUs, one tells little."""

from __future__ import annotations

from types import SimpleNamespace


class NVMLError(Exception):
    """What this GPU does not tell."""


def nvmlInit():
    pass


def nvmlDeviceGetCount():
    return 3


def nvmlDeviceGetHandleByIndex(index):
    if index == 2:
        raise NVMLError("GPU is lost")
    return index


def nvmlDeviceGetUUID(handle):
    return f"GPU-{handle}"


def nvmlDeviceGetMemoryInfo(handle):
    return SimpleNamespace(total=80 << 30, used=(handle + 1) << 30)


def _told_by_the_first(value):
    def tell(handle):
        if handle:
            raise NVMLError("Not Supported")
        return value

    return tell


nvmlDeviceGetUtilizationRates = _told_by_the_first(SimpleNamespace(gpu=25))
nvmlDeviceGetPowerUsage = _told_by_the_first(70_500)
nvmlDeviceGetEnforcedPowerLimit = _told_by_the_first(700_000)
nvmlDeviceGetTotalEnergyConsumption = _told_by_the_first(1_234_567)
