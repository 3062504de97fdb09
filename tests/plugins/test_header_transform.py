"""Headers become parameters, and answers get more headers."""

from __future__ import annotations

import pytest

from gateway.core.caller import ANYBODY, Caller
from gateway.core.messages import InferRequest
from gateway.testing import start
from gateway_plugins.header_transform import HeaderTransform, HeaderTransformSettings

SETTINGS = HeaderTransformSettings(parameters={"x-region": "region"}, answers={"x-served-by": "us"})
CALLER = Caller(None, ((b"x-region", b"eu"), (b"x-other", b"1")))


def plugin() -> HeaderTransform:
    return HeaderTransform(SETTINGS, start())


def test_a_header_becomes_a_parameter() -> None:
    request = InferRequest("m", 0, (), parameters={"a": 1})
    changed = plugin().transform_request(request, CALLER)
    assert changed == request.with_parameters({"a": 1, "region": "eu"})


def test_what_the_caller_says_itself_stays() -> None:
    request = InferRequest("m", 0, (), parameters={"region": "us"})
    changed = plugin().transform_request(request, CALLER)
    assert changed is not None
    assert changed.parameters == {"region": "us"}


def test_without_the_header_nothing_changes() -> None:
    assert plugin().transform_request(InferRequest("m", 0, ()), ANYBODY) is None


def test_answers_get_the_headers_after_those_of_others() -> None:
    assert plugin().answer_headers(((b"a", b"1"),)) == ((b"a", b"1"), (b"x-served-by", b"us"))
    assert HeaderTransform(HeaderTransformSettings(), start()).answer_headers(()) is None


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"parameters": {"authorization": "a"}}, "credential"),
        ({"parameters": {"x-api-key": "a"}}, "credential"),
        ({"answers": {"x": "a\r\nb: c"}}, "printable"),
        ({"answers": {"x": "ä"}}, "printable"),
    ],
)
def test_what_would_leak_or_break_is_refused(settings: dict[str, dict[str, str]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        HeaderTransform(HeaderTransformSettings.model_validate(settings), start())
