"""Keys by the admin API, for whoever has the right admin: that one may grant anything.

Blocks on the disk, so it must be called in a thread. A key's text is in the answer to its
POST and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.core.admin import AdminAnswer, AdminRequest
from gateway.core.errors import InvalidInput, ModelNotFound
from gateway.core.grants import parse_grant, write_grant
from gateway_plugins.api_keys.store import Entry, Store


class NewKey(BaseModel):
    """The body of POST keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    owner: str
    tenant: str = ""
    grants: list[str] = Field(min_length=1, max_length=100)
    expires_s: float | None = Field(None, gt=0, le=10 * 365 * 86_400)


def administer(store: Store, pepper: bytes, request: AdminRequest, wall: float) -> AdminAnswer:
    """Does what is asked; raises InvalidInput and ModelNotFound, OSError and sqlite3.Error."""
    what, _, identity = request.path.partition("/")
    match request.method, what, bool(identity):
        case "GET", "keys", False:
            return AdminAnswer({"keys": [_told(one, wall) for one in store.entries()]})
        case "POST", "keys", False:
            return _create(store, pepper, request.body, wall)
        case "DELETE", "keys", True:
            if not store.revoke(identity, wall):
                raise ModelNotFound("there is no key of this id")
            return AdminAnswer({"id": identity, "state": "revoked"})
    raise ModelNotFound("there are GET and POST keys, and DELETE keys/{id}")


def _create(store: Store, pepper: bytes, body: Any, wall: float) -> AdminAnswer:
    try:
        asked = NewKey.model_validate(body)
        grants = [parse_grant(one) for one in asked.grants]
        ends = None if asked.expires_s is None else wall + asked.expires_s
        key = store.create(pepper, asked.owner, asked.tenant, grants, wall, ends)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInput(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}") from None
    except ValueError as error:
        raise InvalidInput(str(error)) from None
    return AdminAnswer({"id": key.id, "key": key.text()}, 201)


def _told(entry: Entry, wall: float) -> Mapping[str, object]:
    state = "revoked" if entry.revoked is not None else "valid" if entry.is_valid(wall) else "expired"
    return {
        "id": entry.id,
        "owner": entry.owner,
        "tenant": entry.tenant,
        "grants": [write_grant(one) for one in entry.grants],
        "state": state,
        "created": entry.created,
        "expires": entry.expires,
        "last_used": entry.last_used,
    }
