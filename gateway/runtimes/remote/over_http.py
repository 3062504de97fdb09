"""The way to an upstream over HTTP, with aiohttp."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.contract import Array, LoadError
from gateway.runtimes.remote import http_codec
from gateway.runtimes.remote.credentials import Tls
from gateway.runtimes.remote.description import Described
from gateway.runtimes.remote.faults import Fault, Kind, kind_of_http, seconds
from gateway.runtimes.remote.http_codec import Body
from gateway.runtimes.remote.target import Target
from gateway.runtimes.remote.tensors import Sent, unsound

_HEADER_LENGTH = "Inference-Header-Content-Length"
# Whoever does not even take a connection is not there: no caller waits all of its time for that.
_CONNECT_S = 5.0
_CHUNK_BYTES = 256 << 10
_MAX_TOLD_BYTES = 4 << 20
_OK = 200


class HttpTransport:
    """Implements transport.Transport. Redirects are not followed: an upstream is where it is configured."""

    def __init__(self, target: Target, model: str, tls: Tls | None) -> None:
        self._target = target
        self._tls = tls
        version = f"/versions/{quote(target.version, safe='')}" if target.version else ""
        self._model = f"{target.base}/v2/models/{quote(model, safe='')}{version}"
        self._session: Any = None
        self._headers: dict[str, str] = {}
        self._is_binary = False

    async def open(self) -> None:
        """See transport.Transport."""
        context = _context(self._tls)
        connector = aiohttp.TCPConnector(limit=self._target.max_in_flight + 2, ssl=context)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "model-gateway"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        """See transport.Transport."""
        if self._session is not None:
            await self._session.close()

    def use_token(self, token: str) -> None:
        """See transport.Transport."""
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def describe(self, timeout_s: float) -> Described:
        """See transport.Transport."""
        self._is_binary = http_codec.has_binary(await self._get(f"{self._target.base}/v2", timeout_s))
        metadata = await self._get(self._model, timeout_s)
        try:
            config = await self._get(f"{self._model}/config", timeout_s)
        except Fault as fault:
            if fault.kind not in {Kind.MISSING, Kind.REJECTED, Kind.FAILED}:
                raise
            config = None  # MLServer and KServe have no such extension
        return http_codec.described(metadata, config, is_binary=self._is_binary)

    async def check_ready(self, timeout_s: float) -> None:
        """See transport.Transport."""
        await self._get(f"{self._target.base}/v2/health/ready", timeout_s)
        await self._get(f"{self._model}/ready", timeout_s)

    def encode(self, sent: Sent) -> Body:
        """See transport.Transport."""
        return http_codec.encode(sent, is_binary=self._is_binary)

    async def send(self, encoded: Body, wanted: Sequence[TensorSpec], timeout_s: float) -> list[Array]:
        """See transport.Transport."""
        headers = {"Content-Type": "application/json"}
        if encoded.json_bytes:
            headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(encoded.json_bytes)}
        limit = self._target.max_response_bytes
        got, body = await self._ask("POST", f"{self._model}/infer", timeout_s, limit, encoded.data, headers)
        return http_codec.decode(body, _header_length(got), wanted)

    async def _get(self, url: str, timeout_s: float) -> bytes:
        return (await self._ask("GET", url, timeout_s, _MAX_TOLD_BYTES))[1]

    async def _ask(
        self,
        method: str,
        url: str,
        timeout_s: float,
        limit_bytes: int,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of a 200; raises Fault for all else."""
        timeout = aiohttp.ClientTimeout(total=max(timeout_s, 0.001), sock_connect=_CONNECT_S)
        try:
            async with self._session.request(
                method,
                url,
                data=data,
                headers={**self._headers, **(headers or {})},
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                body = await _read(response, limit_bytes)
                if response.status != _OK:
                    raise _fault(response.status, response.headers, body)
                return response.headers, body
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _of(error) from None


def _context(tls: Tls | None) -> ssl.SSLContext | bool:
    """How upstreams prove who they are; raises LoadError for certificates that are none."""
    if tls is None:
        return True
    try:
        context = ssl.create_default_context(
            cadata=tls.authority.decode("ascii") if tls.authority is not None else None
        )
    except (ssl.SSLError, ValueError):
        raise LoadError("parameters['ca_file']: holds no certificates in PEM") from None
    if tls.certificate is not None and tls.key is not None:
        _load_chain(context, tls.certificate, tls.key)
    return context


def _load_chain(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Python's ssl takes files alone: one in memory, which nobody else can open by name."""
    with open(os.memfd_create("pem", os.MFD_CLOEXEC), "wb") as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        try:
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}", password=_no_password)
        except (ssl.SSLError, ValueError):
            raise LoadError("parameters['cert_file']: is no certificate in PEM with that key") from None


def _no_password() -> str:
    """OpenSSL would ask the terminal."""
    return ""


async def _read(response: Any, limit_bytes: int) -> bytes:
    """The body; raises Fault where it is longer than `limit_bytes` or encoded."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise unsound("it is compressed, which was not asked for")
    if (response.content_length or 0) > limit_bytes:
        raise unsound(f"it has more than {limit_bytes} bytes (max_response_bytes)")
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(_CHUNK_BYTES):
        size += len(part)
        if size > limit_bytes:
            raise unsound(f"it has more than {limit_bytes} bytes (max_response_bytes)")
        parts.append(part)
    return b"".join(parts)


def _header_length(headers: Mapping[str, str]) -> int | None:
    text = headers.get(_HEADER_LENGTH)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise unsound(f"its {_HEADER_LENGTH} is no number")
    return int(text)


def _fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    text = http_codec.error_text(body, status)
    return Fault(kind_of_http(status), text, seconds(headers.get("Retry-After")))


def _of(error: Exception) -> Fault:
    """What an exception of aiohttp means; the text has no address."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return Fault(Kind.UNREACHED, "its certificate is not one that is trusted, or it speaks no TLS")
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return Fault(Kind.UNREACHED, "no connection")
        case TimeoutError():
            return Fault(Kind.TIMED_OUT, "the time is over")
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | OSError():
            return Fault(Kind.BROKEN, "the connection broke; the request may have run")
        case _:
            return Fault(Kind.UNSOUND, f"it is no HTTP ({type(error).__name__})")
