"""Keys, key sets and tokens, honest and forged, as an identity provider and its enemies make them."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER, AUDIENCE = "https://login.example.org/", "gateway"
# What the tests' wall clock says.
NOW = 1_700_000_000.0


class Signer(NamedTuple):
    """A private key and what its provider calls it."""

    id: str
    algorithm: str
    private: Any

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half as providers publish it."""
        algorithm: Any = jwt.get_algorithm_by_name(self.algorithm)
        public = algorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.id, "use": "sig", "alg": self.algorithm}

    @property
    def pem(self) -> bytes:
        """The public half as attackers use it for a secret."""
        public: bytes = self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return public

    def sign(self, signed: bytes) -> bytes:
        """The signature of `signed`."""
        algorithm: Any = jwt.get_algorithm_by_name(self.algorithm)
        signature: bytes = algorithm.sign(signed, self.private)
        return signature


def signer(algorithm: str = "ES256", id: str = "k1", *, bits: int = 2048) -> Signer:
    """The same one at each call with the same arguments."""
    return _signer(algorithm, id, bits)


@cache
def _signer(algorithm: str, id: str, bits: int) -> Signer:
    match algorithm[:2], algorithm[2:]:
        case (("RS" | "PS"), _):
            private: Any = rsa.generate_private_key(65537, bits)
        case "ES", size:
            curves = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "512": ec.SECP521R1()}
            private = ec.generate_private_key({**curves, "256K": ec.SECP256K1()}[size])
        case _:
            private = (
                ed448.Ed448PrivateKey.generate() if bits == 448 else ed25519.Ed25519PrivateKey.generate()
            )
    return Signer(id, algorithm, private)


def key_set(*signers: Signer) -> bytes:
    """A JWKS with the public halves."""
    return json.dumps({"keys": [one.jwk for one in signers]}).encode()


def segment(part: str | bytes | Mapping[str, Any]) -> str:
    """A part of a token; a text is taken as it is."""
    if isinstance(part, Mapping):
        part = json.dumps(part)
    return urlsafe_b64encode(part if isinstance(part, bytes) else part.encode()).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a valid token; None leaves one out."""
    plain = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "iat": NOW - 10, "exp": NOW + 300}
    return {name: value for name, value in {**plain, **changes}.items() if value is not None}


def header(by: Signer, **changes: Any) -> dict[str, Any]:
    """That of a valid token; None leaves a member out."""
    plain = {"alg": by.algorithm, "typ": "JWT", "kid": by.id}
    return {name: value for name, value in {**plain, **changes}.items() if value is not None}


def signed(by: Signer, head: str | Mapping[str, Any], body: str | bytes | Mapping[str, Any]) -> str:
    """A token of these parts, with a true signature."""
    first = f"{segment(head)}.{segment(body)}"
    return f"{first}.{segment(by.sign(first.encode()))}"


def token(by: Signer | None = None, **changes: Any) -> str:
    """A valid token, but for the changed claims."""
    by = by or signer()
    return signed(by, header(by), claims(**changes))


def signed_with_secret(secret: bytes, head: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """HS256 by hand, for no library lets a public key pass for a secret."""
    first = f"{segment(head)}.{segment(body)}"
    return f"{first}.{segment(hmac.digest(secret, first.encode(), 'sha256'))}"
