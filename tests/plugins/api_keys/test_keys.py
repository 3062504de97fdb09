"""What a key looks like, and that nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.api_keys.keys import KEY_PATTERN, Key, hashed, new_key, parse_key, redacted


def test_a_key_comes_back_from_its_text() -> None:
    keys = [new_key() for _ in range(50)]
    assert [parse_key(key.text()) for key in keys] == keys
    assert len({key.id for key in keys} | {key.secret for key in keys}) == 100
    assert all(KEY_PATTERN.fullmatch(key.text()) for key in keys)


@given(st.integers(0, 67), st.characters(codec="ascii"))
def test_one_wrong_character_is_found_before_anything_is_looked_up(index: int, other: str) -> None:
    text = Key("abcdefghij12", "s" * 43).text()
    changed = text[:index] + other + text[index + 1 :]
    assert (parse_key(changed) is None) is (changed != text)


@pytest.mark.parametrize("text", ["", "gw_", "gw_a_b_c", "sk_abcdefghij12_" + "s" * 43 + "_000000", " "])
def test_anything_else_is_no_key(text: str) -> None:
    assert parse_key(text) is None
    assert parse_key(Key("abcdefghij12", "s" * 43).text() + "\n") is None


def test_no_secret_is_shown_by_accident() -> None:
    key = new_key()
    assert key.secret not in repr(key)
    line = f"Authorization: Bearer {key.text()} and {key.text()}"
    assert key.secret not in redacted(line)
    assert redacted(line).count(f"gw_{key.id}_[redacted]") == 2
    assert redacted("nothing to hide") == "nothing to hide"


def test_the_hash_depends_on_the_pepper() -> None:
    assert hashed(b"a" * 32, "s") != hashed(b"b" * 32, "s")
    assert hashed(b"a" * 32, "s") == hashed(b"a" * 32, "s")
