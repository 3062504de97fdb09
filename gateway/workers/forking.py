"""The controller and the zygote talk in msgpack of these tagged types over a SOCK_SEQPACKET pair.

One message a packet. A `Fork` packet carries the control socket of the worker to be; a `Forked`
packet carries a pidfd of it, opened while nobody could have reaped it, so that it names the right
process for ever.
"""

from __future__ import annotations

import msgspec

from gateway.core.environment import Base

# ---- controller to zygote -------------------------------------------------------------------------


class Preload(msgspec.Struct, frozen=True, tag="preload"):
    """The first packet: import `modules`; every worker will run `entry` ("package.module:function").

    Then, where there is a `base`, enter its environment and import its modules, too.
    """

    modules: tuple[str, ...]
    entry: str
    base: Base | None = None


class Fork(msgspec.Struct, frozen=True, tag="fork"):
    """Make a worker that owns the socket in this packet; answered by Forked or ForkFailed.

    `device` is core.device.Seat's: what CUDA will see there is settled before anything of it is loaded.
    """

    ticket: int
    device: str = ""


ToZygote = Preload | Fork

# ---- zygote to controller -------------------------------------------------------------------------


class Prepared(msgspec.Struct, frozen=True, tag="prepared"):
    """Forks are welcome; `missing` could not be imported, each with its reason."""

    missing: tuple[tuple[str, str], ...]
    import_s: float


class Forked(msgspec.Struct, frozen=True, tag="forked"):
    """The worker exists; its pidfd comes with this packet."""

    ticket: int
    pid: int


class ForkFailed(msgspec.Struct, frozen=True, tag="fork_failed"):
    """The system refused another process."""

    ticket: int
    error: str


class Exited(msgspec.Struct, frozen=True, tag="exited"):
    """A worker has ended and was reaped; `code` is its exit status, or minus the signal's number."""

    pid: int
    code: int


FromZygote = Prepared | Forked | ForkFailed | Exited
