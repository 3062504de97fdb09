"""The devices that the gateway has: what they are, how much of them is free, and which are lost.

DESIGN: instance groups count GPUs, so what was seen once keeps its place for the life of the gateway,
lost or not; what appears later (somebody has cut a card into other slices) comes last. A device is lost
when its driver says so, or has twice not answered what it must: one question without an answer may be a
driver with much to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from gateway.core.device import CPU, Device
from gateway.devices.host import HostMemory, read_host
from gateway.devices.nvml import Card, Nvml, NvmlAbsent, Reading
from gateway.devices.visibility import devices_of, visible

log = logging.getLogger("gateway.devices")

# Looks in a row without an answer after which a device is lost.
_SILENT_LOOKS = 2


class Look(msgspec.Struct, frozen=True):
    """All devices at one moment, the CPU first, then GPUs and slices in the order in which they are counted.

    `free_bytes` by id is what anybody could have now, whoever holds the rest; a device that does not tell
    is not in it. `reason` is why no GPU could be looked for, "" where it could.
    """

    devices: tuple[Device, ...]
    free_bytes: Mapping[str, int]
    reason: str = ""

    @property
    def gpus(self) -> tuple[Device, ...]:
        """GPUs and slices, lost ones too: as many as instance groups count."""
        return tuple(device for device in self.devices if device.kind != "cpu")

    @property
    def lost(self) -> frozenset[str]:
        """Ids of devices on which nothing runs any more, and nothing may be placed."""
        return frozenset(device.id for device in self.devices if not device.is_healthy)


class Inventory:
    """Owns what has been seen. Invariant: what is in `_known` never leaves it, nor changes its place."""

    def __init__(
        self,
        nvml: Nvml | None,
        told: str | None = None,
        host_limit_bytes: int = 0,
        read: Callable[[], HostMemory] = read_host,
        reason: str = "",
    ) -> None:
        self._nvml = nvml
        self._told = told
        self._host_limit_bytes = host_limit_bytes
        self._read = read
        self._reason = reason
        self._known: dict[str, Device] | None = None
        self._silent: dict[str, int] = {}

    @classmethod
    def find(cls, told: str | None, host_limit_bytes: int = 0, library: str = "pynvml") -> Inventory:
        """Of this machine; `told` is the value of CUDA_VISIBLE_DEVICES, None where it is not set.

        `host_limit_bytes` is the most of the host's memory that models may have, 0 for all that there is.
        Must be closed.
        """
        try:
            return cls(Nvml.open(library), told, host_limit_bytes)
        except NvmlAbsent as absent:
            return cls(None, told, host_limit_bytes, reason=str(absent))

    def look(self) -> Look:
        """Asks the kernel and the driver, and may block for as long as they do; one look at a time.

        Raises OSError or ValueError where the kernel does not tell of its memory.
        """
        total, available = self._read()
        limit = self._host_limit_bytes or total
        cpu = Device(memory_bytes=min(total, limit))
        free = {CPU: min(available, limit)}
        cards = [] if self._nvml is None else self._nvml.cards()
        known = self._take_in(cards)
        readings = {one.device.id: one for card in cards for one in devices_of(card)}
        lost_cards = {card.number for card in cards if card.is_lost}
        for id_, before in known.items():
            reading = readings.get(id_)
            known[id_] = self._judge(before, reading, is_card_lost=before.number in lost_cards)
            if reading is not None and reading.free_bytes is not None and known[id_].is_healthy:
                free[id_] = reading.free_bytes
        return Look((cpu, *known.values()), free, self._reason)

    def close(self) -> None:
        """Lets go of the driver."""
        if self._nvml is not None:
            self._nvml.close()

    def check(self) -> None:
        """Asserts the invariants."""
        known = self._known or {}
        assert all(id_ == device.id for id_, device in known.items())
        assert set(self._silent) <= set(known)

    def _take_in(self, cards: Sequence[Card]) -> dict[str, Device]:
        """What is known, with what has appeared."""
        if self._known is None:
            self._known = {}
            for card in cards:
                if card.whole is None:
                    log.warning("GPU %d does not tell what it is, and is not used", card.number)
        elif any(card.whole is None or card.is_lost for card in cards):
            # What the variable names cannot be told while not all of them can be compared with it.
            return self._known
        for reading in visible(cards, self._told):
            # Healthy until it is judged, so that one that is lost from the start is told of too.
            found = msgspec.structs.replace(reading.device, is_healthy=True)
            self._known.setdefault(found.id, found)
        return self._known

    def _judge(self, before: Device, reading: Reading | None, *, is_card_lost: bool) -> Device:
        """The device as it is now."""
        id_ = before.id
        if reading is not None and reading.has_answered and reading.device.is_healthy and not is_card_lost:
            self._silent.pop(id_, None)
            if not before.is_healthy:
                log.info("%s is back", id_, extra={"event": "device_back", "device": id_})
            return reading.device
        self._silent[id_] = self._silent.get(id_, 0) + 1
        is_said = is_card_lost or (reading is not None and not reading.device.is_healthy)
        if not before.is_healthy or (not is_said and self._silent[id_] < _SILENT_LOOKS):
            return before
        why = "its driver says so" if is_said else "it does not answer any more"
        log.error("%s is lost: %s", id_, why, extra={"event": "device_lost", "device": id_})
        return msgspec.structs.replace(before, is_healthy=False)
