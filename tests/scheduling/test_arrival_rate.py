"""The rate of arrivals: right when steady, and gone when nobody comes."""

import pytest

from gateway.scheduling.arrival_rate import ArrivalRate


@pytest.mark.parametrize("seconds", [0.2, 1.0, 5.0])
def test_a_steady_rate_is_found_soon_and_forgotten_as_fast(seconds: float) -> None:
    rate = ArrivalRate()
    assert rate.per_s(1000.0) == 0.0
    for step in range(round(100 * seconds)):
        rate.came(2, 1000.0 + step / 100)
    now = 1000.0 + seconds
    assert rate.per_s(now) == pytest.approx(200.0, rel=0.02)
    assert rate.per_s(now + 10) < 0.02


def test_a_first_row_is_no_flood() -> None:
    rate = ArrivalRate()
    rate.came(1, 1e9)
    assert 1.0 < rate.per_s(1e9) < 11.0
