"""Our settings as channel arguments and credentials of grpcio."""

from __future__ import annotations

from typing import Any

import grpc

from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.wire.settings import WireSettings
from gateway.wire.tls import TlsSettings

Option = tuple[str, int]

# The core's numbers of its levels.
_NO_COMPRESSION, _LOW = 0, 1
_MAX_INT = (1 << 31) - 1


def channel_arguments(grpc_settings: GrpcSettings, wire: WireSettings, *, reuse_port: bool) -> list[Option]:
    """What of [wire] and [frontends.grpc] has a counterpart there, which is what that engine keeps.

    The rest of [wire] holds for port 8000 alone: the receive rates and deadlines of bodies, the budgets
    of resets and control frames (grpcio has its own, fixed), the connection's window (it grows by
    itself), and `max_inflation`: a message of grpcio may grow up to `max_message_bytes`, however small.
    """
    arguments = {
        "grpc.so_reuseport": int(reuse_port),
        "grpc.max_receive_message_length": grpc_settings.max_message_bytes,
        "grpc.max_send_message_length": -1,
        # A level, not an algorithm: that would be used towards clients, too, that do not accept it.
        "grpc.default_compression_level": _LOW if grpc_settings.compress_responses else _NO_COMPRESSION,
        "grpc.max_allowed_incoming_connections": wire.max_connections,
        "grpc.max_concurrent_streams": wire.http2_max_streams,
        # It counts streams that have ended and are not freed yet, and so refuses calls of clients that keep
        # to the limit. Floods of resets are cut off without it, too.
        "grpc.http.overload_protection": 0,
        "grpc.max_metadata_size": wire.max_header_bytes,
        "grpc.absolute_max_metadata_size": wire.max_header_bytes,
        "grpc.http2.max_frame_size": wire.http2_max_frame_size,
        "grpc.http2.lookahead_bytes": wire.http2_stream_window,
        "grpc.http2.hpack_table_size.decoder": wire.http2_header_table_bytes,
        "grpc.server_handshake_timeout_ms": _ms(wire.headers_timeout_s),
        # A client that does not even answer a PING takes nothing.
        "grpc.keepalive_time_ms": _ms(wire.write_idle_timeout_s),
        "grpc.keepalive_timeout_ms": _ms(wire.write_idle_timeout_s),
        "grpc.max_connection_idle_ms": _ms(wire.idle_timeout_s),
        "grpc.max_connection_age_grace_ms": _ms(wire.max_connection_age_grace_s),
    }
    if wire.max_connection_age_s:
        arguments["grpc.max_connection_age_ms"] = _ms(wire.max_connection_age_s)
    return [(name, min(value, _MAX_INT)) for name, value in arguments.items()]


def credentials(tls: TlsSettings) -> Any:
    """The certificates of `tls`, which must have been found good (wire.tls.server_context)."""
    authorities = tls.client_ca.read_bytes() if tls.client_ca is not None else None
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        root_certificates=authorities,
        require_client_auth=authorities is not None,
    )


def _ms(seconds: float) -> int:
    return max(1, min(int(seconds * 1000), _MAX_INT))
