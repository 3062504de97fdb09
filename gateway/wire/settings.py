"""Limits and deadlines of the listeners."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class WireSettings(BaseModel):
    """[wire] Limits and deadlines of HTTP/1.1 and HTTP/2."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_body_bytes: int = Field(256 << 20, ge=1, le=2 << 30, description="Largest request body.")
    max_header_bytes: int = Field(64 << 10, ge=1 << 10, le=1 << 20, description="Largest header block.")
    max_headers: int = Field(128, ge=8, le=4096, description="Most header fields in a request.")
    max_chunks: int = Field(65_536, ge=16, description="Most chunks (or DATA frames below 1 KiB) in a body.")
    max_connections: int = Field(16_384, ge=1, description="Most open connections per front.")
    headers_timeout_s: float = Field(10.0, gt=0, description="Time to receive a request's head.")
    body_idle_timeout_s: float = Field(10.0, gt=0, description="Longest silence within a body.")
    body_timeout_s: float = Field(300.0, gt=0, description="Time to receive a whole body.")
    body_min_rate: int = Field(240, ge=0, description="Least bytes per second of a body after 5 s.")
    write_idle_timeout_s: float = Field(30.0, gt=0, description="Longest time a client may take nothing.")
    idle_timeout_s: float = Field(120.0, gt=0, description="Time an idle connection is kept.")
    max_connection_age_s: float = Field(
        0.0, ge=0, description="Age at which a connection is recycled gracefully; 0 is never."
    )
    max_connection_age_grace_s: float = Field(30.0, gt=0, description="Time to finish after that.")
    write_buffer_bytes: int = Field(1 << 20, ge=1 << 14, description="Unsent bytes until writers pause.")
    http2_max_streams: int = Field(256, ge=1, le=1 << 16, description="Concurrent streams a connection.")
    http2_stream_window: int = Field(
        1 << 20, ge=65_535, le=(1 << 31) - 1, description="Bytes in flight a stream."
    )
    http2_connection_window: int = Field(
        16 << 20, ge=65_535, le=(1 << 31) - 1, description="Bytes in flight a connection."
    )
    http2_max_frame_size: int = Field(
        1 << 20, ge=16_384, le=(1 << 24) - 1, description="Largest frame taken."
    )
    http2_header_table_bytes: int = Field(4096, ge=0, le=65_536, description="HPACK table a client may use.")
    http2_reset_burst: int = Field(
        1000, ge=1, description="Stream resets a client may send at once before it is cut off."
    )
    http2_reset_rate: float = Field(200.0, gt=0, description="Stream resets a second it may go on sending.")
    http2_control_burst: int = Field(
        1000, ge=10, description="PING, SETTINGS, empty and PRIORITY frames a client may send at once."
    )
    http2_control_rate: float = Field(100.0, gt=0, description="Such frames a second it may go on sending.")
    busy_poll_us: int = Field(
        0,
        ge=0,
        le=100_000,
        description="A front looks for work so long after its last request before it sleeps; takes a core.",
    )
    shared_body_bytes: int = Field(
        64 << 10, ge=4096, description="Bodies from this size on are received into shared memory."
    )
