"""Controller and worker talk in msgpack of these tagged types over a SOCK_SEQPACKET pair.

One message a packet; a `Connect` packet carries the descriptor of a data channel (SCM_RIGHTS).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from gateway.core.model import ModelSpec
from gateway.core.warmup import Warmup
from gateway.runtimes.contract import UpstreamCounts

# ---- controller to worker -----------------------------------------------------------------------


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Load one model version; answered by Loaded or LoadFailed.

    `runtime` is "package.module:Class"; `path` the version's folder. `spec` may be incomplete
    (`inputs` or `outputs` empty, see `max_batch_known`): the runtime completes it from the file.
    `warmup` is run before the answer, and must succeed. `state_paths` are the files of a stateful
    model's initial states, by their names. `is_on_gpu`: its memory is the GPU's that the worker sees.
    """

    runtime: str
    path: str
    spec: ModelSpec
    max_batch_known: bool = False
    default_max_batch_size: int = 64
    options: Mapping[str, str] = {}
    warmup: tuple[Warmup, ...] = ()
    state_paths: Mapping[str, str] = {}
    is_on_gpu: bool = False


class Connect(msgspec.Struct, frozen=True, tag="connect"):
    """A data channel of a front comes with this packet; `generation` must stand in its every frame."""

    front: int
    generation: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Finish the batch in hand, answer it, exit 0."""


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """Get ready for whatever will have to be loaded: a worker that waits for its model has the time.

    `runtimes` are "package.module:Class"; `is_on_gpu` has it open the device it sees.
    """

    runtimes: tuple[str, ...] = ()
    is_on_gpu: bool = False


class Sleep(msgspec.Struct, frozen=True, tag="sleep"):
    """Leave the GPU, but keep the weights in host memory; answered by Asleep.

    Said to one whose model can, when no front has anything under way there; until Wake no front asks for any.
    """


class Wake(msgspec.Struct, frozen=True, tag="wake"):
    """Back to the GPU, and through the warm-up again; answered by Loaded or LoadFailed."""


class Admit(msgspec.Struct, frozen=True, tag="admit"):
    """The control socket of a tenant comes with this packet: whatever is told there happens here, too.

    From then on this worker is a shared one, and has no model of its own.
    """


ToWorker = Load | Prepare | Connect | Sleep | Wake | Admit | Stop

# ---- worker to controller -----------------------------------------------------------------------


class Loaded(msgspec.Struct, frozen=True, tag="loaded"):
    """The model is ready to run; `spec` is complete; `phases_s` are the parts of a cold start.

    `note` is what people should know of how it runs, one line, most often "". `memory_bytes` is what
    the load has taken on its device, None where that cannot be told. `can_sleep`: see Sleep.
    """

    spec: ModelSpec
    phases_s: Mapping[str, float]
    note: str = ""
    memory_bytes: int | None = None
    can_sleep: bool = False


class LoadFailed(msgspec.Struct, frozen=True, tag="load_failed"):
    """The engine refused the model; `error` is one line without paths.

    `is_out_of_memory`: it may load where there is more of it.
    """

    error: str
    is_out_of_memory: bool = False


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """Comes before Loaded: the model has been read, and its warm-up begins. Or after it: the first batch ran.

    `seconds` is what that took.
    """

    phase: Literal["warming", "inferred"]
    seconds: float = 0.0


class Asleep(msgspec.Struct, frozen=True, tag="asleep"):
    """The weights are in host memory, `held_bytes`; the device has `freed_bytes` more. None: nobody can tell.

    With an `error` it is neither awake nor asleep, and of no use.
    """

    held_bytes: int | None = None
    freed_bytes: int | None = None
    error: str = ""


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """A tenant takes the whole worker along: its engine cannot go on, and says why."""

    reason: str


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """Still alive (its own thread, so also during a long run); `busy_s` is the age of the batch in hand.

    `upstream` is what a model has counted that asks another server.
    """

    busy_s: float
    executed: int
    upstream: UpstreamCounts | None = None


# What whoever has a worker is told.
Told = Loaded | LoadFailed | Progress | Asleep
FromWorker = Told | Broken | Beat
