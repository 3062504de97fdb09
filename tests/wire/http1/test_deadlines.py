from __future__ import annotations

import pytest

from gateway.wire.http1.deadlines import RATE_AFTER_S, WriteProgress, body_fault, is_head_late
from gateway.wire.settings import WireSettings

SETTINGS = WireSettings(headers_timeout_s=10, body_idle_timeout_s=10, body_timeout_s=100, body_min_rate=240)


def test_head() -> None:
    assert not is_head_late(110.0, 100.0, SETTINGS)
    assert is_head_late(110.1, 100.0, SETTINGS)


@pytest.mark.parametrize(
    ("now", "last", "received", "fault"),
    [
        (1.0, 0.0, 0, None),
        (10.0, 0.0, 5000, None),
        (10.1, 0.0, 5000, "no byte"),
        (RATE_AFTER_S, 5.0, 1, None),
        (6.0, 6.0, 6 * 240 - 1, "less than 240"),
        (6.0, 6.0, 6 * 240, None),
        (100.0, 100.0, 1 << 20, None),
        (100.1, 100.0, 1 << 20, "not complete after 100 s"),
    ],
)
def test_body(now: float, last: float, received: int, fault: str | None) -> None:
    found = body_fault(now, 0.0, last, received, SETTINGS)
    assert found is None if fault is None else fault in str(found)


class TestWriteProgress:
    def test_stuck_when_nothing_is_taken(self) -> None:
        progress = WriteProgress()
        assert not progress.is_stuck(0.0, 100, 30)
        assert not progress.is_stuck(30.0, 100, 30)
        assert progress.is_stuck(30.1, 100, 30)

    def test_more_to_send_is_no_progress(self) -> None:
        progress = WriteProgress()
        assert not progress.is_stuck(0.0, 100, 30)
        assert not progress.is_stuck(20.0, 200, 30)
        assert progress.is_stuck(31.0, 200, 30)

    def test_fewer_bytes_are(self) -> None:
        progress = WriteProgress()
        assert not progress.is_stuck(0.0, 100, 30)
        assert not progress.is_stuck(29.0, 99, 30)
        assert not progress.is_stuck(50.0, 99, 30)
        assert progress.is_stuck(59.1, 99, 30)

    def test_so_is_a_drained_buffer_that_filled_again(self) -> None:
        progress = WriteProgress()
        assert not progress.is_stuck(0.0, 100, 30)
        progress.drained()
        assert not progress.is_stuck(31.0, 100, 30)

    def test_nothing_unsent_is_never_stuck(self) -> None:
        progress = WriteProgress()
        assert not progress.is_stuck(0.0, 0, 30)
        assert not progress.is_stuck(1000.0, 0, 30)
        assert not progress.is_stuck(1001.0, 5, 30)
