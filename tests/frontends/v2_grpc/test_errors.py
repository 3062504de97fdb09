from __future__ import annotations

from urllib.parse import unquote

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, Reason
from gateway.frontends.v2_grpc.errors import STATUS, Status, answer_error, percent_encode
from gateway.wire.exchange import Head
from tests.fakes.inference import FakeExchange

# reliability: the outcome contract, gRPC's column.
CONTRACT = {
    "INVALID_INPUT": "INVALID_ARGUMENT",
    "NOT_FOUND": "NOT_FOUND",
    "UNAUTHENTICATED": "UNAUTHENTICATED",
    "FORBIDDEN": "PERMISSION_DENIED",
    "TOO_LARGE": "RESOURCE_EXHAUSTED",
    "REQUEST_TIMEOUT": "CANCELLED",
    "UNSUPPORTED": "UNIMPLEMENTED",
    "QUOTA_EXCEEDED": "RESOURCE_EXHAUSTED",
    "OVERLOADED": "UNAVAILABLE",
    "QUEUE_TIMEOUT": "UNAVAILABLE",
    "MODEL_LOADING": "UNAVAILABLE",
    "MODEL_UNAVAILABLE": "FAILED_PRECONDITION",
    "INSTANCE_DIED": "UNAVAILABLE",
    "MODEL_FAILED": "INTERNAL",
    "DEADLINE_EXCEEDED": "DEADLINE_EXCEEDED",
    "CANCELLED": "CANCELLED",
    "CONFLICT": "ABORTED",
    "PLUGIN_FAILED": "UNAVAILABLE",
    "INTERNAL": "INTERNAL",
}


def test_the_table_is_whole_and_as_agreed():
    assert {reason.value: status.name for reason, status in STATUS.items()} == CONTRACT
    assert set(STATUS) == set(Reason)


def test_numbers_are_grpcs_own():
    assert {status.name: status.value for status in Status} == {
        code.name: code.value[0] for code in grpc.StatusCode
    }


@pytest.mark.parametrize("reason", Reason)
def test_every_error_is_a_status_in_trailers(reason):
    error = GatewayError("50 % of é", retry_after_s=0.0101)
    error.reason = reason
    exchange = FakeExchange(Head(b"POST", b"/", (), http_version="2"))
    answer_error(exchange, error)
    assert (exchange.status, exchange.body) == (200, b"")
    assert exchange.headers == {b"content-type": b"application/grpc"}
    assert int(exchange.trailers[b"grpc-status"]) == STATUS[reason]
    assert exchange.trailers[b"grpc-message"] == b"50 %25 of %C3%A9"
    is_retried = (
        STATUS[reason] in {Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED} and reason is not Reason.TOO_LARGE
    )
    assert exchange.trailers.get(b"grpc-retry-pushback-ms") == (b"11" if is_retried else None)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_messages_are_printable_and_come_back(text):
    encoded = percent_encode(text)
    assert all(0x20 <= byte < 0x7F for byte in encoded)
    assert unquote(encoded.decode()) == text


def test_long_texts_and_half_pairs():
    exchange = FakeExchange(Head(b"POST", b"/", (), http_version="2"))
    answer_error(exchange, GatewayError("\ud800" + "é" * 10_000))
    assert len(exchange.trailers[b"grpc-message"]) < 8192
