from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.caller import Grant, Operation
from gateway.core.grants import parse_grant, write_grant

INFER, PREVIEW = Operation.INFER, Operation.PREVIEW


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("infer:fraud", Grant(frozenset({INFER}), ("fraud",))),
        ("infer, preview : fraud*, digits", Grant(frozenset({INFER, PREVIEW}), ("fraud*", "digits"))),
        ("*:*", Grant(frozenset(Operation), ("*",))),
    ],
)
def test_texts(text: str, grant: Grant) -> None:
    assert parse_grant(text) == grant


@pytest.mark.parametrize(
    "text", ["", "infer", "infer:", "infer:a/b", "infer:a,", ":a", "fly:a", "infer,:a", "infer:a b"]
)
def test_what_means_nothing_is_refused_with_a_word(text: str) -> None:
    with pytest.raises(ValueError, match="grant '"):
        parse_grant(text)


@given(
    st.sets(st.sampled_from(Operation), min_size=1),
    st.lists(st.from_regex(r"[a-z*][a-z0-9*.-]{0,9}", fullmatch=True), min_size=1, max_size=4),
)
def test_what_is_written_is_read_again(operations: set[Operation], models: list[str]) -> None:
    grant = Grant(frozenset(operations), tuple(models))
    assert parse_grant(write_grant(grant)) == grant
