"""Who may what: patterns, grants, and headers that prove something only where they are alone."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.caller import Caller, Credentials, Grant, Operation, Principal, checked_label, matches

INFER, LOAD = Operation.INFER, Operation.LOAD


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("fraud", "fraud", True),
        ("fraud", "fraud2", False),
        ("*", "", True),
        ("fraud*", "fraud", True),
        ("fraud*", "fraud-v2", True),
        ("*-v2", "fraud-v2", True),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("a*a", "a", False),
        ("fr?ud", "fraud", False),
        ("[f]raud", "fraud", False),
    ],
)
def test_patterns(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_a_star_is_any_text(pattern: str, name: str) -> None:
    expression = "".join(".*" if one == "*" else re.escape(one) for one in pattern)
    assert matches(pattern, name) is bool(re.fullmatch(expression, name))
    assert matches(pattern, name) is fnmatch.fnmatchcase(name, pattern)


def test_nothing_is_granted_that_is_not_named() -> None:
    principal = Principal("anna", "shop", (Grant(frozenset({INFER}), ("fraud*",)),))
    assert principal.is_granted(INFER, "fraud-v2")
    assert not principal.is_granted(LOAD, "fraud-v2")
    assert not principal.is_granted(INFER, "other")
    assert principal.sees("fraud-v2")
    assert not principal.sees("other")
    assert not Principal("nobody").is_granted(INFER, "fraud")


def test_what_is_remembered_is_bounded_and_the_same() -> None:
    principal = Principal("anna", grants=(Grant(frozenset({INFER}), ("m1*",)),))
    for _ in range(2):
        for number in range(1000):
            assert principal.is_granted(INFER, f"m{number}") is str(number).startswith("1")
    assert len(principal._known) <= 256


@pytest.mark.parametrize("label", ["", " a", "a\n", "a\x1b[0m", "x" * 129])
def test_labels_that_could_forge_a_log_line_are_refused(label: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        checked_label("principal", label)


def test_a_header_that_comes_twice_proves_nothing() -> None:
    once = Credentials(((b"authorization", b"Bearer abc"),))
    assert once.bearer() == "abc"
    twice = Credentials(((b"authorization", b"Bearer abc"), (b"authorization", b"Bearer def")))
    assert twice.bearer() is None
    assert twice.header("x") is None


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b"Basic abc", None),
        (b"Bearer", None),
        (b"bearer   x", "x"),
        (b"Bearer ", None),
    ],
)
def test_bearer(value: bytes, token: str | None) -> None:
    assert Credentials(((b"authorization", value),)).bearer() == token


def test_a_caller_is_asked_for_headers_by_lower_case_names() -> None:
    caller = Caller(None, ((b"a", b"1"), (b"a", b"2")))
    assert caller.header("a") == "1"
    assert caller.header("b") is None


def test_who_calls_in_a_word() -> None:
    anna, nobody = Caller(Principal("anna", "shop")), Caller()
    assert (anna.id, anna.tenant, nobody.id, nobody.tenant) == ("anna", "shop", "", "")
