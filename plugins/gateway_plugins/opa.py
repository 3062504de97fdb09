"""Rights as Open Policy Agent decides them.

DESIGN: whatever is not a clear yes is a no: an undefined decision (OPA answers 200 without a `result` then),
an answer of another shape, a timeout, an agent that is down. Decisions are remembered for a few seconds, the
noes for as long as the yeses: a policy that changes is seen that late, and an agent is asked once for what
thousands of requests want to know.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.core.caller import Operation, Principal
from gateway.hooks import Start, hookimpl

log = logging.getLogger("gateway.plugins")

_REMEMBERED = 10_000
_MAX_ANSWER = 64 << 10

Asked = tuple[str, str, str, Operation, str]


class OpaSettings(BaseModel):
    """[plugins.settings.opa]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="The agent's address: https, or http on this machine.")
    path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*$")] = Field(
        "gateway/allow", description="The rule: the package's path and the rule's name."
    )
    timeout_s: float = Field(0.4, gt=0, le=5, description="An agent that takes longer has said no.")
    cache_s: float = Field(5.0, ge=0, le=60, description="How long a decision is remembered.")
    token_file: Path | None = Field(None, description="A file with the token that the agent wants.")


class Opa:
    """Lets Open Policy Agent decide who may do what."""

    Settings = OpaSettings

    def __init__(self, settings: OpaSettings, start: Start) -> None:
        self._url = f"{_checked(settings.url)}/v1/data/{settings.path}"
        self._clock = start.clock
        self._cache_s = settings.cache_s
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        self._headers = _headers(settings.token_file)
        self._session: aiohttp.ClientSession | None = None
        self._decided: dict[Asked, tuple[bool, float]] = {}
        self._is_answering = True

    @hookimpl
    def authorize(self, principal: Principal, operation: Operation, model: str) -> bool | Awaitable[bool]:
        """Always decides: where this plugin is used, grants count for nothing."""
        asked = (principal.tenant, principal.id, principal.method, operation, model)
        decided = self._decided.get(asked)
        if decided is not None and self._clock() < decided[1]:
            return decided[0]
        return self._ask(asked)

    @hookimpl
    async def on_start(self) -> None:
        """Opens connections from now on."""
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)

    @hookimpl
    async def on_stop(self) -> None:
        """Closes them."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, asked: Asked) -> bool:
        is_allowed = await self._decision(asked)
        if len(self._decided) >= _REMEMBERED:
            self._decided.clear()
        self._decided[asked] = (is_allowed, self._clock() + self._cache_s)
        return is_allowed

    async def _decision(self, asked: Asked) -> bool:
        tenant, principal, method, operation, model = asked
        told = {"principal": principal, "tenant": tenant, "method": method}
        body = {"input": {**told, "operation": operation.value, "model": model}}
        try:
            answer = await self._answer(body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if self._is_answering:
                log.error(
                    "the policy agent does not answer (%s): everything is refused", type(error).__name__
                )
            self._is_answering = False
            return False
        self._is_answering = True
        result = answer.get("result") if isinstance(answer, dict) else None
        return result is True or (isinstance(result, dict) and result.get("allow") is True)

    async def _answer(self, body: dict[str, Any]) -> Any:
        if self._session is None:
            raise OSError("not started")
        async with self._session.post(self._url, json=body, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
            text = await answer.content.read(_MAX_ANSWER)
        return json.loads(text)


def _checked(url: str) -> str:
    """The address without a slash at its end; raises ValueError for one that is neither https nor here."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username or not host or parts.query or parts.scheme not in {"http", "https"}:
        raise ValueError(f"url: '{url}' is no address of an agent")
    if parts.scheme == "http" and not _is_here(host):
        raise ValueError(f"url: '{url}' must be https, or http on this machine")
    return url.rstrip("/")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _headers(file: Path | None) -> dict[str, str]:
    if file is None:
        return {}
    try:
        return {"authorization": f"Bearer {file.read_text(encoding='ascii').strip()}"}
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"token_file: {error}") from error
