"""An issuer for tests: keys, their document, and tokens that it or a forger makes."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

NAME = "https://issuer.test"
NOW = 1_700_000_000.0

RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
WEAK_RSA = rsa.generate_private_key(65537, 1024)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()

_CODERS: dict[type, Any] = {
    rsa.RSAPrivateKey: RSAAlgorithm,
    ec.EllipticCurvePrivateKey: ECAlgorithm,
    ed25519.Ed25519PrivateKey: OKPAlgorithm,
}


def jwk(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    coder = next(one for kind, one in _CODERS.items() if isinstance(key, kind))
    return {**coder.to_jwk(key.public_key(), as_dict=True), "kid": kid, **more}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


DOCUMENT = key_set(jwk(RSA, "rsa"), jwk(P256, "p256"), jwk(ED, "ed"))


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changed: Any) -> dict[str, Any]:
    """Those of a good token; None takes one away."""
    told = {"iss": NAME, "sub": "anna", "aud": "gateway", "exp": NOW + 600, "iat": NOW, **changed}
    return {name: value for name, value in told.items() if value is not None}


def token(key: Any = RSA, alg: str = "RS256", kid: str = "rsa", said: Any = None, **header: Any) -> str:
    """A signed token; `said` are its claims, or the text of them."""
    told = {"alg": alg, "typ": "JWT", "kid": kid, **header}
    told = {name: value for name, value in told.items() if value is not None}
    body = said if isinstance(said, str) else json.dumps(claims() if said is None else said)
    return signed(json.dumps(told), body, key, alg)


def signed(header: str, body: str, key: Any, alg: str) -> str:
    text = f"{encoded(header.encode())}.{encoded(body.encode())}"
    if key is None:
        return text + "."
    signature = get_default_algorithms()[alg].sign(text.encode(), key)
    return f"{text}.{encoded(signature)}"
