"""Waits until every front has answered, or is gone: for what must be true in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Then = Callable[[], None]


class RollCall:
    """Questions by number, each put to some fronts. Invariant: whatever is open waits for somebody."""

    def __init__(self) -> None:
        self._open: dict[int, tuple[set[int], Then]] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._open

    def begin(self, number: int, fronts: Iterable[int], then: Then) -> None:
        """Calls `then`, perhaps at once, when all of `fronts` have answered `number` or are lost."""
        self._open[number] = (set(fronts), then)
        self._settle(number)

    def answered(self, number: int, front: int) -> None:
        """One front has; harmless for a number that is not open."""
        if number in self._open:
            self._open[number][0].discard(front)
            self._settle(number)

    def lost(self, front: int) -> None:
        """This front will not answer any more."""
        for number in tuple(self._open):
            self.answered(number, front)

    def dismiss(self, number: int) -> None:
        """It does not matter any more what the fronts say: `then` is called now, if it was not."""
        _, then = self._open.pop(number, (set(), None))
        if then:
            then()

    def check(self) -> None:
        """Asserts the invariant."""
        assert all(waiting for waiting, _ in self._open.values())

    def _settle(self, number: int) -> None:
        if not self._open[number][0]:
            self.dismiss(number)
