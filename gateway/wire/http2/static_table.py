"""The static table of HPACK (RFC 7541, appendix A); index 1 is its first entry."""

from __future__ import annotations

Field = tuple[bytes, bytes]

_PSEUDO: tuple[Field, ...] = (
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    *((b":status", status) for status in (b"200", b"204", b"206", b"304", b"400", b"404", b"500")),
)
_NAMES = (
    b"accept-charset accept-encoding accept-language accept-ranges accept access-control-allow-origin"
    b" age allow authorization cache-control content-disposition content-encoding content-language"
    b" content-length content-location content-range content-type cookie date etag expect expires from"
    b" host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link"
    b" location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after"
    b" server set-cookie strict-transport-security transfer-encoding user-agent vary via"
    b" www-authenticate"
).split()

STATIC: tuple[Field, ...] = (
    *_PSEUDO,
    *((name, b"gzip, deflate" if name == b"accept-encoding" else b"") for name in _NAMES),
)
FIRST_DYNAMIC = len(STATIC) + 1

INDEX_OF_FIELD: dict[Field, int] = {field: index for index, field in enumerate(STATIC, 1)}
# The first entry of each name.
INDEX_OF_NAME: dict[bytes, int] = {name: FIRST_DYNAMIC - 1 - at for at, (name, _) in enumerate(STATIC[::-1])}
