"""What an instance will need of memory: what the last one of the same files took, else a guess.

A small ONNX model takes 6 MB of its worker's private memory, nearly all of it the engine's; weights are
read into memory once. So the guess is the size of the files and 8 MiB, and is corrected by the first load.
"""

from __future__ import annotations

from gateway.lifecycle.offers import Offer

OVERHEAD_BYTES = 8 << 20
MAX_MEASURED = 10_000


class Predictions:
    """Invariant: at most `MAX_MEASURED` measurements, the oldest forgotten first."""

    def __init__(self) -> None:
        self._measured: dict[str, int] = {}

    def of(self, offer: Offer) -> int:
        """Bytes for one instance."""
        measured = self._measured.get(offer.fingerprint)
        return measured if measured is not None else offer.size_bytes + OVERHEAD_BYTES

    def learn(self, offer: Offer, measured_bytes: int) -> None:
        """One instance took so much; 0 teaches nothing."""
        if measured_bytes <= 0:
            return
        self._measured.pop(offer.fingerprint, None)
        self._measured[offer.fingerprint] = measured_bytes
        if len(self._measured) > MAX_MEASURED:
            self._measured.pop(next(iter(self._measured)))
