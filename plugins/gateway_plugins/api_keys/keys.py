"""What a key looks like: `gw_<key id>_<secret>_<checksum>`.

DESIGN: scanners of repositories and redactors of logs know a key by its shape, and a mistyped one is known
by its checksum before anything is looked up. The secret has 256 bits, so a fast keyed hash is enough to
store it by: a slow one protects guessable passwords, and here would only let callers keep a core busy.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib
from typing import Final, NamedTuple

_ALPHABET: Final = string.ascii_letters + string.digits
_ID_ALPHABET: Final = string.ascii_lowercase + string.digits
_ID_LENGTH = 12
# 62 ** 43 is just over 2 ** 256.
_SECRET_LENGTH = 43
_CHECK_LENGTH = 6

# Finds keys in any text.
KEY_PATTERN: Final = re.compile(
    rf"gw_[a-z0-9]{{{_ID_LENGTH}}}_[A-Za-z0-9]{{{_SECRET_LENGTH}}}_[0-9A-Za-z]{{{_CHECK_LENGTH}}}"
)


class Key(NamedTuple):
    """A key in its parts; its text proves who has it and is to be shown once."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Key({self.id})"

    def text(self) -> str:
        """As its owner sends it."""
        body = f"gw_{self.id}_{self.secret}"
        return f"{body}_{_checksum(body)}"


def new_key() -> Key:
    """A key that nobody has."""
    return Key(_random(_ID_ALPHABET, _ID_LENGTH), _random(_ALPHABET, _SECRET_LENGTH))


def parse_key(text: str) -> Key | None:
    """The key that `text` is; None for anything else, a mistyped key too."""
    if not KEY_PATTERN.fullmatch(text):
        return None
    body, _, check = text.rpartition("_")
    if not hmac.compare_digest(_checksum(body), check):
        return None
    _, identity, secret = body.split("_")
    return Key(identity, secret)


def hashed(pepper: bytes, secret: str) -> bytes:
    """What is stored of a secret: HMAC-SHA-256 under the pepper, which is not stored beside it."""
    return hmac.digest(pepper, secret.encode(), hashlib.sha256)


def redacted(text: str) -> str:
    """`text` with every key in it but for its id."""
    return KEY_PATTERN.sub(lambda found: f"gw_{found[0].split('_')[1]}_[redacted]", text)


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _checksum(body: str) -> str:
    """CRC-32 in base 62: against typing errors, not against forgers."""
    rest, digits = zlib.crc32(body.encode()), []
    for _ in range(_CHECK_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)
