"""Who calls: asked of the plugins before any endpoint is, whatever the protocol.

DESIGN: what a request's head says of its caller is worked out once for all requests with the same head, as
is its endpoint: connections share heads that are the same bytes. A principal is good for as long as its
`recheck_at` says, so a busy client costs its plugin a look every few seconds and each request a comparison.
Rejected: limits for failed attempts by address. A key of 256 bits is not guessed, and whoever shares an
address with an attacker (behind a proxy: everybody) would be locked out with him.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import Any, Final

from gateway.core.caller import ANYBODY, Caller, Credentials, Operation, Principal
from gateway.core.clock import Clock
from gateway.core.errors import Cancelled, GatewayError, TooLarge
from gateway.core.messages import Lease
from gateway.core.tensor import Buffer
from gateway.frontends.access import Access, access_of
from gateway.frontends.v2_rest.echoes import EchoingExchange
from gateway.hooks.calling import LATER, Hook
from gateway.hooks.manager import Hooks
from gateway.hooks.tasks import Tasks
from gateway.pipeline.policies import STAGES
from gateway.pipeline.rights import Rights, go_on_if, nobody
from gateway.wire.exchange import Endpoint, Exchange, Head, Receiver, Service

# Of the body of a request that nobody is known to make; it is read, so that the connection lives on.
_STRANGERS_BODY_BYTES = 64 << 10
# Of the headers that plugins add to an answer: clients take some 8 KiB of them in all.
_MAX_ADDED = 32
_MAX_VALUE = 1024
# How often a stream asks a plugin that is async.
_RECHECK_S = 1.0
# What a plugin may not add to an answer: they frame it, or are the protocol's own.
_PROTOCOLS = frozenset({
    *(b"connection", b"content-length", b"content-type", b"content-encoding", b"date", b"server"),
    *(b"transfer-encoding", b"upgrade", b"keep-alive", b"te", b"trailer", b"grpc-status", b"grpc-message"),
    *(b"grpc-encoding", b"inference-header-content-length"),
})


def guard_of(
    hooks: Hooks, rights: Rights | None, clock: Clock, tasks: Tasks
) -> Callable[[Service], Service] | None:
    """What to put before a service; None where no plugin has a use for who calls or with what headers."""
    names = ("authenticate", "answer_headers", *STAGES)
    if all(hooks.get(name) is None for name in names):
        return None
    return lambda service: Guard(
        service, hooks.get("authenticate"), rights, hooks.get("answer_headers"), clock, tasks
    )


GoOn = Callable[[Exchange], None]
Refused = Callable[[Exchange, GatewayError], None]


class Guard:
    """Implements Service over another; `authenticate` None asks nobody and only shows plugins the headers."""

    def __init__(
        self,
        service: Service,
        authenticate: Hook | None,
        rights: Rights | None,
        answer_headers: Hook | None,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._service = service
        self.authenticate: Final = None if authenticate is None else authenticate.first
        self.ask_now: Final = _anybody if authenticate is None else authenticate.first_now
        self.rights: Final = rights
        self.answer_headers: Final = None if answer_headers is None else answer_headers.chain_now
        self.clock: Final = clock
        self.tasks: Final = tasks

    def route(self, head: Head) -> Endpoint:
        """See wire.exchange.Service."""
        return Guarded(self, self._service.route(head), head)


class Guarded:
    """The endpoint of one head. Invariant: the inner endpoint sees no exchange without its caller."""

    __slots__ = (
        *("_access", "_caller", "_guard", "_head", "_inner", "_is_plain", "_subject", "_until"),
        "whole",
    )

    def __init__(self, guard: Guard, inner: Endpoint, head: Head) -> None:
        self._guard = guard
        self._inner = inner
        self._head = head
        self._access = access_of(head.path)
        self.whole = inner.whole
        # Nothing but the caller is to be added.
        self._is_plain = self._access is not Access.ADMIN and guard.answer_headers is None
        # Whom the head means, for connections whose certificate has that subject, until then.
        self._caller: Caller | None = None
        self._subject: str | None = None
        self._until = 0.0

    @property
    def max_body_bytes(self) -> int:
        """Little where it is known already that nobody will be let in."""
        limit = self._inner.max_body_bytes
        if self._caller is not None or self._strangeness() is None:
            return limit
        return min(limit, _STRANGERS_BODY_BYTES)

    def handle(self, exchange: Exchange, body: Buffer, lease: Lease | None) -> None:
        """See Endpoint."""
        caller = self._caller
        # Most requests come from who has come before: two comparisons, and on it goes.
        if (
            caller is not None
            and self._is_plain
            and exchange.peer.tls_subject == self._subject
            and self._guard.clock() < self._until
        ):
            exchange.caller = caller
            self._inner.handle(exchange, body, lease)
        else:
            self._for(exchange, partial(self._handle, body, lease), partial(self._refused, lease))

    def open(self, exchange: Exchange) -> Receiver:
        """See Endpoint."""
        held = _Held(exchange, self._recheck)
        self._for(exchange, lambda known: held.go_on(self._inner.open(known)), partial(self._closed, held))
        return held

    def refuse(self, exchange: Exchange, error: GatewayError) -> None:
        """See Endpoint; a stranger's body is too large because it is a stranger's."""
        if isinstance(error, TooLarge) and self._caller is None:
            error = self._strangeness() or error
        self._inner.refuse(exchange, error)

    def body_size(self, head: Head, first: Buffer) -> int | None:
        """See Endpoint."""
        return self._inner.body_size(head, first)

    def payload_offset(self, head: Head) -> int:
        """See Endpoint."""
        return self._inner.payload_offset(head)

    # ---- who it is ------------------------------------------------------------------------------

    def _strangeness(self) -> GatewayError | None:
        """Why nobody will be let in, as far as the head alone tells; None where somebody may be."""
        if self._access is Access.PUBLIC or self._head.scheme == b"https":
            return None  # a certificate may tell who it is
        try:
            return nobody() if self._guard.ask_now(self._credentials(None)) is None else None
        except GatewayError as error:
            return error

    def _recheck(self, exchange: Exchange) -> None:
        """Must be called when more of a stream comes: one whose caller is let in no more is broken off.

        Else a key that was taken back would work for as long as a call that was begun with it.
        """
        principal = exchange.caller.principal
        if principal is None or not exchange.is_open or self._guard.clock() < self._recheck_at(principal):
            return
        try:
            found = self._ask(exchange.peer.tls_subject)
        except GatewayError:
            _break_off(exchange)
            return
        if isinstance(found, Awaitable):
            self._until = self._guard.clock() + _RECHECK_S  # once, however much comes meanwhile
            self._guard.tasks.begin(self._recheck_later(found, exchange), "authenticate")
        else:
            exchange.caller = self._known(found, exchange.peer.tls_subject)

    def _recheck_at(self, principal: Principal) -> float:
        """Of a principal that is to be asked for at every request, a stream asks now and then."""
        return max(principal.recheck_at, self._until)

    async def _recheck_later(self, found: Awaitable[Principal | None], exchange: Exchange) -> None:
        try:
            exchange.caller = self._known(await found, exchange.peer.tls_subject)
        except GatewayError:
            _break_off(exchange)

    def _for(self, exchange: Exchange, go_on: GoOn, refused: Refused) -> None:
        """Goes on with the exchange as its caller's, or says why not."""
        guard, subject = self._guard, exchange.peer.tls_subject
        caller = self._caller
        if caller is None or subject != self._subject or guard.clock() >= self._until:
            try:
                found = self._ask(subject)
                if isinstance(found, Awaitable):
                    guard.tasks.begin(self._for_later(found, exchange, go_on, refused), "authenticate")
                    return
                caller = self._known(found, subject)
            except GatewayError as error:
                self._for_stranger(error, exchange, go_on, refused)
                return
        self._go_on_as(caller, exchange, go_on, refused)

    async def _for_later(
        self, found: Awaitable[Principal | None], exchange: Exchange, go_on: GoOn, refused: Refused
    ) -> None:
        try:
            caller = self._known(await found, exchange.peer.tls_subject)
        except GatewayError as error:
            self._for_stranger(error, exchange, go_on, refused)
            return
        self._go_on_as(caller, exchange, go_on, refused)

    def _for_stranger(self, error: GatewayError, exchange: Exchange, go_on: GoOn, refused: Refused) -> None:
        if self._access is Access.PUBLIC:
            self._go_on_as(ANYBODY, exchange, go_on, refused)
        else:
            refused(exchange, error)

    def _go_on_as(self, caller: Caller, exchange: Exchange, go_on: GoOn, refused: Refused) -> None:
        if not exchange.is_open:  # gone while a plugin was waited for
            refused(exchange, Cancelled("the caller has gone"))
            return
        exchange.caller = caller
        rights, headed = self._guard.rights, partial(self._headed, exchange, go_on)
        if self._access is Access.ADMIN and rights is not None:
            check = partial(rights.check, caller, Operation.ADMIN)
            go_on_if(check, headed, partial(refused, exchange), self._guard.tasks)
        else:
            headed()

    def _ask(self, subject: str | None) -> Any:
        """A principal or an awaitable of one; raises Unauthenticated and what a plugin refuses with."""
        if self._guard.authenticate is None:
            return None
        found = self._guard.authenticate(self._credentials(subject))
        if found is None:
            raise nobody()
        return found

    def _credentials(self, subject: str | None) -> Credentials:
        protocol = "rest" if self._head.path.startswith(b"/v2") else "grpc"
        return Credentials(self._head.headers, subject, protocol)

    def _known(self, principal: Principal | None, subject: str | None) -> Caller:
        if principal is None and self._guard.authenticate is not None:
            raise nobody()
        caller = Caller(principal, self._head.headers)
        self._subject = subject
        self._until = inf if principal is None else principal.recheck_at
        self._caller = caller
        return caller

    def _headed(self, exchange: Exchange, go_on: GoOn) -> None:
        """Goes on with the headers that plugins want answers to have."""
        add = self._guard.answer_headers
        if add is not None:
            extra = tuple([pair for pair in add((), exchange.caller) if _is_header(pair)][:_MAX_ADDED])
            exchange = EchoingExchange(exchange, extra) if extra else exchange
        go_on(exchange)

    # ---- what becomes of it ---------------------------------------------------------------------

    def _handle(self, body: Buffer, lease: Lease | None, exchange: Exchange) -> None:
        self._inner.handle(exchange, body, lease)

    def _refused(self, lease: Lease | None, exchange: Exchange, error: GatewayError) -> None:
        if lease is not None:
            lease.release()
        self._inner.refuse(exchange, error)

    def _closed(self, held: _Held, exchange: Exchange, error: GatewayError) -> None:
        held.go_on(_Deaf())
        self._inner.refuse(exchange, error)


