"""Errors there and back."""

from __future__ import annotations

import msgspec
import pytest

from gateway.control.questions import Answer, Question, Refused, Statistics, UnloadModel, as_error, refusal
from gateway.core.errors import Forbidden, GatewayError, InvalidInput, ModelUnavailable


@pytest.mark.parametrize(
    "error", [InvalidInput("no"), Forbidden("never"), ModelUnavailable("later", retry_after_s=3.0)]
)
def test_an_error_comes_out_as_it_went_in(error: GatewayError) -> None:
    sent = msgspec.msgpack.encode(refusal(error))
    refused = msgspec.msgpack.decode(sent, type=Answer)
    assert isinstance(refused, Refused)
    came = as_error(refused)
    assert type(came) is type(error)
    assert (came.text, came.retry_after_s) == (error.text, error.retry_after_s)


def test_an_error_of_no_kind_stays_one() -> None:
    assert type(as_error(refusal(GatewayError("a bug")))) is GatewayError


def test_statistics_keep_numbers_of_64_bits() -> None:
    answer = Statistics((msgspec.Raw(msgspec.msgpack.encode([7, 8])),))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=Answer) == answer


def test_a_question_keeps_its_type() -> None:
    sent = msgspec.msgpack.encode(UnloadModel("m", unload_dependents=True))
    assert msgspec.msgpack.decode(sent, type=Question) == UnloadModel("m", unload_dependents=True)
