import json

from gateway.core.errors import Reason
from gateway.core.records import RequestRecord
from gateway.telemetry.access_log import AccessLog


def test_one_line_of_json_a_request_whatever_the_names_hold() -> None:
    lines: list[bytes] = []
    log = AccessLog(lines.append, lambda: 12.5)
    log.record(RequestRecord('evil"\n{', 3, "rest", Reason.OVERLOADED, 0.0015, 0.001, 0.0002, 1, 8))
    assert len(lines) == 1
    assert lines[0].count(b"\n") == 1
    assert json.loads(lines[0]) == {
        "time": 12.5,
        "model": 'evil"\n{',
        "version": 3,
        "protocol": "rest",
        "outcome": "OVERLOADED",
        "duration_ms": 1.5,
        "queue_ms": 1.0,
        "compute_ms": 0.2,
        "rows": 1,
        "batch_rows": 8,
        "cold": False,
        "principal": "",
        "tenant": "",
    }
