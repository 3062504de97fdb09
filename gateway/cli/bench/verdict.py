"""What the end of a gRPC call says: the kind of success or failure it is counted as."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

_STATUS_NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


class Block(NamedTuple):
    """What matters of a header block; "" where the field is missing."""

    http: str
    status: str
    message: str


# A stream that ended with data.
NO_TRAILERS = Block("", "", "")


def verdict(block: Block, received: int, http: str | None) -> tuple[str, str]:
    """The kind and detail of a call that ended with this block."""
    if not block.status:
        status = http or block.http or "200"
        return ("grpc no status" if status == "200" else f"http {status}"), ""
    if block.status == "0":
        return ("" if received >= 5 else "grpc no message"), ""
    code = int(block.status) if block.status.isdecimal() else 2
    name = _STATUS_NAMES[code] if code < len(_STATUS_NAMES) else "UNKNOWN"
    return f"grpc {block.status} {name}", unquote(block.message)
