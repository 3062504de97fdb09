"""Controller and front talk in msgpack of these tagged types over a SOCK_SEQPACKET pair.

One message a packet; an `Attach` packet carries the descriptor of a data channel (SCM_RIGHTS).
A snapshot too large for one packet is sent as several: each one a complete, numbered step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from gateway.core.ensemble import EnsembleGraph
from gateway.core.log_settings import LogSettings
from gateway.core.model import ModelKey, ModelSpec
from gateway.core.scaling import KeepAlive
from gateway.core.trace_settings import TraceValues

# absent: loads when called. failed: refused until `retry_in_s` is over.
VersionState = Literal["absent", "loading", "ready", "failed"]


class VersionView(msgspec.Struct, frozen=True):
    """One served version as the fronts must see it. `spec` is None until config or a worker told it.

    `config` is its config.pbtxt as a serialised ModelConfig, b"" without one. `is_shared`: config and
    the spec's class labels are left out here, for they are the ModelView's (see control.views). An
    `ensemble` has no instances: the fronts run it, and it is always ready.
    """

    version: int
    state: VersionState
    spec: ModelSpec | None = None
    reason: str = ""
    retry_in_s: float = 0.0
    config: bytes = b""
    is_shared: bool = False
    ensemble: EnsembleGraph | None = None


class ModelView(msgspec.Struct, frozen=True):
    """One model as the fronts must see it, versions ascending; `broken`: why it cannot be served at all.

    `labels` name versions, served or not. `config` and `class_labels` are those of all versions that
    share them.
    """

    name: str
    versions: tuple[VersionView, ...]
    broken: str = ""
    labels: Mapping[str, int] = {}
    config: bytes = b""
    class_labels: Mapping[str, tuple[str, ...]] = {}


# ---- controller to front ------------------------------------------------------------------------


class Configure(msgspec.Struct, frozen=True, tag="configure"):
    """The first packet: who you are and the whole configuration as JSON."""

    front: int
    config: str


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """Step `number` (consecutive) of the world: these models are new or changed, those are gone.

    `complete` is true from the packet on with which the front has seen the whole catalogue once.
    """

    number: int
    changed: tuple[ModelView, ...]
    removed: tuple[str, ...] = ()
    complete: bool = True


class Attach(msgspec.Struct, frozen=True, tag="attach"):
    """An instance can be used by the data channel that comes with this packet.

    `inline` is a workers.messages.Load in msgpack where the model is to run in the front itself; the
    channel's worker, in which it was loaded first, then stands by, and tells by its end of its death.
    """

    worker: int
    generation: int
    key: ModelKey
    inline: bytes = b""


class Detach(msgspec.Struct, frozen=True, tag="detach"):
    """Send this worker nothing more; it is stopped when its batches are answered."""

    worker: int


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """Stop accepting, finish within `timeout_s`, exit 0."""

    timeout_s: float


class Sync(msgspec.Struct, frozen=True, tag="sync"):
    """Answer with Synced: everything that was sent before this has then been acted upon.

    Counters come before it: what the front has answered until then is counted.
    """

    number: int


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The answer to the front's own Ask `number`: a control.questions.Answer as a parcel."""

    number: int
    answer: bytes


class SetTrace(msgspec.Struct, frozen=True, tag="set_trace"):
    """What is set for the tracing of a model ("" all) from now on; None: nothing is any more.

    Where these values number the traces, the control.budget.Budget of them comes with the packet.
    """

    model: str
    values: TraceValues | None


class SetLog(msgspec.Struct, frozen=True, tag="set_log"):
    """What to log from now on."""

    settings: LogSettings


class SetPlugin(msgspec.Struct, frozen=True, tag="set_plugin"):
    """A plugin's settings from now on: whole, as JSON that the controller's own plugin has taken."""

    plugin: str
    document: str


ToFront = Configure | Snapshot | Attach | Detach | Drain | Sync | Answered | SetTrace | SetLog | SetPlugin

# ---- front to controller ------------------------------------------------------------------------


class Listening(msgspec.Struct, frozen=True, tag="listening"):
    """The front is accepting; `ports` by listener name."""

    ports: Mapping[str, int]


class Activate(msgspec.Struct, frozen=True, tag="activate"):
    """Somebody waits for this version, at the longest for `wait_s`; repeated ones are harmless."""

    key: ModelKey
    wait_s: float


class Detached(msgspec.Struct, frozen=True, tag="detached"):
    """No batch of this front is in the worker any more."""

    worker: int


class Suspect(msgspec.Struct, frozen=True, tag="suspect"):
    """The worker broke the protocol or does not answer: replace it."""

    worker: int
    reason: str


class Counters(msgspec.Struct, frozen=True, tag="counters"):
    """Cumulative since the front's start, once a second and before Synced: a telemetry.series.FrontReport."""

    data: bytes


class VersionDemand(msgspec.Struct, frozen=True):
    """How one version was used since the last report.

    `concurrency` are the requests that waited or ran at a time, on average; `in_flight` now;
    `keep_alive` is what the last request that said so asked for, None where none did.
    """

    key: ModelKey
    concurrency: float
    in_flight: int
    keep_alive: KeepAlive | None = None


class Demand(msgspec.Struct, frozen=True, tag="demand"):
    """The versions that were used since the last report, once a second; `is_first` of the packets of one."""

    versions: tuple[VersionDemand, ...]
    is_first: bool = True


class Synced(msgspec.Struct, frozen=True, tag="synced"):
    """The answer to Sync."""

    number: int


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """Somebody wants to know or to change something: a control.questions.Question as a parcel.

    `number` is the front's own; nobody waits any more once `wait_s` is over.
    """

    number: int
    question: bytes
    wait_s: float


class Bye(msgspec.Struct, frozen=True, tag="bye"):
    """Drained; the process exits after this packet."""


FromFront = Listening | Activate | Detached | Suspect | Counters | Demand | Synced | Ask | Bye
