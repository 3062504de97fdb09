"""Where a decoupled model's answers go when nobody is behind it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from gateway.runtimes.contract import StreamEnded


class KeptResponses:
    """Implements contract.Responses: keeps up to `limit` answers, then nobody wants any more."""

    def __init__(self, limit: int = 1 << 30) -> None:
        self.sent: list[tuple[Sequence[Any], bool]] = []
        self.faults: list[Exception] = []
        self.limit = limit
        self.error: Exception | None = None
        self.finished = threading.Event()

    def send(self, results: Sequence[Any], *, is_last: bool = False) -> None:
        if self.is_cancelled():
            raise StreamEnded
        self.sent.append((results, is_last))

    def fail(self, error: Exception) -> None:
        if self.is_cancelled():
            raise StreamEnded
        self.faults.append(error)

    def is_cancelled(self) -> bool:
        return len(self.sent) >= self.limit

    def finish(self, error: Exception | None = None) -> None:
        if not self.finished.is_set():
            self.error = error
            self.finished.set()

    def wait_until_finished(self) -> None:
        assert self.finished.wait(30), "nobody finished"
        if self.error is not None:
            raise self.error
