"""What can go wrong between here and an upstream, and what each of it means. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from gateway.runtimes.contract import BadInput, TimedOut, Unavailable, UpstreamFailed


class Kind(enum.Enum):
    """Why a request has no answer."""

    REJECTED = "rejected"  # the upstream says that the request is wrong
    MISSING = "missing"  # it does not have the model (any more)
    DENIED = "denied"  # it does not accept our credentials
    FAILED = "failed"  # its model failed
    UNREACHED = "unreached"  # no connection: nothing was sent
    BROKEN = "broken"  # the connection broke with the request sent: it may have run
    SHED = "shed"  # it says that it cannot now, and has not run it
    LIMITED = "limited"  # it says that we ask too much
    TIMED_OUT = "timed_out"
    UNSOUND = "unsound"  # its answer is none


class Rule(NamedTuple):
    """`counts`: against the breaker. `is_safe`: it was certainly not run, so it may be sent again."""

    counts: bool
    is_safe: bool


RULES: Mapping[Kind, Rule] = MappingProxyType({
    Kind.REJECTED: Rule(counts=False, is_safe=False),
    Kind.MISSING: Rule(counts=True, is_safe=False),
    Kind.DENIED: Rule(counts=True, is_safe=False),
    Kind.FAILED: Rule(counts=False, is_safe=False),
    Kind.UNREACHED: Rule(counts=True, is_safe=True),
    Kind.BROKEN: Rule(counts=True, is_safe=False),
    Kind.SHED: Rule(counts=True, is_safe=True),
    Kind.LIMITED: Rule(counts=False, is_safe=True),
    Kind.TIMED_OUT: Rule(counts=True, is_safe=False),
    Kind.UNSOUND: Rule(counts=False, is_safe=False),
})

# HTTP statuses; of the others 4xx is REJECTED, the rest FAILED.
_HTTP: Mapping[int, Kind] = MappingProxyType({
    401: Kind.DENIED,
    403: Kind.DENIED,
    404: Kind.MISSING,
    405: Kind.MISSING,
    408: Kind.TIMED_OUT,
    429: Kind.LIMITED,
    502: Kind.BROKEN,
    503: Kind.SHED,
    504: Kind.TIMED_OUT,
})
# gRPC's status codes by number; the others are FAILED.
_GRPC: Mapping[int, Kind] = MappingProxyType({
    3: Kind.REJECTED,
    4: Kind.TIMED_OUT,
    5: Kind.MISSING,
    7: Kind.DENIED,
    8: Kind.LIMITED,
    9: Kind.MISSING,
    11: Kind.REJECTED,
    12: Kind.MISSING,
    14: Kind.SHED,
    16: Kind.DENIED,
})
# What an upstream may make us wait; a day is as good as never.
_MAX_RETRY_AFTER_S = 86_400.0


class Fault(Exception):
    """A request that has no answer; `text` is one line for the caller, without addresses."""

    def __init__(self, kind: Kind, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.retry_after_s = retry_after_s


def kind_of_http(status: int) -> Kind:
    """What a status other than 200 means."""
    if status in _HTTP:
        return _HTTP[status]
    if 400 <= status < 500:
        return Kind.REJECTED
    return Kind.FAILED if status >= 500 else Kind.UNSOUND


def kind_of_grpc(code: int) -> Kind:
    """What a status other than OK means."""
    return _GRPC.get(code, Kind.FAILED)


def error_of(fault: Fault) -> Exception:
    """What the caller is told, as contract has it."""
    match fault.kind:
        case Kind.REJECTED:
            return BadInput(fault.text)
        case Kind.FAILED:
            return UpstreamFailed(fault.text)
        case Kind.UNSOUND:
            return UpstreamFailed(f"the upstream's answer cannot be used: {fault.text}")
        case Kind.TIMED_OUT:
            return TimedOut(f"the upstream did not answer in time: {fault.text}")
        case Kind.MISSING:
            return Unavailable(f"the upstream does not have the model: {fault.text}", 5.0)
        case Kind.DENIED:
            return Unavailable(f"the upstream does not accept the gateway: {fault.text}", 5.0)
        case _:
            return Unavailable(f"the upstream does not answer: {fault.text}", fault.retry_after_s or 1.0)


def seconds(text: str | None, *, per_second: float = 1.0) -> float:
    """A time to wait as an upstream wrote it, 0 for anything that is no plain number."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 12:
        return 0.0
    return min(int(text) / per_second, _MAX_RETRY_AFTER_S)
