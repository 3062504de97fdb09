from __future__ import annotations

import pytest

from gateway.runtimes.contract import BadInput, TimedOut, Unavailable, UpstreamFailed
from gateway.runtimes.remote.faults import RULES, Fault, Kind, error_of, kind_of_grpc, kind_of_http, seconds


@pytest.mark.parametrize(
    ("kind", "counts", "is_safe", "error"),
    [
        (Kind.REJECTED, False, False, BadInput),
        (Kind.MISSING, True, False, Unavailable),
        (Kind.DENIED, True, False, Unavailable),
        (Kind.FAILED, False, False, UpstreamFailed),
        (Kind.UNREACHED, True, True, Unavailable),
        (Kind.BROKEN, True, False, Unavailable),
        (Kind.SHED, True, True, Unavailable),
        (Kind.LIMITED, False, True, Unavailable),
        (Kind.TIMED_OUT, True, False, TimedOut),
        (Kind.UNSOUND, False, False, UpstreamFailed),
    ],
)
def test_what_each_fault_means(kind: Kind, counts: bool, is_safe: bool, error: type[Exception]) -> None:
    assert RULES[kind] == (counts, is_safe)
    told = error_of(Fault(kind, "why"))
    assert type(told) is error
    assert "why" in str(told)


def test_every_fault_has_a_rule() -> None:
    assert set(RULES) == set(Kind)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.REJECTED),
        (401, Kind.DENIED),
        (403, Kind.DENIED),
        (404, Kind.MISSING),
        (408, Kind.TIMED_OUT),
        (413, Kind.REJECTED),
        (422, Kind.REJECTED),
        (429, Kind.LIMITED),
        (500, Kind.FAILED),
        (501, Kind.FAILED),
        (502, Kind.BROKEN),
        (503, Kind.SHED),
        (504, Kind.TIMED_OUT),
        (301, Kind.UNSOUND),
        (204, Kind.UNSOUND),
    ],
)
def test_http_statuses(status: int, kind: Kind) -> None:
    assert kind_of_http(status) is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, Kind.FAILED),
        (2, Kind.FAILED),
        (3, Kind.REJECTED),
        (4, Kind.TIMED_OUT),
        (5, Kind.MISSING),
        (7, Kind.DENIED),
        (8, Kind.LIMITED),
        (9, Kind.MISSING),
        (12, Kind.MISSING),
        (13, Kind.FAILED),
        (14, Kind.SHED),
        (16, Kind.DENIED),
    ],
)
def test_grpc_statuses(code: int, kind: Kind) -> None:
    assert kind_of_grpc(code) is kind


@pytest.mark.parametrize(
    ("text", "per_second", "expected"),
    [
        ("3", 1.0, 3.0),
        ("250", 1000.0, 0.25),
        (None, 1.0, 0.0),
        ("", 1.0, 0.0),
        ("-1", 1.0, 0.0),
        ("1.5", 1.0, 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0, 0.0),
        ("9" * 12, 1.0, 86_400.0),
        ("9" * 13, 1.0, 0.0),
        ("\u0663", 1.0, 0.0),
    ],
)
def test_times_to_wait_are_plain_numbers(text: str | None, per_second: float, expected: float) -> None:
    assert seconds(text, per_second=per_second) == expected


def test_the_upstreams_time_to_wait_is_told_on() -> None:
    told = error_of(Fault(Kind.SHED, "busy", 7.0))
    assert isinstance(told, Unavailable)
    assert told.retry_after_s == 7.0
    silent = error_of(Fault(Kind.SHED, "busy"))
    assert isinstance(silent, Unavailable)
    assert silent.retry_after_s == 1.0
