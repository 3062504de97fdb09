"""Stands in for NVIDIA's pynvml: cards with the MIG geometries of real ones, which can be lost.

Only what asks; whatever else is called is an AttributeError, and `calls` names all that was called.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

MIB = 1 << 20
NOT_SUPPORTED, NOT_FOUND, TIMEOUT, GPU_IS_LOST, RESET_REQUIRED, UNKNOWN = 3, 6, 10, 15, 16, 999
TEXTS = {
    NOT_SUPPORTED: "Not Supported",
    NOT_FOUND: "Not Found",
    TIMEOUT: "Timeout",
    GPU_IS_LOST: "GPU is lost",
    RESET_REQUIRED: "GPU requires reset",
    UNKNOWN: "Unknown Error",
}

# Name, memory in MiB, and by profile the memory of a GPU instance in MiB, as their drivers tell them.
PRODUCTS: dict[str, tuple[str, int, dict[str, int]]] = {
    "A100": (
        "NVIDIA A100-SXM4-40GB",
        40_536,
        {"1g.5gb": 4_864, "1g.10gb": 9_856, "2g.10gb": 9_984, "3g.20gb": 20_096, "4g.20gb": 20_096}
        | {"7g.40gb": 40_192},
    ),
    "H100": (
        "NVIDIA H100 80GB HBM3",
        81_559,
        {"1g.10gb": 9_984, "1g.20gb": 20_096, "2g.20gb": 20_096, "3g.40gb": 40_448, "4g.40gb": 40_448}
        | {"7g.80gb": 80_896},
    ),
    "H200": (
        "NVIDIA H200",
        143_771,
        {"1g.18gb": 16_384, "1g.35gb": 33_280, "2g.35gb": 33_280, "3g.71gb": 71_552, "4g.71gb": 71_552}
        | {"7g.141gb": 143_104},
    ),
    "T4": ("Tesla T4", 15_360, {}),
}


class NVMLError(Exception):
    """As pynvml's: the number of the error, and its text."""

    def __init__(self, value: int) -> None:
        super().__init__(TEXTS.get(value, str(value)))
        self.value = value


class FakeDevice:
    """A card, or a slice: what a handle stands for. `error`, where not 0, is all that it answers."""

    def __init__(self, uuid: str, name: str, memory_mib: int) -> None:
        self.uuid = uuid
        self.name = name
        self.total = memory_mib * MIB
        self.used = 0
        self.error = 0


class FakeSlice(FakeDevice):
    """A compute instance of `compute` slices in the GPU instance with that number."""

    def __init__(self, uuid: str, name: str, memory_mib: int, instance: int, compute: int) -> None:
        super().__init__(uuid, name, memory_mib)
        self.instance = instance
        self.compute = compute


class FakeCard(FakeDevice):
    """A card; each of `instances` is a GPU instance's profile, or the compute instances made in it.

    `FakeCard("A100", "a", "1g.5gb", ("1c.3g.20gb", "2c.3g.20gb"))` has three slices.
    """

    def __init__(
        self, product: str, uuid: str, *instances: str | Sequence[str], is_mig: bool = False
    ) -> None:
        name, memory_mib, self._profiles = PRODUCTS[product]
        super().__init__(f"GPU-{uuid}", name, memory_mib)
        self.can_mig = bool(self._profiles)
        self.is_mig = is_mig or bool(instances)
        self.slices: list[FakeSlice | None] = []
        self.cut(*instances)

    def cut(self, *instances: str | Sequence[str]) -> None:
        """Other slices than before, as `nvidia-smi mig` makes them."""
        made = sum(one is not None for one in self.slices)
        self.slices = []
        for number, told in enumerate(instances):
            for profile in [told] if isinstance(told, str) else told:
                compute, _, rest = profile.rpartition("c.")
                uuid = f"MIG-{self.uuid[4:]}-{made + len(self.slices)}"
                parts = int(compute) if compute else int(rest.partition("g.")[0])
                name = f"{self.name} MIG {profile}"
                self.slices.append(FakeSlice(uuid, name, self._profiles[rest], number + 1, parts))


class FakeNvml:
    """A module like pynvml over `cards`. `failing` are functions that always fail, with the error."""

    NVMLError = NVMLError

    def __init__(self, *cards: FakeCard) -> None:
        self.cards = list(cards)
        self.calls: list[str] = []
        self.failing: dict[str, int] = {}
        self.opened = 0

    def device(self, uuid: str) -> FakeDevice:
        """The card or slice of that UUID."""
        found = [*self.cards, *(one for card in self.cards for one in card.slices if one is not None)]
        return next(one for one in found if one.uuid == uuid)

    # ---- as pynvml has them: same names, same arguments --------------------------------------------------

    def nvmlInit(self) -> None:
        self._called("nvmlInit")
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self._called("nvmlShutdown")
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:
        self._called("nvmlDeviceGetCount")
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeCard:
        self._called("nvmlDeviceGetHandleByIndex")
        return self.cards[index]

    def nvmlDeviceGetUUID(self, handle: FakeDevice) -> str:
        return self._called("nvmlDeviceGetUUID", handle).uuid

    def nvmlDeviceGetName(self, handle: FakeDevice) -> str:
        return self._called("nvmlDeviceGetName", handle).name

    def nvmlDeviceGetMemoryInfo(self, handle: FakeDevice) -> SimpleNamespace:
        one = self._called("nvmlDeviceGetMemoryInfo", handle)
        return SimpleNamespace(total=one.total, free=one.total - one.used, used=one.used)

    def nvmlDeviceGetMigMode(self, device: FakeCard) -> list[int]:
        self._called("nvmlDeviceGetMigMode", device)
        if not device.can_mig:
            raise NVMLError(NOT_SUPPORTED)
        return [int(device.is_mig)] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, device: FakeCard) -> int:
        self._called("nvmlDeviceGetMaxMigDeviceCount", device)
        return 7 if device.can_mig else 0

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: FakeCard, index: int) -> FakeSlice:
        self._called("nvmlDeviceGetMigDeviceHandleByIndex", device)
        found = device.slices[index] if index < len(device.slices) else None
        if found is None:
            raise NVMLError(NOT_FOUND)
        return found

    def nvmlDeviceGetGpuInstanceId(self, device: FakeSlice) -> int:
        self._called("nvmlDeviceGetGpuInstanceId", device)
        return device.instance

    def nvmlDeviceGetAttributes(self, device: FakeSlice) -> SimpleNamespace:
        self._called("nvmlDeviceGetAttributes", device)
        return SimpleNamespace(computeInstanceSliceCount=device.compute, memorySizeMB=device.total // MIB)

    # ---- errors ------------------------------------------------------------------------------------------

    def _called(self, name: str, handle: Any = None) -> Any:
        self.calls.append(name)
        error = self.failing.get(name, 0) or (0 if handle is None else self._error_of(handle, name))
        if error:
            raise NVMLError(error)
        return handle

    def _error_of(self, handle: FakeDevice, name: str) -> int:
        """A lost card still tells its UUID; its slices are lost with it."""
        if name == "nvmlDeviceGetUUID":
            return 0
        around = [card.error for card in self.cards if handle in card.slices]
        return handle.error or (around[0] if around else 0)


def whole(*products: str) -> FakeNvml:
    """Cards without slices, with the UUIDs GPU-0, GPU-1 ..."""
    return FakeNvml(*(FakeCard(product, str(number)) for number, product in enumerate(products)))
