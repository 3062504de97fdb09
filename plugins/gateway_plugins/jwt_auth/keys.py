"""What a provider publishes of its keys (RFC 7517), and which algorithm each of them can verify.

Invariant: a key verifies the algorithms of its own type and curve alone, whatever a token says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway_plugins.jwt_auth.tokens import Refused, read_object

MAX_ID = 256
# A provider has two or three; each costs some 50 us on the event loop to read.
MAX_KEYS = 100
# Of RSA: fewer bits are not secure, and more are an attack on whoever verifies.
_MIN_BITS, _MAX_BITS = 2048, 8192

_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


class _Kind(NamedTuple):
    """A type of key: the members that make its public half, and the algorithms for it."""

    members: tuple[str, ...]
    algorithms: tuple[str, ...]


_KINDS: Final[Mapping[tuple[str, str], _Kind]] = {
    ("RSA", ""): _Kind(("n", "e"), _RSA),
    ("EC", "P-256"): _Kind(("x", "y"), ("ES256",)),
    ("EC", "P-384"): _Kind(("x", "y"), ("ES384",)),
    ("EC", "P-521"): _Kind(("x", "y"), ("ES512",)),
    ("OKP", "Ed25519"): _Kind(("x",), ("EdDSA",)),
    ("OKP", "Ed448"): _Kind(("x",), ("EdDSA",)),
}


class Key(NamedTuple):
    """A public key; `id` is "" where the provider gave it none."""

    id: str
    algorithms: frozenset[str]
    public: Any


class KeySet(NamedTuple):
    """A provider's keys; `left_out` counts those that can verify nothing here."""

    keys: tuple[Key, ...] = ()
    left_out: int = 0

    def fitting(self, id: str | None, algorithm: str) -> tuple[Key, ...]:
        """Those that can have made a signature; for a token that names no key the only one, if so."""
        fit = tuple([one for one in self.keys if algorithm in one.algorithms and id in {None, one.id}])
        return fit if id is not None or len(fit) == 1 else ()


def parse_keys(document: bytes) -> KeySet:
    """The keys in a JWKS; raises ValueError for what is none. Keys of other kinds are left out."""
    try:
        found = read_object(document).get("keys")
    except Refused:
        raise ValueError("it has members of one name") from None
    if not isinstance(found, list):
        raise ValueError("it is no key set")
    if len(found) > MAX_KEYS:
        raise ValueError(f"it has more than {MAX_KEYS} keys")
    keys = tuple(_usable(found))
    return KeySet(keys, len(found) - len(keys))


def _usable(found: Iterable[Any]) -> Iterable[Key]:
    for one in found:
        if isinstance(one, dict) and (key := _key(one)) is not None:
            yield key


def _key(jwk: Mapping[str, Any]) -> Key | None:
    """None for one that verifies nothing: for another use, of an unknown type, weak, no secret."""
    kind = _kind(jwk)
    id = jwk.get("kid", "")
    if kind is None or not isinstance(id, str) or len(id) > MAX_ID or not _is_to_verify(jwk):
        return None
    algorithms = frozenset(kind.algorithms)
    if "alg" in jwk:
        algorithms &= {str(jwk["alg"])}
    if not algorithms or (public := _public(jwk, kind)) is None:
        return None
    return Key(id, algorithms, public)


def _kind(jwk: Mapping[str, Any]) -> _Kind | None:
    kty, curve = jwk.get("kty"), jwk.get("crv", "")
    return _KINDS.get((kty, curve)) if isinstance(kty, str) and isinstance(curve, str) else None


def _is_to_verify(jwk: Mapping[str, Any]) -> bool:
    """False also where the private half is published: anybody can sign with that."""
    uses = jwk.get("key_ops", ["verify"])
    return "d" not in jwk and jwk.get("use", "sig") == "sig" and isinstance(uses, list) and "verify" in uses


def _public(jwk: Mapping[str, Any], kind: _Kind) -> Any:
    """The key for PyJWT's algorithms; None for numbers that are none, or too small or too large."""
    numbers = {name: jwk.get(name) for name in kind.members}
    if not all(isinstance(one, str) for one in numbers.values()):
        return None
    try:
        read: Any = jwt.get_algorithm_by_name(kind.algorithms[0])
        public = read.from_jwk({"kty": jwk["kty"], "crv": jwk.get("crv"), **numbers})
    except (jwt.PyJWTError, ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(public, RSAPublicKey) and not _MIN_BITS <= public.key_size <= _MAX_BITS:
        return None
    return public
