"""Who calls, what proves it, and what they may do."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway.core.value import Value

Headers = tuple[tuple[bytes, bytes], ...]

MAX_ID = 128
# Answers remembered for one principal; what is asked more often than that has more models than it uses.
_REMEMBERED = 256


class Operation(enum.Enum):
    """What a caller may be allowed to do with a model; `ADMIN` is about the gateway itself."""

    INFER = "infer"
    PREVIEW = "preview"  # to name a version that no label names and that is not the one which answers
    LOAD = "load"
    UPLOAD = "upload"
    ROLLOUT = "rollout"
    ADMIN = "admin"

    # There is one of each: by identity it is found in dicts and sets ten times faster than by its name.
    __hash__ = object.__hash__


class Grant(NamedTuple):
    """These operations with models whose names match one of these patterns (`*` stands for any text)."""

    operations: frozenset[Operation]
    models: tuple[str, ...] = ("*",)


class Principal(Value):
    """An authenticated caller; never holds what proved it.

    `method` is a bounded label (api_key, jwt, mtls). `recheck_at`: until then, on the monotonic clock, the
    same credentials need not be looked at again; 0 looks at them at each request. Raises ValueError for an
    id or a tenant that could forge a log line or fill a metric.
    """

    __slots__ = (
        *("_known", "_last_granted", "_last_model", "_last_operation", "grants", "id", "method"),
        *("recheck_at", "tenant"),
    )

    def __init__(
        self,
        id: str,
        tenant: str = "",
        grants: Iterable[Grant] = (),
        method: str = "",
        recheck_at: float = 0.0,
    ) -> None:
        self.id: Final = checked_label("principal", id)
        self.tenant: Final = checked_label("tenant", tenant) if tenant else ""
        self.grants: Final = tuple(grants)
        self.method: Final = method
        self.recheck_at: Final = recheck_at
        self._known: Final[dict[tuple[Operation, str], bool]] = {}
        self._last_operation: Operation | None = None
        self._last_model = ""
        self._last_granted = False

    def values(self) -> tuple[object, ...]:
        return self.id, self.tenant, self.grants, self.method, self.recheck_at

    def is_granted(self, operation: Operation, model: str) -> bool:
        """True where one of the grants says so; nothing is granted that is not named."""
        if model == self._last_model and operation is self._last_operation:
            return self._last_granted  # most callers ask for one thing again and again
        asked = (operation, model)
        known = self._known.get(asked)
        if known is None:
            known = any(operation in one.operations and _matches(one.models, model) for one in self.grants)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[asked] = known
        self._last_operation, self._last_model, self._last_granted = operation, model, known
        return known

    def sees(self, model: str) -> bool:
        """True where it may do anything at all with the model; else that does not exist for it."""
        return any(self.is_granted(operation, model) for operation in Operation)


class Credentials(NamedTuple):
    """What came with a request that may prove who calls: names of headers are lower case.

    `protocol` is a bounded label: rest, grpc or admin. `tls_subject` is of a verified client certificate.
    """

    headers: Headers
    tls_subject: str | None = None
    protocol: str = "rest"

    def header(self, name: str) -> str | None:
        """The value of the only header of that name; None where there is none, or several that may differ."""
        wanted = name.encode("latin-1", "replace")
        found = [value for key, value in self.headers if key == wanted]
        return found[0].decode("latin-1") if len(found) == 1 else None

    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer <token>`."""
        scheme, _, token = (self.header("authorization") or "").partition(" ")
        return token.strip() or None if scheme.lower() == "bearer" else None


class Caller(Value):
    """Who made a request; `principal` is None where nobody is asked who they are."""

    __slots__ = ("headers", "principal")

    def __init__(self, principal: Principal | None = None, headers: Headers = ()) -> None:
        self.principal: Final = principal
        self.headers: Final = headers

    @property
    def id(self) -> str:
        """The principal's, "" where nobody is asked."""
        return "" if self.principal is None else self.principal.id

    @property
    def tenant(self) -> str:
        """The principal's, "" where nobody is asked or it has none."""
        return "" if self.principal is None else self.principal.tenant

    def values(self) -> tuple[object, ...]:
        return self.principal, self.headers

    def header(self, name: str) -> str | None:
        """The value of the first header (REST) or metadata entry (gRPC) of that name, in lower case."""
        wanted = name.encode("latin-1", "replace")
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)


# Whoever calls where nobody is asked, and models that call others.
ANYBODY: Final = Caller()


def checked_label(what: str, text: str) -> str:
    """`text`, which must be 1 to 128 printable characters without spaces at its ends; raises ValueError."""
    if not 1 <= len(text) <= MAX_ID or not text.isprintable() or text != text.strip():
        raise ValueError(f"a {what} must be 1 to {MAX_ID} printable characters")
    return text


def _matches(patterns: tuple[str, ...], model: str) -> bool:
    return any(matches(pattern, model) for pattern in patterns)


def matches(pattern: str, name: str) -> bool:
    """True where `pattern` matches all of `name`; `*` stands for any text, all else for itself."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == name
    if not name.startswith(first) or len(name) < len(pattern) - len(rest):
        return False
    at = len(first)
    for part in rest[:-1]:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return name.endswith(rest[-1]) and len(name) - len(rest[-1]) >= at