def _anybody(credentials: Credentials) -> object:
    return LATER


class _Deaf:
    """Receives what was sent by somebody who is not let in."""

    def on_data(self, data: bytes) -> None: ...

    def on_end(self) -> None: ...


class _Held:
    """Receives the body of a stream: holds it until it is known whose it is, and asks again as it goes on."""

    def __init__(self, exchange: Exchange, recheck: Callable[[Exchange], None]) -> None:
        self._exchange = exchange
        self._recheck = recheck
        self.receiver: Receiver | None = None
        self._pieces: list[bytes] = []
        self._has_ended = False

    def on_data(self, data: bytes) -> None:
        """See Receiver."""
        if self.receiver is not None:
            self._recheck(self._exchange)
            self.receiver.on_data(data)
            return
        if not self._pieces:
            self._exchange.pause_reading()
        self._pieces.append(data)

    def on_end(self) -> None:
        """See Receiver."""
        if self.receiver is not None:
            self.receiver.on_end()
        self._has_ended = True

    def go_on(self, receiver: Receiver) -> None:
        """Hands over what has come."""
        self.receiver = receiver
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            receiver.on_data(piece)
        if pieces and self._exchange.is_open:
            self._exchange.resume_reading()
        if self._has_ended:
            receiver.on_end()


def _break_off(exchange: Exchange) -> None:
    """Ends a stream as if its client had gone: nothing more of it is run."""
    gone = exchange.on_gone
    exchange.abort()
    if gone is not None:
        gone()


def _is_header(pair: object) -> bool:
    """True for a header that a plugin may add; what could break an answer's framing is left out."""
    match pair:
        case (bytes(name), bytes(value)):
            is_plain = name.isascii() and name == name.lower() and not set(name) & set(b" \t\r\n:\0")
            is_small = 0 < len(name) <= 64 and len(value) <= _MAX_VALUE
            return is_plain and is_small and name not in _PROTOCOLS and not set(value) & set(b"\r\n\0")
    return False
