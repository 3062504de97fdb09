"""A small POST that is no inference: its JSON object, and whoever answers it."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_rest.document import check_keys, load
from gateway.frontends.v2_rest.errors import answer_error
from gateway.wire.exchange import Exchange, Head, Receiver

_MAX_BODY_BYTES = 64 << 10

Document = dict[str, object]


class Post:
    """Hands the JSON object of a body (an empty one for no body) to `answer`, whose errors it tells."""

    __slots__ = ("_answer", "max_body_bytes")

    whole = True

    def __init__(self, answer: Callable[[Document, Exchange], None]) -> None:
        self._answer = answer
        self.max_body_bytes = _MAX_BODY_BYTES

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        try:
            self._answer(read_object(bytes(body)), exchange)
        except Exception as error:  # ruff: ignore[blind-except] - a bug in here must cost one request, not the connection
            answer_error(exchange, as_gateway_error(error))
        finally:
            if lease is not None:
                lease.release()

    def open(self, exchange: Exchange) -> Receiver:
        raise NotImplementedError("this endpoint takes whole bodies")

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        answer_error(exchange, error)

    def body_size(self, head: Head, first: Buffer) -> int | None:
        return None

    def payload_offset(self, head: Head) -> int:
        return 0


def read_object(text: bytes) -> Document:
    """The JSON object `text`, {} where it is blank; raises InvalidInput."""
    if not text.strip():
        return {}
    document = load(text)
    if not isinstance(document, dict):
        raise InvalidInput("the request must be a JSON object")
    check_keys(text, document, 0)
    return document
