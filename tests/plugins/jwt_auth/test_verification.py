"""A corpus of forged, confused, stale and misdirected tokens, and the few that are valid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_plugins.jwt_auth.keys import KeySet, parse_keys
from gateway_plugins.jwt_auth.settings import IssuerSettings
from gateway_plugins.jwt_auth.tokens import Reason, Refused, parse_token
from gateway_plugins.jwt_auth.verification import valid_until, verify
from tests.fakes.tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    claims,
    header,
    key_set,
    segment,
    signed,
    signed_with_secret,
    signer,
    token,
)

EC, RSA = signer("ES256", "k1"), signer("RS256", "r1")
STRANGER = signer("ES256", "stranger")
KEYS = parse_keys(key_set(EC, RSA))
ALL = ("RS256", "ES256", "PS256", "ES384", "EdDSA")


def rules(**changes: Any) -> IssuerSettings:
    plain = {"issuer": ISSUER, "audiences": [AUDIENCE, "other"], "algorithms": ALL, "jwks_url": "https://a/"}
    return IssuerSettings.model_validate({**plain, **changes})


def verified(text: str, keys: KeySet = KEYS, now: float = NOW, **changes: Any) -> Mapping[str, Any]:
    return verify(parse_token(text, 8192), rules(**changes), keys, now)


def reason_of(text: str, **changes: Any) -> Reason:
    with pytest.raises(Refused) as caught:
        verified(text, **changes)
    return caught.value.reason


def headed(**changes: Any) -> str:
    return signed(EC, header(EC, **changes), claims())


def unsigned(algorithm: Any) -> str:
    return f"{segment(header(EC, alg=algorithm))}.{segment(claims())}."


def resigned(signature: bytes) -> str:
    return f"{token().rpartition('.')[0]}.{segment(signature)}"


def cut(text: str) -> str:
    """Without the last byte of its signature, and spelled well."""
    return resigned(parse_token(text, 8192).signature[:-1])


def changed(text: str, **changes: Any) -> str:
    """The claims changed under the signature of others."""
    head, _, signature = text.split(".")
    return f"{head}.{segment(claims(**changes))}.{signature}"


def raw(members: str) -> str:
    """A token with members of claims as they are written."""
    return signed(EC, header(EC), f"{json.dumps(claims(exp=None))[:-1]}, {members}}}")


VALID = {
    "plain": token(),
    "rsa": token(RSA),
    "no kid, one key of the kind": headed(kid=None),
    "no typ": headed(typ=None),
    "access token": headed(typ="at+jwt"),
    "media type": headed(typ="application/AT+JWT"),
    "several audiences": token(aud=["elsewhere", AUDIENCE]),
    "exp with a fraction": token(exp=NOW + 0.5),
    "expired within the leeway": token(exp=NOW - 29),
    "fast clock": token(iat=NOW + 29, nbf=NOW + 29),
    "no iat": token(iat=None),
    "thumbprint": headed(x5t="abc"),
}
REFUSED = {
    # ---- algorithms (3.1, 3.2)
    "none": (unsigned("none"), Reason.ALGORITHM),
    "None": (unsigned("None"), Reason.ALGORITHM),
    "nOnE": (unsigned("nOnE"), Reason.ALGORITHM),
    "empty alg": (unsigned(""), Reason.ALGORITHM),
    "no alg": (unsigned(None), Reason.ALGORITHM),
    "alg is a list": (unsigned(["ES256"]), Reason.ALGORITHM),
    "none with a signature": (headed(alg="none"), Reason.ALGORITHM),
    "no signature": (unsigned("ES256"), Reason.SIGNATURE),
    "public key as a secret": (
        signed_with_secret(RSA.pem, header(RSA, alg="HS256"), claims()),
        Reason.ALGORITHM,
    ),
    "empty secret": (signed_with_secret(b"", header(EC, alg="HS256"), claims()), Reason.ALGORITHM),
    "known, not allowed": (signed(signer("ES512"), header(EC, alg="ES512"), claims()), Reason.ALGORITHM),
    "lower case": (headed(alg="es256"), Reason.ALGORITHM),
    "rsa token for the ec key": (signed(RSA, header(RSA, kid="k1"), claims()), Reason.KEY),
    "ec key named by an rsa algorithm": (headed(alg="RS256"), Reason.KEY),
    "pss by a key for pkcs1": (signed(signer("PS256", "r1"), header(RSA, alg="PS256"), claims()), Reason.KEY),
    "wrong curve": (signed(signer("ES384"), header(EC, alg="ES384"), claims()), Reason.KEY),
    "eddsa by the ec key": (signed(signer("EdDSA"), header(EC, alg="EdDSA"), claims()), Reason.KEY),
    # ---- signatures (3.3)
    "another's": (signed(STRANGER, header(EC), claims()), Reason.SIGNATURE),
    "claims changed": (changed(token(), sub="root"), Reason.SIGNATURE),
    "truncated": (cut(token()), Reason.SIGNATURE),
    "too long": (resigned(b"\1" * 65), Reason.SIGNATURE),
    "zeros": (resigned(bytes(64)), Reason.SIGNATURE),  # the "psychic" one
    "the curve's order": (
        resigned(bytes.fromhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551") * 2),
        Reason.SIGNATURE,
    ),
    "asn.1": (resigned(bytes.fromhex("3006020101020101")), Reason.SIGNATURE),
    # ---- what a header must not say (3.10, 3.11)
    "crit": (headed(crit=["exp"]), Reason.HEADER),
    "crit empty": (headed(crit=[]), Reason.HEADER),
    "unknown crit": (headed(crit=["x"], x=1), Reason.HEADER),
    "b64": (headed(b64=False), Reason.HEADER),
    "jku": (headed(jku="https://evil.example/keys"), Reason.HEADER),
    "x5u": (headed(x5u="https://evil.example/cert"), Reason.HEADER),
    "x5c": (headed(x5c=["MIIB"]), Reason.HEADER),
    "own key": (signed(STRANGER, header(EC, jwk=STRANGER.jwk), claims()), Reason.HEADER),
    "kid is a path": (headed(kid="../../../../dev/null"), Reason.KEY),
    "kid is sql": (headed(kid="' UNION SELECT 'c2VjcmV0' --"), Reason.KEY),
    "kid is a command": (headed(kid="|/usr/bin/id"), Reason.KEY),
    "kid is unknown": (headed(kid="k2"), Reason.KEY),
    "kid is empty": (headed(kid=""), Reason.HEADER),
    "kid is long": (headed(kid="k" * 257), Reason.HEADER),
    "kid is a number": (headed(kid=1), Reason.HEADER),
    "kid is null": (signed(EC, '{"alg": "ES256", "kid": null}', claims()), Reason.HEADER),
    "kid is an object": (headed(kid={"a": 1}), Reason.HEADER),
    "of another kind": (headed(typ="secevent+jwt"), Reason.TYPE),
    "typ is a number": (headed(typ=1), Reason.TYPE),
    # ---- whose and for whom (3.8, 3.9)
    "another issuer": (token(iss="https://evil.example/"), Reason.ISSUER),
    "issuer without the slash": (token(iss=ISSUER[:-1]), Reason.ISSUER),
    "issuer in a list": (token(iss=[ISSUER]), Reason.ISSUER),
    "no issuer": (token(iss=None), Reason.ISSUER),
    "another audience": (token(aud="elsewhere"), Reason.AUDIENCE),
    "a part of the audience": (token(aud=AUDIENCE[:-1]), Reason.AUDIENCE),
    "no audience": (token(aud=None), Reason.AUDIENCE),
    "empty audiences": (token(aud=[]), Reason.AUDIENCE),
    "audience beside an object": (token(aud=[AUDIENCE, {"a": 1}]), Reason.AUDIENCE),
    "audience is an object": (token(aud={AUDIENCE: 1}), Reason.AUDIENCE),
    # ---- when
    "expired": (token(exp=NOW - 30), Reason.EXPIRED),
    "expired at the epoch": (token(exp=0), Reason.EXPIRED),
    "not yet": (token(nbf=NOW + 31), Reason.EARLY),
    "issued in the future": (token(iat=NOW + 31), Reason.EARLY),
    "nbf is a text": (token(nbf=str(NOW)), Reason.CLAIM),
    "iat is true": (token(iat=True), Reason.CLAIM),
    "iat is null": (raw(f'"exp": {NOW + 300}, "nbf": null'), Reason.CLAIM),
    "no exp": (token(exp=None), Reason.CLAIM),
    "exp is null": (raw('"exp": null'), Reason.CLAIM),
    "exp is a text": (token(exp=str(NOW + 300)), Reason.CLAIM),
    "exp is true": (token(exp=True), Reason.CLAIM),
    "exp is a list": (token(exp=[NOW + 300]), Reason.CLAIM),
    "exp is infinite": (raw('"exp": 1e400'), Reason.CLAIM),
    "exp is negative": (token(exp=-1), Reason.CLAIM),
    "exp in milliseconds": (token(exp=int(NOW + 300) * 1000), Reason.CLAIM),
    "exp is huge": (token(exp=10**300), Reason.CLAIM),
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
def test_what_is_valid(text: str) -> None:
    assert verified(text)["sub"] == "anna"


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_not(text: str, reason: Reason) -> None:
    assert reason_of(text) is reason


@pytest.mark.parametrize("algorithm", ["PS256", "ES384", "EdDSA", "RS512", "PS384", "ES512"])
def test_every_algorithm_by_a_key_of_its_own(algorithm: str) -> None:
    by = signer(algorithm, "own")
    keys = parse_keys(key_set(by))
    assert verified(token(by), keys, algorithms=[algorithm])["iss"] == ISSUER
    other = signed(signer(algorithm, "other"), header(by), claims())
    assert reason_of(other, keys=keys, algorithms=[algorithm]) is Reason.SIGNATURE


def test_without_a_key_id_two_keys_of_a_kind_are_one_too_many() -> None:
    keys = parse_keys(key_set(EC, STRANGER))
    assert reason_of(headed(kid=None), keys=keys) is Reason.KEY
    assert verified(token(), keys)


def test_access_tokens_alone_where_the_settings_say_so() -> None:
    assert verified(headed(typ="at+jwt"), typ=["at+jwt"])
    for text in (token(), headed(typ=None)):
        assert reason_of(text, typ=["at+jwt"]) is Reason.TYPE


def test_claims_that_the_settings_require() -> None:
    assert verified(token(azp="cli"), required_claims=["azp"])
    assert reason_of(token(), required_claims=["azp"]) is Reason.CLAIM
    null = raw(f'"exp": {NOW + 300}, "azp": null')
    assert reason_of(null, required_claims=["azp"]) is Reason.CLAIM


def test_it_is_valid_until_the_instant_that_is_said() -> None:
    text = token(exp=NOW + 7)
    until = valid_until(verified(text), rules())
    assert until == NOW + 37
    assert verified(text, now=until - 0.001)
    assert reason_of(text, now=until) is Reason.EXPIRED
    assert reason_of(text, now=NOW + 7, leeway_s=0) is Reason.EXPIRED


@pytest.mark.parametrize("by", [EC, RSA, signer("EdDSA", "e1")], ids=lambda one: one.algorithm)
@given(st.data())
def test_any_change_of_one_byte_is_refused(by: Any, data: st.DataObject) -> None:
    text = token(by).encode()
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda one: one != text[at]))
    forged = (text[:at] + bytes([other]) + text[at + 1 :]).decode("latin-1")
    with pytest.raises(Refused):
        verified(forged, parse_keys(key_set(by)))


@given(st.binary(max_size=80))
def test_no_signature_but_the_true_one_is_valid(signature: bytes) -> None:
    with pytest.raises(Refused):
        verified(resigned(signature))
