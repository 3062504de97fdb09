"""What the connections of one listener share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.wire.http1.head import HeadCache


class Shared(NamedTuple):
    """`faults` counts protocol errors by kind; `call_soon` defaults to the running loop's."""

    heads: HeadCache
    faults: dict[str, int]
    call_soon: Callable[[Callable[[], None]], object] | None = None

    def count_fault(self, kind: str) -> None:
        """`kind` is one of a bounded set of labels."""
        self.faults[kind] = self.faults.get(kind, 0) + 1
