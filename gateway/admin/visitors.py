"""Who is at the door of the admin API, and what they may: the operator's token all, others by rights."""

from __future__ import annotations

import inspect
from typing import Final

from starlette.requests import Request

from gateway.admin.doorkeeper import Doorkeeper
from gateway.core.caller import Caller, Credentials, Operation, Principal
from gateway.core.errors import ModelNotFound
from gateway.hooks.calling import Hook
from gateway.pipeline.rights import Rights, nobody


class Visitor:
    """`name` is for the audit log; without `rights` everything is allowed."""

    def __init__(self, name: str, rights: Rights | None = None, caller: Caller | None = None) -> None:
        self.name: Final = name
        self._rights = rights
        self._caller = caller

    async def require(self, operation: Operation, model: str = "") -> None:
        """Raises Forbidden, or ModelNotFound where the model does not exist for them."""
        if self._rights is not None and self._caller is not None:
            waiting = self._rights.check(self._caller, operation, model)
            if waiting is not None:
                await waiting

    async def sees(self, model: str) -> bool:
        """True where they may do anything with the model."""
        if self._rights is None or self._caller is None:
            return True
        sees = self._rights.sees(self._caller, model)
        return await sees if inspect.isawaitable(sees) else sees

    async def look(self, model: str) -> None:
        """Raises ModelNotFound where the model does not exist for them."""
        if not await self.sees(model):
            raise ModelNotFound(f"there is no model '{model}'")


class Visitors:
    """`authenticate` None: only the doorkeeper knows anybody."""

    def __init__(
        self, doorkeeper: Doorkeeper, authenticate: Hook | None = None, rights: Rights | None = None
    ) -> None:
        self._doorkeeper = doorkeeper
        self._authenticate = authenticate
        self._rights = rights or Rights()

    async def of(self, request: Request) -> Visitor:
        """Who makes the request; raises Unauthenticated, Forbidden, and what a plugin refuses with."""
        headers = request.headers
        authorization, host = headers.get("authorization", ""), headers.get("host", "")
        if self._authenticate is None:
            return Visitor(self._doorkeeper.check(authorization, host))
        if self._doorkeeper.is_operator(authorization):
            return Visitor("token")
        principal = await self._ask(request)
        if principal is None:
            raise nobody()
        return Visitor(principal.id, self._rights, Caller(principal, tuple(headers.raw)))

    async def _ask(self, request: Request) -> Principal | None:
        assert self._authenticate is not None
        found = self._authenticate.first(Credentials(tuple(request.headers.raw), None, "admin"))
        principal = await found if inspect.isawaitable(found) else found
        assert principal is None or isinstance(principal, Principal)
        return principal


def visitor_of(request: Request) -> Visitor:
    """Who was let in with this request."""
    visitor = request.state.visitor
    assert isinstance(visitor, Visitor)
    return visitor
