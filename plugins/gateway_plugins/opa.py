"""What callers may, by the policies of an Open Policy Agent beside the gateway.

DESIGN: only `true` lets a caller in. An undefined decision, which is what OPA says of a path that it does not
know or of a rule without a default, an answer of another type, an error and silence are denials: nobody is
let in by a policy that is not there. Decisions are remembered for some seconds, so OPA is not asked at each
request; faults are not, so all is well again as soon as OPA is.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.core.caller import Operation, Principal
from gateway.hooks import Start, hookimpl
from gateway_plugins.outbound import ask, checked_url, new_session

log = logging.getLogger("gateway.plugins")

# A decision is a few bytes; what a policy adds to it is of no use here.
MAX_ANSWER_BYTES = 64 << 10
# Between looks at the file with the token, which orchestrators replace every hour or so.
TOKEN_S = 60.0


class OpaSettings(BaseModel):
    """[plugins.settings.opa]"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="Where OPA is: https, or http on this machine.")
    path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")] = Field(
        description="The decision, below /v1/data: gateway/allow."
    )
    timeout_s: float = Field(
        0.4, gt=0, le=0.45, description="How long it may take; then it is a denial. Below the hook's 0.5 s."
    )
    cache_s: float = Field(5.0, ge=0, le=60, description="How long a decision is good.")
    cached_decisions: int = Field(10_000, ge=1, le=1_000_000, description="Of how many it is remembered.")
    token_file: Path | None = Field(None, description="A file with a bearer token for OPA.")


class Question(NamedTuple):
    """What is asked: the members of OPA's `input`."""

    principal: str
    tenant: str
    method: str
    operation: str
    model: str


class Decision(NamedTuple):
    """An answer, and until when it is good on the monotonic clock."""

    is_allowed: bool
    until: float


class Opa:
    """Asks Open Policy Agent what callers may."""

    Settings = OpaSettings

    def __init__(self, settings: OpaSettings, start: Start) -> None:
        try:
            base = checked_url(settings.url, is_http_allowed=True).rstrip("/")
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        self._url = f"{base}/v1/data/{settings.path}"
        self._settings = settings
        self._clock = start.clock
        self._token = _token(settings.token_file)
        self._token_at = start.clock()
        self._session: aiohttp.ClientSession | None = None
        self._known: dict[Question, Decision] = {}
        self._is_down = False
        self._has_told_undefined = False

    @hookimpl
    def authorize(self, principal: Principal, operation: Operation, model: str) -> bool | Awaitable[bool]:
        """Never declines: grants then say no more than which models exist for a caller that is refused."""
        question = Question(principal.id, principal.tenant, principal.method, operation.value, model)
        known = self._known.get(question)
        if known is not None and self._clock() < known.until:
            return known.is_allowed
        return self._asked(question)

    @hookimpl
    async def on_start(self) -> None:
        """Opens what OPA is asked through."""
        self._session = new_session(self._settings.timeout_s)

    @hookimpl
    async def on_stop(self) -> None:
        """Closes it."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _asked(self, question: Question) -> bool:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                result = await self._result(question)
        except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:  # TimeoutError, too
            self._failed(error)
            return False
        if self._is_down:
            log.info("opa: it decides again")
        self._is_down = False
        is_allowed = result is True or (isinstance(result, dict) and result.get("allow") is True)
        self._remember(question, is_allowed)
        return is_allowed

    async def _result(self, question: Question) -> Any:
        """What OPA says; None where the decision is undefined. Raises what `ask` does."""
        if self._session is None:
            raise ValueError("nothing is asked before the start or after the end")
        body = json.dumps({"input": question._asdict()}).encode()
        headers = {"Content-Type": "application/json", **await self._authorization()}
        answer = await ask(self._session, "POST", self._url, MAX_ANSWER_BYTES, data=body, headers=headers)
        decision = json.loads(answer)
        if not isinstance(decision, dict):
            raise ValueError("its answer is no object")
        if "result" not in decision and not self._has_told_undefined:
            self._has_told_undefined = True
            log.warning("opa: '%s' is undefined for a caller, which denies", self._settings.path)
        return decision.get("result")

    async def _authorization(self) -> dict[str, str]:
        """The header; its token is read anew now and then, and kept where that fails."""
        now = self._clock()
        if self._token and now - self._token_at >= TOKEN_S:
            self._token_at = now
            try:
                self._token = await asyncio.to_thread(_token, self._settings.token_file)
            except ValueError as error:
                log.warning("opa: %s; the last token is kept", error)
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _remember(self, question: Question, is_allowed: bool) -> None:
        """In place of the one that was remembered first, where there is no more room."""
        self._known.pop(question, None)
        while len(self._known) >= self._settings.cached_decisions:
            del self._known[next(iter(self._known))]
        self._known[question] = Decision(is_allowed, self._clock() + self._settings.cache_s)

    def _failed(self, error: Exception) -> None:
        if not self._is_down:
            # A text of our own says more than a name; others may hold addresses or what was sent.
            told = error if type(error) is ValueError else type(error).__name__
            log.error("opa: it cannot be asked: %s; all that it has not decided is denied", told)
        self._is_down = True


def _token(file: Path | None) -> str:
    """The token, "" where there is to be none; raises ValueError without the token in it."""
    if file is None:
        return ""
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise ValueError("token_file: cannot be read") from None
    if not token.isprintable() or not token or " " in token:
        raise ValueError("token_file: holds no token")
    return token
