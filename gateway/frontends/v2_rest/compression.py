"""Which content coding a request's headers name, and which its answer is to have."""

from __future__ import annotations

from functools import lru_cache

_MAX_ACCEPT = 256


def content_coding(value: bytes | None) -> str | None:
    """ "gzip", "deflate", or "" for none; None where the coding is not known here."""
    text = b"" if value is None else value.strip().lower()
    if text in {b"", b"identity"}:
        return ""
    return text.decode() if text in {b"gzip", b"deflate"} else None


def accepted_coding(value: bytes | None) -> str:
    """The coding to answer with: of those accepted the one with the highest q; "" for none."""
    return "" if value is None or len(value) > _MAX_ACCEPT else _choose(value)


@lru_cache(256)
def _choose(value: bytes) -> str:
    best, best_q = "", 0.0
    for entry in value.decode("latin-1").lower().split(","):
        coding, _, parameter = entry.partition(";")
        quality = _quality(parameter)
        if coding.strip() in {"gzip", "deflate", "identity"} and quality > best_q:
            best, best_q = coding.strip(), quality
    return "" if best == "identity" else best


def _quality(parameter: str) -> float:
    """The number in "q=0.5"; 1 where there is none, 0 where it makes no sense."""
    key, _, number = parameter.strip().partition("=")
    if key.strip() != "q":
        return 1.0
    try:
        quality = float(number)
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0
