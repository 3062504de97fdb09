"""What NVIDIA's driver tells of its cards, by the few calls of NVML that ask and change nothing.

DESIGN: the one place that knows pynvml. Its errors become values here: a card may be lost while another
answers, and a question that one kind of card does not know is no fault. The numbers of errors are part of
NVML's interface, the same in every release.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec

from gateway.core.device import Device

_NOT_SUPPORTED = 3
# Neither does the card know the question, nor an older driver.
_NO_MIG = frozenset({_NOT_SUPPORTED, 13})  # FUNCTION_NOT_FOUND
# Errors by which the driver says that a card is gone until somebody resets it.
_LOST = frozenset({15, 16, 28})  # GPU_IS_LOST, RESET_REQUIRED, GPU_NOT_FOUND
_MIB = 1 << 20


class NvmlAbsent(Exception):
    """There is no driver to ask, and why."""


class Reading(msgspec.Struct, frozen=True):
    """A GPU or a slice at one moment; `device.is_healthy` is False where the driver says that it is lost.

    `free_bytes` is None where the device does not tell. `has_answered` is False where a question that it
    should have answered failed, which says nothing certain yet.
    """

    device: Device
    free_bytes: int | None = None
    has_answered: bool = True


class Card(msgspec.Struct, frozen=True):
    """A card at one moment. In MIG mode only its slices work.

    `whole` is None where it did not tell what it is: its UUID, or whether it is in MIG mode. A lost one
    need not tell the mode.
    """

    number: int
    whole: Reading | None
    is_mig: bool = False
    slices: tuple[Reading, ...] = ()
    is_lost: bool = False


class _Failed(msgspec.Struct, frozen=True):
    """A question without an answer, by NVML's number of the error."""

    error: int

    @property
    def is_lost(self) -> bool:
        return self.error in _LOST


class Nvml:
    """Asks through `library`, a module like NVIDIA's pynvml, which was initialised. Blocks while it asks."""

    def __init__(self, library: Any) -> None:
        self._library = library

    @classmethod
    def open(cls, name: str = "pynvml") -> Nvml:
        """Must be closed. Raises NvmlAbsent where there is no such library, or no driver for it."""
        try:
            library = import_module(name)
        except ImportError:
            raise NvmlAbsent("the package nvidia-ml-py is not installed (extra 'gpu')") from None
        try:
            library.nvmlInit()
        except library.NVMLError as error:
            raise NvmlAbsent(f"the driver does not answer: {error}") from None
        return cls(library)

    def close(self) -> None:
        """Lets go of the driver."""
        self._ask(self._library.nvmlShutdown)

    def cards(self) -> list[Card]:
        """All of them, by their numbers; [] where the driver does not tell how many there are."""
        count = self._ask(self._library.nvmlDeviceGetCount)
        return [] if isinstance(count, _Failed) else [self._card(number) for number in range(count)]

    def _card(self, number: int) -> Card:
        handle = self._ask(self._library.nvmlDeviceGetHandleByIndex, number)
        uuid = handle if isinstance(handle, _Failed) else self._ask(self._library.nvmlDeviceGetUUID, handle)
        if isinstance(uuid, _Failed):
            return Card(number, None, is_lost=uuid.is_lost)
        whole = self._reading(handle, Device(_text(uuid), "gpu", self._name(handle), number=number))
        if not whole.device.is_healthy:
            return Card(number, whole, is_lost=True)
        mode = self._ask(self._library.nvmlDeviceGetMigMode, handle)
        if isinstance(mode, _Failed):
            return Card(number, whole if mode.error in _NO_MIG else None, is_lost=mode.is_lost)
        if not mode[0]:
            return Card(number, whole)
        return Card(number, whole, True, self._slices(handle, whole.device))

    def _slices(self, handle: Any, card: Device) -> tuple[Reading, ...]:
        library = self._library
        most = self._ask(library.nvmlDeviceGetMaxMigDeviceCount, handle)
        most = 0 if isinstance(most, _Failed) else most
        handles = [self._ask(library.nvmlDeviceGetMigDeviceHandleByIndex, handle, n) for n in range(most)]
        there = [one for one in handles if not isinstance(one, _Failed)]
        # Compute instances of one GPU instance share its memory, and each is told to have all of it.
        instances = [self._ask(library.nvmlDeviceGetGpuInstanceId, one) for one in there]
        sharing = Counter(instances)
        found = [
            self._slice(one, card, most, sharing[instance])
            for one, instance in zip(there, instances, strict=True)
        ]
        return tuple(reading for reading in found if reading is not None)

    def _slice(self, handle: Any, card: Device, most: int, sharing: int) -> Reading | None:
        uuid = self._ask(self._library.nvmlDeviceGetUUID, handle)
        if isinstance(uuid, _Failed):
            return None
        told = self._ask(self._library.nvmlDeviceGetAttributes, handle)
        parts = 1 if isinstance(told, _Failed) else int(told.computeInstanceSliceCount)
        name = self._name(handle)
        device = Device(_text(uuid), "mig", name, 0, card.number, card.id, parts / most)
        reading = self._reading(handle, device, sharing)
        if reading.device.memory_bytes or isinstance(told, _Failed):
            return reading
        memory = int(told.memorySizeMB) * _MIB // sharing
        return msgspec.structs.replace(
            reading, device=msgspec.structs.replace(reading.device, memory_bytes=memory)
        )

    def _reading(self, handle: Any, device: Device, sharing: int = 1) -> Reading:
        """With the memory, of which `sharing` devices have a part each."""
        memory = self._ask(self._library.nvmlDeviceGetMemoryInfo, handle)
        if isinstance(memory, _Failed):
            lost = msgspec.structs.replace(device, is_healthy=not memory.is_lost)
            return Reading(lost, has_answered=memory.error == _NOT_SUPPORTED)
        known = msgspec.structs.replace(device, memory_bytes=int(memory.total) // sharing)
        return Reading(known, int(memory.free) // sharing)

    def _name(self, handle: Any) -> str:
        name = self._ask(self._library.nvmlDeviceGetName, handle)
        return "" if isinstance(name, _Failed) else _text(name)

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """An answer, or _Failed."""
        try:
            return question(*arguments)
        except self._library.NVMLError as error:
            return _Failed(int(error.value))


def _text(told: str | bytes) -> str:
    """Older releases of pynvml answer in bytes."""
    return told.decode() if isinstance(told, bytes) else told
