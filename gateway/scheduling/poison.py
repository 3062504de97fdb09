"""Inputs that have killed two workers are refused at once for a while, so that a third stays alive."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from gateway.core.messages import InferRequest

_MAX_REMEMBERED = 256


class PoisonList:
    """Fingerprints with the time they expire; bounded, the oldest go first."""

    def __init__(self, memory_s: float) -> None:
        self._memory_s = memory_s
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def add(self, request: InferRequest, now: float) -> None:
        """Remembers the inputs of `request`."""
        self._until[fingerprint(request)] = now + self._memory_s
        if len(self._until) > _MAX_REMEMBERED:
            self._until.popitem(last=False)

    def contains(self, request: InferRequest, now: float) -> bool:
        """True if the same inputs were added less than `memory_s` ago; free while the list is empty."""
        if not self._until:
            return False
        mark = fingerprint(request)
        until = self._until.get(mark)
        if until is None:
            return False
        if until <= now:
            del self._until[mark]
            return False
        return True


def fingerprint(request: InferRequest) -> bytes:
    """128 bits of the inputs' names, datatypes, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in request.inputs:
        digest.update(f"{tensor.name}\0{tensor.dtype}\0{tensor.shape}\0{len(tensor.data)}\0".encode())
        digest.update(tensor.data)
    return digest.digest()
