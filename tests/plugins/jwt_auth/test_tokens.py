from __future__ import annotations

import pytest

from gateway_plugins.jwt_auth.tokens import Refused, has_shape, read_token
from tests.plugins.jwt_auth.issuer import token


@pytest.mark.parametrize(
    ("text", "expected"),
    [(token(), True), ("a.b.c", True), ("a.b", False), ("gw_key", False), ("a..c", False)],
)
def test_what_could_be_a_token(text: str, expected: bool) -> None:
    assert has_shape(text) is expected


def test_the_parts_of_a_token() -> None:
    read = read_token(token(), 8192)
    assert (read.header["alg"], read.claims["sub"], read.key_id) == ("RS256", "anna", "rsa")
    assert token().encode().startswith(read.signed)
    with pytest.raises(Refused, match="size"):
        read_token(token(), 100)
