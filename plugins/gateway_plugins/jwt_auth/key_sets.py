"""The keys in a provider's document (RFC 7517)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

MAX_KEYS = 64
_MIN_RSA_BITS = 2048
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})


class Key(NamedTuple):
    """A public key, and the algorithms that it is for: no token may have it used otherwise."""

    public: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
    algorithms: frozenset[str]


KeySet = Mapping[str, Key]


def read_key_set(text: str | bytes) -> KeySet:
    """The keys by their kid ("" for one without); those that are not for signatures, or of kinds that are
    not known here, are passed over. Raises ValueError for what is no key set, or has no key at all."""
    document = json.loads(text)
    told = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(told, list):
        raise ValueError("this is no set of keys")
    found: dict[str, Key] = {}
    for one in told[:MAX_KEYS]:
        key = _key(one) if isinstance(one, dict) else None
        if key is not None:
            # Of two with one name the first: a provider's mistake must not let the other one in.
            found.setdefault(str(one.get("kid", "")), key)
    if not found:
        raise ValueError("there is no key for signatures in the set")
    return found


def _key(told: dict[str, Any]) -> Key | None:
    if told.get("use", "sig") != "sig" or "d" in told or "k" in told:
        return None
    try:
        public = _public(told)
    except (InvalidKeyError, ValueError, TypeError, KeyError):
        return None
    algorithms = _algorithms(public)
    named = told.get("alg")
    if isinstance(named, str):
        algorithms &= {named}
    return Key(public, algorithms) if public is not None and algorithms else None


def _public(told: dict[str, Any]) -> Any:
    match told.get("kty"):
        case "RSA":
            return RSAAlgorithm.from_jwk(told)
        case "EC":
            return ECAlgorithm.from_jwk(told)
        case "OKP":
            return OKPAlgorithm.from_jwk(told)
    return None


def _algorithms(public: object) -> frozenset[str]:
    match public:
        case RSAPublicKey():
            return _RSA if public.key_size >= _MIN_RSA_BITS else frozenset()
        case EllipticCurvePublicKey():
            name = _CURVES.get(public.curve.name)
            return frozenset() if name is None else frozenset({name})
        case Ed25519PublicKey():
            return frozenset({"EdDSA"})
    return frozenset()
