"""Models that are loaded before anybody asks: those used last before a restart, and those of the hour.

What was used when stands in a small file, replaced as a whole: a kill leaves the old one or the new one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.core.clock import Clock
from gateway.lifecycle.settings import PrefetchSettings

log = logging.getLogger("gateway.lifecycle")

# Between writes, at the least: what a kill may forget.
WRITE_S = 10.0
TICK_S = 1.0
_MAX_REMEMBERED = 10_000
_MAX_FILE_BYTES = 4 << 20
_DAY_S = 86_400.0

LastUses = Mapping[str, float]


def most_recent(uses: LastUses, there: Iterable[str], count: int) -> list[str]:
    """Of the models that are there, those used last, the latest first."""
    known = [name for name in there if name in uses]
    return sorted(known, key=lambda name: (-uses[name], name))[:count]


def due(schedule: Mapping[str, Sequence[str]], before: float, now: float) -> list[str]:
    """The models whose time of day, in UTC, came after `before` and by `now` (both since 1970)."""
    found: dict[str, None] = {}
    midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    for told, names in sorted(schedule.items()):
        at = midnight + int(told[:2]) * 3600.0 + int(told[3:]) * 60.0
        if any(before < one <= now for one in (at, at - _DAY_S)):
            found.update(dict.fromkeys(names))
    return list(found)


def read_uses(file: Path) -> dict[str, float]:
    """What was remembered; {} for a file that is not there or cannot be understood, which is told."""
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise ValueError("it is too large")
        return msgspec.json.decode(file.read_bytes(), type=dict[str, float])
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        log.warning("what was used last is not known: %s: %s", file.name, error)
        return {}


def write_uses(file: Path, uses: LastUses) -> None:
    """Replaces the file; raises OSError."""
    kept = dict(sorted(uses.items(), key=lambda one: -one[1])[:_MAX_REMEMBERED])
    part = file.with_name(f".{file.name}.part")
    with part.open("wb") as writing:
        writing.write(msgspec.json.encode(kept))
        writing.flush()
        os.fsync(writing.fileno())
    part.replace(file)


class Prefetch:
    """`models` are those there are, `used` those in use now; `wall` tells seconds since 1970."""

    def __init__(
        self,
        settings: PrefetchSettings,
        models: Callable[[], Iterable[str]],
        used: Callable[[], Iterable[str]],
        load: Callable[[str], None],
        wall: Clock,
    ) -> None:
        self._settings = settings
        self._models = models
        self._used = used
        self._load = load
        self._wall = wall
        self._uses: dict[str, float] = {}
        self._written: LastUses = {}
        self._written_at = self._looked_at = wall()
        self._has_begun = False

    async def run(self) -> None:
        """Looks once a second until it is cancelled, where there is anything to do."""
        settings = self._settings
        if settings.file is None and not settings.daily:
            return
        if settings.file is not None:
            self._uses = await asyncio.to_thread(read_uses, settings.file)
        while True:
            self.look()
            if settings.file is not None and self._is_to_be_written():
                await self._write(settings.file)
            await asyncio.sleep(TICK_S)

    def look(self) -> None:
        """Loads what is due, and remembers what is used."""
        now = self._wall()
        there = set(self._models())
        if there and not self._has_begun:
            self._has_begun = True
            for name in most_recent(self._uses, there, self._settings.at_start):
                self._load(name)
        for name in due(self._settings.daily, self._looked_at, now):
            if name in there:
                self._load(name)
        self._looked_at = now
        self._uses.update(dict.fromkeys(self._used(), now))

    def _is_to_be_written(self) -> bool:
        return self._uses != self._written and self._wall() - self._written_at >= WRITE_S

    async def _write(self, file: Path) -> None:
        uses = dict(self._uses)
        self._written_at = self._wall()
        try:
            await asyncio.to_thread(write_uses, file, uses)
            self._written = uses
        except OSError as error:
            log.warning("what is used cannot be remembered: %s: %s", file.name, error.strerror)
