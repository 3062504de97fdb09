from __future__ import annotations

import json

import pytest

from gateway.core.errors import GatewayError, Overloaded, Reason
from gateway.frontends.v2_rest.errors import STATUS, answer_error
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange

# reliability: the outcome contract, REST's column.
CONTRACT = {
    "INVALID_INPUT": 400,
    "NOT_FOUND": 404,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "TOO_LARGE": 413,
    "REQUEST_TIMEOUT": 408,
    "UNSUPPORTED": 501,
    "QUOTA_EXCEEDED": 429,
    "OVERLOADED": 503,
    "QUEUE_TIMEOUT": 503,
    "MODEL_LOADING": 503,
    "MODEL_UNAVAILABLE": 503,
    "INSTANCE_DIED": 503,
    "MODEL_FAILED": 500,
    "DEADLINE_EXCEEDED": 504,
    "CANCELLED": 499,
    "CONFLICT": 409,
    "PLUGIN_FAILED": 503,
    "INTERNAL": 500,
}


def failed(reason, text="why", retry_after_s=None, version="1.1"):
    error = GatewayError(text, retry_after_s=retry_after_s)
    error.reason = reason
    exchange = FakeExchange(Head(b"POST", b"/", (), http_version=version))
    answer_error(exchange, error)
    return exchange


def test_the_table_is_whole_and_as_agreed():
    assert {reason.value: status for reason, status in STATUS.items()} == CONTRACT
    assert set(STATUS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_error_has_text_and_code(reason):
    exchange = failed(reason)
    assert exchange.status == STATUS[reason]
    assert json.loads(exchange.body) == {"error": "why", "code": reason.value}
    assert exchange.headers[b"content-type"] == b"application/json"
    assert (b"retry-after" in exchange.headers) == (exchange.status in {429, 503})
    assert (b"x-gw-overloaded" in exchange.headers) == (reason in {Reason.OVERLOADED, Reason.QUEUE_TIMEOUT})
    assert (b"x-gw-model-state" in exchange.headers) == (reason is Reason.MODEL_LOADING)
    assert (b"www-authenticate" in exchange.headers) == (reason is Reason.UNAUTHENTICATED)


@pytest.mark.parametrize(
    ("after_s", "header"),
    [(None, b"1"), (0.0, b"0"), (0.2, b"1"), (30.01, b"31"), (-3, b"0"), (float("inf"), b"86400")],
)
def test_retry_after_is_whole_seconds_never_too_early(after_s, header):
    assert failed(Reason.OVERLOADED, retry_after_s=after_s).headers[b"retry-after"] == header


def test_the_connection_s_own_headers_are_left_to_wire():
    for version in ("1.1", "2"):
        for reason in Reason:
            assert b"connection" not in failed(reason, version=version).headers


def test_any_text_can_be_told():
    assert json.loads(failed(Reason.INVALID_INPUT, 'a"\ud800\0').body)["error"] == 'a"?\0'
    assert len(failed(Reason.INVALID_INPUT, "x" * 10**6).body) < 2000


def test_extra_headers():
    exchange = FakeExchange(Head(b"POST", b"/", (), http_version="1.1"))
    answer_error(exchange, Overloaded("x"), ((b"a", b"b"),))
    assert exchange.headers[b"a"] == b"b"
