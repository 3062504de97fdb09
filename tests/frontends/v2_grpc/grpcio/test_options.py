from __future__ import annotations

import pytest

from gateway.frontends.v2_grpc.grpcio.options import channel_arguments
from gateway.frontends.v2_grpc.settings import GrpcSettings
from gateway.wire.settings import WireSettings


@pytest.mark.parametrize(
    ("wire", "name", "value"),
    [
        ({"max_connections": 7}, "grpc.max_allowed_incoming_connections", 7),
        ({"max_connection_age_s": 1.5}, "grpc.max_connection_age_ms", 1500),
        ({"max_connection_age_grace_s": 2}, "grpc.max_connection_age_grace_ms", 2000),
        ({"idle_timeout_s": 3}, "grpc.max_connection_idle_ms", 3000),
        ({"idle_timeout_s": 1e12}, "grpc.max_connection_idle_ms", (1 << 31) - 1),
        ({"headers_timeout_s": 1e-9}, "grpc.server_handshake_timeout_ms", 1),
        ({"write_idle_timeout_s": 4}, "grpc.keepalive_time_ms", 4000),
        ({"http2_max_streams": 5}, "grpc.max_concurrent_streams", 5),
        ({"max_header_bytes": 2048}, "grpc.absolute_max_metadata_size", 2048),
    ],
)
def test_a_setting_is_handed_on(wire: dict[str, float], name: str, value: int) -> None:
    arguments = dict(channel_arguments(GrpcSettings(), WireSettings(**wire), reuse_port=True))
    assert arguments[name] == value
    assert arguments["grpc.so_reuseport"] == 1


def test_no_age_is_no_argument_and_an_address_of_one_front_is_its_own() -> None:
    arguments = dict(channel_arguments(GrpcSettings(), WireSettings(), reuse_port=False))
    assert "grpc.max_connection_age_ms" not in arguments
    assert arguments["grpc.so_reuseport"] == 0


def test_the_largest_message_fits_grpcio_s_integer() -> None:
    settings = GrpcSettings(max_message_bytes=2 << 30)
    arguments = dict(channel_arguments(settings, WireSettings(), reuse_port=False))
    assert arguments["grpc.max_receive_message_length"] == (1 << 31) - 1
