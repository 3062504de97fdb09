"""What proves to an upstream who asks, and to us who answers: files and variables that config.pbtxt names.

Nothing secret ever stands in the configuration, which callers may read. What is read here goes into
requests and nowhere else: no error quotes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.runtimes.contract import LoadError
from gateway.runtimes.remote.target import Target

_MAX_TOKEN_BYTES = 16 << 10
_MAX_PEM_BYTES = 1 << 20


class Tls(NamedTuple):
    """Certificates in PEM; an authority of None is the system's."""

    authority: bytes | None
    certificate: bytes | None
    key: bytes | None


def read_tls(target: Target, folder: Path) -> Tls | None:
    """None for an upstream without TLS; raises LoadError."""
    if not target.is_tls:
        return None
    names = {"ca_file": target.ca_file, "cert_file": target.cert_file, "key_file": target.key_file}
    return Tls(*(_read(key, name, folder, _MAX_PEM_BYTES) if name else None for key, name in names.items()))


def read_token(target: Target, folder: Path, environment: Mapping[str, str]) -> str:
    """The bearer token, "" where there is to be none; raises LoadError."""
    if target.token_file:
        key, raw = "token_file", _read("token_file", target.token_file, folder, _MAX_TOKEN_BYTES)
        text = raw.decode("ascii", "replace").strip()
    elif target.token_env:
        key, text = "token_env", environment.get(target.token_env, "").strip()
    else:
        return ""
    if not text or not all(32 < ord(one) < 127 for one in text):
        raise LoadError(f"parameters['{key}']: holds no token of printable ASCII")
    return text


def _read(key: str, name: str, folder: Path, limit_bytes: int) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise LoadError(f"parameters['{key}']: cannot be read: {error.strerror}") from None
    if len(data) > limit_bytes:
        raise LoadError(f"parameters['{key}']: the file is larger than {limit_bytes} bytes")
    if not data.strip():  # ssl takes no authority at all for the system's
        raise LoadError(f"parameters['{key}']: the file is empty")
    return data
