"""When a rule holds: within a day, over midnight, and where clocks are changed."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway_plugins.routing.windows import DAYS, Window, any_holds, parse_time

BERLIN = ZoneInfo("Europe/Berlin")


def window(begins: str, ends: str, *days: str) -> Window:
    numbers = frozenset(DAYS.index(day) for day in days or DAYS)
    return Window(numbers, parse_time(begins), parse_time(ends), BERLIN)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


# 2026-03-29 is a Sunday on which clocks go from 02:00 to 03:00; 2026-10-25 one on which 02:00 comes twice.
@pytest.mark.parametrize(
    ("times", "moment", "expected"),
    [
        (window("09:00", "17:00"), "2026-03-27T09:00:00", True),
        (window("09:00", "17:00"), "2026-03-27T16:59:59", True),
        (window("09:00", "17:00"), "2026-03-27T17:00:00", False),
        (window("09:00", "17:00", "sat"), "2026-03-27T12:00:00", False),
        (window("22:00", "06:00", "fri"), "2026-03-27T23:00:00", True),
        (window("22:00", "06:00", "fri"), "2026-03-28T05:59:00", True),
        (window("22:00", "06:00", "fri"), "2026-03-27T05:59:00", False),
        (window("22:00", "06:00", "fri"), "2026-03-28T22:00:00", False),
        (window("00:00", "00:00", "fri"), "2026-03-27T00:00:00", True),
        (window("00:00", "00:00", "fri"), "2026-03-28T00:00:00", False),
        (window("01:00", "03:30", "sun"), "2026-03-29T03:15:00", True),
        (window("02:00", "03:00", "sun"), "2026-10-25T02:30:00", True),
    ],
)
def test_windows(times: Window, moment: str, expected: bool) -> None:
    assert times.holds(at(moment)) is expected


def test_the_second_half_past_two_holds_as_well() -> None:
    again = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1).timestamp()
    assert window("02:00", "03:00", "sun").holds(again)


def test_without_windows_it_always_holds() -> None:
    assert any_holds((), 0.0)
    noon = at("2026-03-27T12:00:00")
    assert any_holds((window("01:00", "02:00"), window("11:00", "13:00")), noon)
    assert not any_holds((window("01:00", "02:00"),), noon)


@pytest.mark.parametrize("text", ["", "9:00", "24:00", "12:60", "12", "ab:cd", "12:00:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"hour|minute|no time"):
        parse_time(text)
