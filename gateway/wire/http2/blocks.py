"""Header blocks: put together from their fragments, decoded, and remembered where they repeat."""

from __future__ import annotations

from gateway.wire.exchange import Service
from gateway.wire.http2.frames import DEFAULT_TABLE_BYTES, calm_down
from gateway.wire.http2.heads import Http2Head, build_head, check_trailers
from gateway.wire.http2.hpack import Decoder
from gateway.wire.settings import WireSettings

# A block may need more octets on the wire than the fields count, but never twice as many.
_WIRE_FACTOR = 2
# Frames of a block: 64 KiB come in 4 of the default size; more than 64 is a CONTINUATION flood.
_MAX_FRAGMENTS = 64
# Blocks remembered, and hashes of those seen once: a block is kept from its second time on, so that
# blocks with a value that changes on every request do not push the others out.
_MAX_HEADS = 64
_MAX_SEEN = 256
_MAX_REMEMBERED_BYTES = 2048
# From this multiple of the allowed fields on a list is not a mistake but a bomb.
_BOMB_FACTOR = 16


class HeaderBlocks:
    """The receiving side of one connection's header blocks.

    Invariant: each of `heads` is what its block would decode to now: no block that changed the
    dynamic table is remembered, and all are forgotten when it changes.
    """

    __slots__ = (
        "_bomb_fields",
        "_decoder",
        "_ends_stream",
        "_fragments",
        "_max_fields",
        "_max_octets",
        "_parts",
        "_seen",
        "_service",
        "heads",
        "max_block_bytes",
        "open_id",
    )

    def __init__(self, service: Service, settings: WireSettings) -> None:
        self.heads: dict[bytes, Http2Head] = {}
        self.max_block_bytes = _WIRE_FACTOR * settings.max_header_bytes
        self.open_id = 0  # the stream whose block is not complete; only CONTINUATION may come then
        self._service = service
        # Until the peer has seen our SETTINGS it may count on the default (RFC 7541 §4.2).
        self._decoder = Decoder(max(DEFAULT_TABLE_BYTES, settings.http2_header_table_bytes))
        self._max_octets = settings.max_header_bytes
        self._max_fields = settings.max_headers
        self._bomb_fields = _BOMB_FACTOR * settings.max_headers
        self._seen: set[int] = set()
        self._parts = bytearray()
        self._fragments = 0
        self._ends_stream = False

    # ---- fragments ------------------------------------------------------------------------------

    def begin(self, stream_id: int, fragment: bytes, *, ends_stream: bool) -> None:
        """The first part of a block that CONTINUATION frames go on with."""
        self.open_id = stream_id
        self._parts += fragment
        self._fragments = 1
        self._ends_stream = ends_stream

    def go_on(self, fragment: bytes) -> None:
        """A further part; raises ConnectionFault beyond the bounds on bytes and count."""
        self._fragments += 1
        if self._fragments > _MAX_FRAGMENTS or len(self._parts) + len(fragment) > self.max_block_bytes:
            raise calm_down("a header block of too many frames or bytes")
        self._parts += fragment

    def complete(self) -> tuple[bytes, bool]:
        """The whole block, and whether it ends its stream."""
        block = bytes(self._parts)
        self._parts.clear()
        self.open_id = 0
        return block, self._ends_stream

    # ---- whole blocks ---------------------------------------------------------------------------

    def read(self, block: bytes) -> Http2Head:
        """The routed head of a request; raises StreamFault, HeadersTooLarge or ConnectionFault."""
        decoder = self._decoder
        fields = decoder.decode(block)
        is_stable = not decoder.changed
        if not is_stable:
            self._forget()
        if len(fields) > self._bomb_fields:
            raise calm_down("a header block that expands without measure")
        head = build_head(fields, self._max_octets, self._max_fields)
        endpoint = self._service.route(head)
        head.endpoint = head.routed = endpoint
        head.is_plain = endpoint.whole and head.content_length < 0 and head.method != b"HEAD"
        if is_stable:
            self._remember(block, head)
        return head

    def read_trailers(self, block: bytes) -> None:
        """Follows and checks the fields after a body; they mean nothing here."""
        fields = self._decoder.decode(block)
        self._forget()
        check_trailers(fields, self._max_fields)

    def follow(self, block: bytes) -> None:
        """Keeps the table right for a block whose fields nobody wants."""
        self._decoder.decode(block)
        self._forget()

    def limit_table(self, size: int) -> None:
        """From here on, with our SETTINGS acknowledged, the peer's table may be no larger."""
        self._decoder.limit = size

    def _forget(self) -> None:
        if self._decoder.changed:
            self._decoder.changed = False
            self.heads.clear()
            self._seen.clear()

    def _remember(self, block: bytes, head: Http2Head) -> None:
        key = hash(block)
        if key not in self._seen:
            if len(self._seen) >= _MAX_SEEN:
                self._seen.clear()
            self._seen.add(key)
        elif len(block) <= _MAX_REMEMBERED_BYTES:
            if len(self.heads) >= _MAX_HEADS:
                self.heads.clear()
            self.heads[block] = head
