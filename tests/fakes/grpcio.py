"""A call of grpc.aio as its handler sees it, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
import grpc.aio

from gateway.frontends.v2_grpc.grpcio.exchange import Metadata


class FakeContext:
    """Reads `messages`, then the end, or for ever where `ends` is False; keeps what is sent."""

    def __init__(
        self,
        messages: Sequence[bytes] = (),
        *,
        ends: bool = True,
        metadata: Metadata = (),
        remaining_s: float | None = None,
        subject: bytes = b"",
    ) -> None:
        self.incoming = list(messages)
        self.ends = ends
        self.metadata = metadata
        self.remaining_s = remaining_s
        self.subject = subject
        self.sent: list[bytes] = []
        self.initial: Metadata | None = None
        self.trailing: Metadata = ()
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self.may_write = asyncio.Event()
        self.may_write.set()

    async def read(self) -> bytes:
        if self.incoming:
            return self.incoming.pop(0)
        if not self.ends:
            await asyncio.Event().wait()
        return grpc.aio.EOF

    async def write(self, message: bytes) -> None:
        assert type(message) is bytes
        await self.may_write.wait()
        self.sent.append(message)

    async def send_initial_metadata(self, initial_metadata: Metadata) -> None:
        assert self.initial is None
        self.initial = initial_metadata

    def invocation_metadata(self) -> Metadata | None:
        return self.metadata

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        self.trailing = trailing_metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        self.code = code

    def set_details(self, details: str) -> None:
        self.details = details

    def time_remaining(self) -> float | None:
        return self.remaining_s

    def peer(self) -> str:
        return "ipv4:127.0.0.1:5000"

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_common_name": [self.subject]} if self.subject else {}
