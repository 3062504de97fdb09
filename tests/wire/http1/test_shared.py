from __future__ import annotations

from gateway.wire.http1.head import HeadCache
from gateway.wire.http1.shared import Shared


def test_faults_are_counted_by_kind() -> None:
    shared = Shared(HeadCache(), {})
    for kind in ("malformed", "malformed", "too_large"):
        shared.count_fault(kind)
    assert shared.faults == {"malformed": 2, "too_large": 1}
