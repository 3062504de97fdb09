"""What an instance will need of memory: what the last one of the same files took, else a guess.

The guess is the size of the files, which are read into memory once, and what others of the same engine have
taken beyond theirs. Before there are others: 8 MiB, for a small ONNX model takes 6 MB of its worker's private
memory, nearly all of it the engine's; 1 MiB in a worker that has the engine already, where it takes 0.04 MB.
"""

from __future__ import annotations

from gateway.lifecycle.offers import Offer

OVERHEAD_BYTES = 8 << 20
SHARED_OVERHEAD_BYTES = 1 << 20
MAX_MEASURED = 10_000
# How much the newest measurement counts in the mean.
_WEIGHT = 1 / 16


class Predictions:
    """Invariant: at most `MAX_MEASURED` measurements, the oldest forgotten first."""

    def __init__(self) -> None:
        self._measured: dict[tuple[str, bool], int] = {}
        self._overheads: dict[tuple[str, bool], float] = {}

    def of(self, offer: Offer, is_shared: bool) -> int:
        """Bytes for one instance."""
        measured = self._measured.get((offer.fingerprint, is_shared))
        return measured if measured is not None else offer.size_bytes + int(self._overhead(offer, is_shared))

    def learn(self, offer: Offer, is_shared: bool, measured_bytes: int | None) -> None:
        """One instance took so much; None teaches nothing."""
        if measured_bytes is None:
            return
        known = (offer.fingerprint, is_shared)
        self._measured.pop(known, None)
        self._measured[known] = measured_bytes
        if len(self._measured) > MAX_MEASURED:
            self._measured.pop(next(iter(self._measured)))
        overhead = self._overhead(offer, is_shared)
        beyond = max(0, measured_bytes - offer.size_bytes)
        self._overheads[offer.runtime, is_shared] = overhead + _WEIGHT * (beyond - overhead)

    def _overhead(self, offer: Offer, is_shared: bool) -> float:
        default = SHARED_OVERHEAD_BYTES if is_shared else OVERHEAD_BYTES
        return self._overheads.get((offer.runtime, is_shared), default)
