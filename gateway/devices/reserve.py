"""What of a device's memory is kept for what nobody accounts for: the system, contexts, fragments."""

from __future__ import annotations

import msgspec

from gateway.core.device import Device


class Reserve(msgspec.Struct, frozen=True):
    """Bytes, or a part of the whole, whichever is more."""

    least_bytes: int = 0
    fraction: float = 0.0

    def usable_bytes(self, device: Device) -> int:
        """What instances may have of the device together; 0 where the reserve is more than there is."""
        kept = max(self.least_bytes, int(device.memory_bytes * self.fraction))
        return max(0, device.memory_bytes - kept)
