"""The zygotes there are: the one that all workers come from, and one for each base of some models.

DESIGN: what a model in Python imports, PyTorch for one, takes a second or two of each of its cold starts,
and its memory in each of its workers. A zygote that has imported it forks workers that have it: so some
models may name modules (`gateway.preload`), which are imported within their environment. Such a zygote is
made when the first of its workers is wanted, and ends when none was for a while; beyond a number of them,
and where one cannot be made, workers come from the common one and import for themselves.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from gateway.core.clock import Clock
from gateway.core.environment import Base, decode_base
from gateway.workers.forkserver import ForkServer

log = logging.getLogger("gateway.workers")

IDLE_S = 600.0
# Its modules start threads, or crash: whoever did not come up so often does not come up.
MAX_DEATHS = 3


class Bases:
    """`make` makes a fork server for a base, None for the common one; use `start`, and `close` at the end.

    Invariant: `_workers` counts the living workers of each base that has a zygote.
    """

    def __init__(self, make: Callable[[Base | None], ForkServer], most: int, clock: Clock) -> None:
        self._make = make
        self._most = most
        self._clock = clock
        self.common = make(None)
        self._servers: dict[str, ForkServer] = {}
        self._ending: list[ForkServer] = []
        self._workers: Counter[str] = Counter()
        self._used_at: dict[str, float] = {}
        self._given_up: set[str] = set()

    @property
    def all(self) -> tuple[ForkServer, ...]:
        """Those that live or end."""
        return (self.common, *self._servers.values(), *self._ending)

    def start(self) -> None:
        """Starts the common one."""
        self.common.start()

    def of(self, base: str) -> tuple[ForkServer, str]:
        """What a worker for `base` is to come from, and the base it then has: "" is the common one's."""
        if not base or base in self._given_up:
            return self.common, ""
        if base not in self._servers:
            if len(self._servers) >= self._most:
                log.warning("there are %d zygotes of models: one more has none of its own", self._most)
                return self.common, ""
            self._servers[base] = self._make(decode_base(base))
            self._servers[base].start()
        self._workers[base] += 1
        self._used_at[base] = self._clock()
        return self._servers[base], base

    def ended(self, base: str) -> None:
        """A worker of it has."""
        if base in self._servers:
            self._workers[base] -= 1
            self._used_at[base] = self._clock()

    def look(self, now: float) -> None:
        """Watches all of them; ends those nobody needs any more, gives up what does not come up."""
        for server in self.all:
            server.check_hung(now)
        self._ending = [one for one in self._ending if one.pid is not None]
        for base, server in tuple(self._servers.items()):
            is_hopeless = server.deaths >= MAX_DEATHS and not server.is_prepared
            if is_hopeless:
                log.error("a zygote for preloaded modules does not come up: workers import by themselves")
                self._given_up.add(base)
            if is_hopeless or (not self._workers[base] and now - self._used_at[base] > IDLE_S):
                del self._servers[base], self._workers[base], self._used_at[base]
                (server.give_up if is_hopeless else server.close)()
                self._ending.append(server)

    def close(self) -> None:
        """Lets all of them go."""
        for server in self.all:
            server.close()
