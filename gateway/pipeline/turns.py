"""Work that would hold a front's loop for too long, done a part a turn: requests go on in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from gateway.core.errors import GatewayError

log = logging.getLogger("gateway.pipeline")

Part = TypeVar("Part")
Made = TypeVar("Made")


class Turns(Generic[Part, Made]):
    """Makes something of each of `parts`; implements `Ticket`.

    `done` is called once, with all of it in order, or with an error where that fails.
    """

    __slots__ = ("_done", "_made", "_make", "_parts", "is_open")

    def __init__(
        self,
        make: Callable[[Part], Made],
        parts: Sequence[Part],
        done: Callable[[list[Made] | GatewayError], None],
    ) -> None:
        self._make = make
        self._parts = parts
        self._done = done
        self._made: list[Made] = []
        self.is_open = True

    def go_on(self) -> None:
        """Does one part, and puts off the next to the loop's next turn."""
        if not self.is_open:
            return
        try:
            if self._parts:
                self._made.append(self._make(self._parts[len(self._made)]))
        except Exception as error:  # whoever waits for it gets an answer
            log.error("work in turns failed", exc_info=error)
            self._end(GatewayError("internal error"))
            return
        if len(self._made) == len(self._parts):
            self._end(self._made)
        else:
            asyncio.get_running_loop().call_soon(self.go_on)

    def cancel(self) -> None:
        """Nobody waits any more: it is not gone on with."""
        self.is_open = False

    def _end(self, result: list[Made] | GatewayError) -> None:
        self.is_open = False
        self._done(result)


def in_turns(
    make: Callable[[Part], Made],
    parts: Sequence[Part],
    done: Callable[[list[Made] | GatewayError], None],
) -> Turns[Part, Made] | None:
    """Begins at once; None where one turn was enough, and `done` has been called."""
    turns = Turns(make, parts, done)
    turns.go_on()
    return turns if turns.is_open else None
