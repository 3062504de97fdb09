from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidInput
from gateway.frontends.v2_rest.document import MAX_DEPTH, check_keys, load

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)


def read(text):
    document = load(text)
    check_keys(text, document, 0)
    return document


@given(VALUES)
@settings(max_examples=200)
def test_whatever_is_right_is_read(value):
    for ascii_only in (True, False):
        assert read(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(VALUES, st.text(max_size=3), VALUES, VALUES)
@settings(max_examples=200)
def test_a_duplicate_key_is_found_wherever_it_is(around, key, first, second):
    name = json.dumps(key)
    twice = f"{{{name}:{json.dumps(first)},{name}:{json.dumps(second)}}}"
    for text in (twice, f"[{json.dumps(around)},{twice}]", f'{{"a":{{"b":[{twice}]}}}}'):
        with pytest.raises(InvalidInput, match="duplicate"):
            read(text.encode())


def test_escaped_names_of_one_key_are_duplicates_too():
    with pytest.raises(InvalidInput, match="duplicate"):
        read(b'{"a":1,"\\u0061":2}')


def test_non_finite_numbers_are_read():
    assert read(b'{"a":[Infinity,-Infinity]}') == {"a": [float("inf"), float("-inf")]}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a":}',
        b"[1,]",
        b"\xff",
        b'"\xff"',
        b'"\\ud800"',
        b"NaN[",
        b"[NaN",
        b'{"a":NaN,"a":1}',
        b"1e400",
        b"NaN" * 3,
        b'"NaN\xff"',
        b"[" * 100_000,
        b"[" * 100_000 + b"NaN" + b"]" * 100_000,
    ],
)
def test_what_is_wrong_is_invalid_input(text):
    with pytest.raises(InvalidInput):
        read(text)


def test_depth_is_capped():
    assert read(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    with pytest.raises(InvalidInput, match="deeper"):
        read(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))
