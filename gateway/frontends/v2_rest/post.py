"""A small POST that is no inference: its JSON object, and whoever answers it."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.frontends.codings import inflate
from gateway.frontends.faults import as_gateway_error
from gateway.frontends.v2_rest.document import check_keys, load
from gateway.frontends.v2_rest.errors import answer_error
from gateway.wire.exchange import Exchange, PlainBody

SMALL_BODY_BYTES = 64 << 10

Document = dict[str, object]


class Post(PlainBody):
    """Hands the JSON object of a body (an empty one for no body) to `answer`, whose errors it tells.

    `coding` is the body's, "" for none; it may then grow to `max_inflation` times its size.
    """

    __slots__ = ("_answer", "_coding", "_max_inflation")

    def __init__(
        self,
        answer: Callable[[Document, Exchange], None],
        max_body_bytes: int = SMALL_BODY_BYTES,
        coding: str = "",
        max_inflation: int = 1,
    ) -> None:
        super().__init__(max_body_bytes)
        self._answer = answer
        self._coding = coding
        self._max_inflation = max_inflation

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        try:
            if self._coding:
                body = inflate(body, self._coding, self.max_body_bytes, self._max_inflation)
            self._answer(read_object(bytes(body)), exchange)
        except Exception as error:  # ruff: ignore[blind-except] - a bug in here must cost one request, not the connection
            answer_error(exchange, as_gateway_error(error))
        finally:
            if lease is not None:
                lease.release()

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        answer_error(exchange, error)


def read_object(text: bytes) -> Document:
    """The JSON object `text`, {} where it is blank; raises InvalidInput."""
    if not text.strip():
        return {}
    document = load(text)
    if not isinstance(document, dict):
        raise InvalidInput("the request must be a JSON object")
    check_keys(text, document, 0)
    return document
