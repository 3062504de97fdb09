"""Which keys of a document are for signatures of ours."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_plugins.jwt_auth.key_sets import MAX_KEYS, read_key_set
from tests.plugins.jwt_auth.issuer import DOCUMENT, ED, OTHER_RSA, P256, RSA, WEAK_RSA, jwk, key_set


def test_kinds_and_what_they_are_for() -> None:
    keys = read_key_set(DOCUMENT)
    assert set(keys) == {"rsa", "p256", "ed"}
    assert {"RS256", "PS512"} <= keys["rsa"].algorithms
    assert keys["p256"].algorithms == {"ES256"}
    assert keys["ed"].algorithms == {"EdDSA"}
    narrowed = read_key_set(key_set(jwk(RSA, "a", alg="RS256")))
    assert narrowed["a"].algorithms == {"RS256"}


@pytest.mark.parametrize(
    "told",
    [
        jwk(RSA, "a", use="enc"),
        jwk(WEAK_RSA, "a"),
        jwk(RSA, "a", alg="ES256"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        {"kty": "new", "kid": "a"},
        {"kty": "EC", "crv": "P-256", "x": "!", "y": "!", "kid": "a"},
        {"kty": "RSA", "n": 5, "e": "AQAB", "kid": "a"},
        "text",
    ],
)
def test_what_is_no_key_of_ours_is_passed_over(told: Any) -> None:
    assert set(read_key_set(key_set(told, jwk(P256, "good")))) == {"good"}
    with pytest.raises(ValueError, match="no key for signatures"):
        read_key_set(key_set(told))


@pytest.mark.parametrize("text", [b"", b"[]", b'{"keys": {}}', b"{}", b"\xff"])
def test_what_is_no_set(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_key_set(text)


def test_the_first_of_two_with_one_name_and_not_more_than_may_be() -> None:
    keys = read_key_set(key_set(jwk(RSA, "a"), jwk(OTHER_RSA, "a")))
    assert keys["a"].public.public_numbers() == RSA.public_key().public_numbers()  # type: ignore[union-attr]
    many = [jwk(ED, f"k{number}") for number in range(MAX_KEYS + 5)]
    assert len(read_key_set(key_set(*many))) == MAX_KEYS
