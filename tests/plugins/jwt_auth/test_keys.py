"""Which published keys can verify what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_plugins.jwt_auth.keys import MAX_KEYS, parse_keys
from tests.fakes.tokens import key_set, signer

RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def parsed(*keys: Any) -> tuple[list[frozenset[str]], int]:
    found = parse_keys(json.dumps({"keys": keys}).encode())
    return [one.algorithms for one in found.keys], found.left_out


def jwk(algorithm: str, **changes: Any) -> dict[str, Any]:
    """None leaves a member out."""
    changed = {**signer(algorithm).jwk, **changes}
    return {name: value for name, value in changed.items() if value is not None}


@pytest.mark.parametrize(
    ("algorithm", "fits"),
    [
        ("RS256", RSA_ALGORITHMS),
        ("PS512", RSA_ALGORITHMS),
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("ES512", {"ES512"}),
        ("EdDSA", {"EdDSA"}),
    ],
)
def test_a_key_verifies_what_its_type_can_and_of_that_what_it_says(algorithm: str, fits: set[str]) -> None:
    assert parsed(jwk(algorithm, alg=None)) == ([frozenset(fits)], 0)
    assert parsed(jwk(algorithm)) == ([frozenset({algorithm})], 0)


def test_the_larger_edwards_curve_is_one_too() -> None:
    assert parsed(signer("EdDSA", bits=448).jwk) == ([frozenset({"EdDSA"})], 0)


@pytest.mark.parametrize(
    "key",
    [
        signer("RS256", bits=1024).jwk,
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "HS256"},
        jwk("RS256", alg="HS256"),
        jwk("RS256", alg="none"),
        jwk("RS256", alg="ES256"),
        jwk("RS256", use="enc"),
        jwk("RS256", key_ops=["sign"]),
        jwk("RS256", key_ops="verify"),
        jwk("RS256", n=None),
        jwk("RS256", n=5),
        jwk("RS256", e="AA"),
        jwk("RS256", d="AQAB"),
        jwk("RS256", kid=1),
        jwk("RS256", kid="k" * 257),
        jwk("ES256", crv="P-384"),
        jwk("ES256", crv="secp256k1"),
        jwk("ES256", x="AAAA"),
        jwk("ES256", x="A" * 43, y="A" * 43),
        jwk("ES256", crv=["P-256"]),
        jwk("ES256", kty=["EC"]),
        jwk("EdDSA", crv="X25519"),
        jwk("EdDSA", x="AA"),
        "text",
        None,
    ],
    ids=range(24),
)
def test_keys_that_can_be_trusted_with_nothing_are_left_out(key: Any) -> None:
    assert parsed(key, jwk("ES384")) == ([frozenset({"ES384"})], 1)


def test_the_curve_that_is_not_ours_is_left_out() -> None:
    assert parsed({**jwk("ES256"), **signer("ES256K").jwk}) == ([], 1)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": null}',
        b'{"keys": [], "keys": []}',
        b"<html>",
        b'{"keys": [' + b"[" * 100_000,
        json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(),
    ],
)
def test_what_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError):  # ruff: ignore[pytest-raises-too-broad] - texts of several layers
        parse_keys(document)


def test_a_key_is_found_by_its_id_or_as_the_only_one() -> None:
    one, two = signer("ES256", "a"), signer("ES256", "b")
    both, alone = parse_keys(key_set(one, two)), parse_keys(key_set(one, signer("RS256", "c")))
    assert [key.id for key in both.fitting("b", "ES256")] == ["b"]
    assert both.fitting("c", "ES256") == both.fitting(None, "ES256") == both.fitting("a", "ES384") == ()
    assert [key.id for key in alone.fitting(None, "ES256")] == ["a"]
