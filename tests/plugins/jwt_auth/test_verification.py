"""The corpus: what RFC 8725 warns of, one row each, and that nothing but a good token passes."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.jwt_auth.key_sets import read_key_set
from gateway_plugins.jwt_auth.settings import IssuerSettings
from gateway_plugins.jwt_auth.tokens import Refused, read_token
from gateway_plugins.jwt_auth.verification import verify
from tests.plugins.jwt_auth import issuer as made
from tests.plugins.jwt_auth.issuer import ED, NAME, NOW, OTHER_RSA, P256, P384, RSA, claims, signed, token

KEYS = read_key_set(made.DOCUMENT)
ISSUER = IssuerSettings(
    issuer=NAME,
    audiences=("gateway", "other"),
    algorithms=("RS256", "PS256", "ES256", "EdDSA"),
    jwks_url="https://issuer.test/keys",
)


def checked(text: str, settings: IssuerSettings = ISSUER, wall: float = NOW) -> float:
    read = read_token(text, 8192)
    key = KEYS.get(read.key_id)
    if key is None:
        raise Refused("unknown_key")
    return verify(read, settings, key, wall)


GOOD = [
    token(),
    token(alg="PS256"),
    token(P256, "ES256", "p256"),
    token(ED, "EdDSA", "ed"),
    token(typ=None),
    token(typ="at+jwt"),
    token(typ="application/at+JWT"),
    token(said=claims(aud=["x", "other"])),
    token(said=claims(exp=NOW - 29)),
    token(said=claims(nbf=NOW + 29, iat=NOW + 29)),
    token(said=claims(iat=None)),
    token(said=claims(exp=NOW + 0.5)),
]


@pytest.mark.parametrize("text", GOOD)
def test_good_tokens(text: str) -> None:
    assert checked(text) > NOW - 30


def duplicate(name: str, value: str) -> str:
    body = json.dumps(claims())
    return body[:-1] + f', "{name}": {value}}}'


PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
HEADER = made.encoded(b'{"alg":"RS256","kid":"rsa"}')


def with_header(text: str) -> str:
    return signed(text, json.dumps(claims()), RSA, "RS256")


def ends(value: str) -> str:
    return token(said=f'{{"iss":"{NAME}","aud":"gateway","exp":{value}}}')


BAD: list[tuple[str, str, str]] = [
    ("none", token(None, "none"), "shape"),
    ("none with a signature", with_header('{"alg":"none","kid":"rsa"}'), "algorithm"),
    ("an algorithm that is not ours", token(alg="RS512"), "algorithm"),
    ("RSA under the name of EC", token(RSA, "RS256", "p256"), "algorithm"),
    ("EC under the name of RSA", token(P256, "ES256", "rsa"), "algorithm"),
    ("another curve", token(P384, "ES384", "p256"), "algorithm"),
    ("another key", token(OTHER_RSA), "signature"),
    ("kid that climbs", token(kid="../../etc/passwd"), "unknown_key"),
    ("kid with SQL", token(kid="' OR 1=1 --"), "unknown_key"),
    ("kid that is huge", token(kid="k" * 300), "kid"),
    ("kid that is a number", with_header('{"alg":"RS256","kid":1}'), "kid"),
    ("no kid among several", token(kid=None), "unknown_key"),
    ("huge", token(said=claims(pad="x" * 9000)), "size"),
    ("expired", token(said=claims(exp=NOW - 30)), "expired"),
    ("no end", token(said=claims(exp=None)), "expired"),
    ("an end that is a text", token(said=claims(exp=str(NOW + 600))), "time"),
    ("an end that is true", token(said=claims(exp=True)), "time"),
    ("an end beyond time", token(said=claims(exp=1 << 62)), "time"),
    ("an end before time", token(said=claims(exp=-1)), "time"),
    ("an end that is null", ends("null"), "time"),
    ("an end that is infinite", ends("1e999"), "time"),
    ("an end that is no number", ends("NaN"), "json"),
    ("not yet", token(said=claims(nbf=NOW + 31)), "early"),
    ("made in the future", token(said=claims(iat=NOW + 31)), "early"),
    ("no issuer", token(said=claims(iss=None)), "issuer"),
    ("another issuer", token(said=claims(iss=NAME + "/")), "issuer"),
    ("an issuer in a list", token(said=claims(iss=[NAME])), "issuer"),
    ("no audience", token(said=claims(aud=None)), "audience"),
    ("another audience", token(said=claims(aud="gateway2")), "audience"),
    ("an audience in an object", token(said=claims(aud={"gateway": 1})), "audience"),
    ("two ends", token(said=duplicate("exp", str(NOW + 9e9))), "duplicate"),
    ("two subjects", token(said=duplicate("sub", '"root"')), "duplicate"),
    ("two algorithms", with_header('{"alg":"none","alg":"RS256","kid":"rsa"}'), "duplicate"),
    ("an extension that is critical", token(crit=["exp"], exp=1), "crit"),
    ("a payload that is not encoded", token(b64=False), "crit"),
    ("compressed", token(zip="DEF"), "crit"),
    ("jku", token(jku="https://evil.test/keys"), "foreign_key"),
    ("x5u", token(x5u="https://evil.test/cert"), "foreign_key"),
    ("jwk", token(jwk=made.jwk(OTHER_RSA, "rsa")), "foreign_key"),
    ("x5c", token(x5c=["MII"]), "foreign_key"),
    ("another type", token(typ="dpop+jwt"), "type"),
    ("a type that is a list", token(typ=["JWT"]), "type"),
    ("a signature cut short", token()[:-6], "signature"),
    ("no signature", token().rpartition(".")[0] + ".", "shape"),
    ("four parts", token() + ".abcd", "shape"),
    ("two parts", token().rpartition(".")[0], "shape"),
    ("padding", token() + "=", "shape"),
    ("white space", " " + token(), "shape"),
    ("a new line", token() + "\n", "shape"),
    ("claims in a list", token(said="[1]"), "json"),
    ("claims that are no JSON", token(said="{"), "json"),
    ("claims too deep", token(said="[" * 3000), "json"),
    ("claims that are no UTF-8", f"{HEADER}.{made.encoded(bytes([0xFF]))}.AAAA", "json"),
    ("an empty header", "e30.e30.AAAA", "unknown_key"),
    ("base64 that is not canonical", f"{HEADER}.e31.AAAA", "base64"),
]  # fmt: skip


def confused() -> str:
    """HS256 with the public key's own text as the secret."""
    header, body = b'{"alg":"HS256","kid":"rsa"}', json.dumps(claims()).encode()
    text = f"{made.encoded(header)}.{made.encoded(body)}"
    return f"{text}.{made.encoded(hmac.digest(PEM, text.encode(), hashlib.sha256))}"


@pytest.mark.parametrize(("text", "word"), [one[1:] for one in BAD], ids=[one[0] for one in BAD])
def test_bad_tokens(text: str, word: str) -> None:
    with pytest.raises(Refused) as caught:
        checked(text)
    assert caught.value.word == word


def test_a_public_key_is_no_secret() -> None:
    with pytest.raises(Refused, match="algorithm"):
        checked(confused())


@given(st.integers(0, len(GOOD[0]) - 1), st.characters(codec="ascii"))
def test_one_changed_character_is_enough(index: int, other: str) -> None:
    text = GOOD[0]
    changed = text[:index] + other + text[index + 1 :]
    if changed != text:
        with pytest.raises(Refused):
            checked(changed)


@pytest.mark.parametrize(
    ("value", "passes"), [("corp", True), ("other", False), (None, False), (["corp"], False)]
)
def test_claims_that_must_be_there(value: Any, passes: bool) -> None:
    settings = ISSUER.model_copy(update={"required_claims": {"org": "corp"}})
    text = token(said=claims(org=value))
    if passes:
        checked(text, settings)
    else:
        with pytest.raises(Refused, match="claim"):
            checked(text, settings)
