from __future__ import annotations

import logging

from gateway.core.errors import InvalidInput, Reason
from gateway.frontends.faults import as_gateway_error


def test_an_error_with_a_reason_stays_what_it_is():
    error = InvalidInput("x")
    assert as_gateway_error(error) is error


def test_a_bug_is_logged_and_its_text_kept_inside(caplog):
    with caplog.at_level(logging.ERROR):
        told = as_gateway_error(KeyError("/secret/path"))
    assert (told.reason, told.text) == (Reason.INTERNAL, "internal error")
    assert "/secret/path" in caplog.text
