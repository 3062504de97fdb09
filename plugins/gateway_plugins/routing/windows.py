"""Times of the week: when a rule holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Window(NamedTuple):
    """From `begins` until before `ends`, on those days (0 is Monday) by the clocks of that zone.

    One that ends at or before its beginning goes over midnight and belongs to the day it began on; one that
    ends as it begins is the whole day.
    """

    days: frozenset[int]
    begins: time
    ends: time
    zone: ZoneInfo

    def holds(self, wall: float) -> bool:
        """True at `wall`, in seconds since 1970."""
        now = datetime.fromtimestamp(wall, UTC).astimezone(self.zone)
        at, day = now.time(), now.weekday()
        if self.begins < self.ends:
            return day in self.days and self.begins <= at < self.ends
        yesterday = (now - timedelta(days=1)).weekday() if at < self.ends else day
        return (day in self.days and at >= self.begins) or (at < self.ends and yesterday in self.days)


def any_holds(windows: Sequence[Window], wall: float) -> bool:
    """True where there is no window, or one that holds."""
    return not windows or any(window.holds(wall) for window in windows)


def parse_time(text: str) -> time:
    """HH:MM; raises ValueError."""
    hour, colon, minute = text.partition(":")
    if not (colon and hour.isdigit() and minute.isdigit() and len(hour) == len(minute) == 2):
        raise ValueError(f"'{text}' is no time of the day: HH:MM")
    return time(int(hour), int(minute))
