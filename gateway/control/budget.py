"""A number of traces that all fronts draw on together, until none is left.

DESIGN: an eventfd that counts down one at a read is that number, and the kernel keeps it: no front
waits for another or for the controller, none is taken twice, and what a front had taken stays taken
when it dies. Rejected: shares for each front (one that is not called keeps its own unused), and asking
the controller for each.
"""

from __future__ import annotations

import os
from pathlib import Path

# What an eventfd is made with; more than anybody means by a number.
MAX_COUNT = (1 << 32) - 1


class Budget:
    """One process's hold on a budget; owns `fd`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def of(cls, count: int) -> Budget:
        """A new one of `count`."""
        return cls(os.eventfd(count, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC))

    def take(self) -> bool:
        """Takes one; False where none is left. Never blocks."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return False
        return True

    def left(self) -> int:
        """How many could be taken."""
        told = Path(f"/proc/self/fdinfo/{self.fd}").read_text(encoding="ascii")
        return next(
            int(line.partition(":")[2], 16) for line in told.splitlines() if line.startswith("eventfd-count:")
        )

    def close(self) -> None:
        """Lets go of it; others keep theirs."""
        os.close(self.fd)
