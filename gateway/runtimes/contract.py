"""What an engine must offer, and how it says no; engines themselves are imported by name, in workers.

Tensors are numpy arrays without names, in the order of the model's signature: BYTES as object arrays
of bytes, BF16 as uint16 arrays of its bits. With `ModelSpec.max_batch_size` > 0 each has the batch
axis in front. A tensor with a `TensorSpec.reshape` has that shape here: `reshaping` stands between.
In the place of an optional input that was left out stands `ABSENT`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

import numpy as np

from gateway.core.model import ModelSpec

Array = np.ndarray[Any, np.dtype[Any]]
# Told by identity, never by what is in it.
ABSENT: Array = np.empty(0)
MAX_TEXT = 400
_PATH = re.compile(r"(?<![\w/])(?:/[\w.@+-]+)+/([\w.@+-]+)")


class LoadError(Exception):
    """The model cannot be served; the text is one line, says which tensor or file, and has no path."""


class BadInput(Exception):
    """The caller's values, not the model, are at fault; the text is for the caller."""


class ModelFailed(Exception):
    """The model says itself that it failed; the text is for the caller, as it is."""


class EngineBroken(Exception):
    """The engine cannot go on in this process (a lost device, a sticky error): the worker must end."""


class Unavailable(Exception):
    """What the model depends on does not answer now, or is not what it was; another time it may be."""

    def __init__(self, text: str, retry_after_s: float = 1.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class TimedOut(Exception):
    """There was no answer in the time that there was."""


class UpstreamFailed(Exception):
    """What the model depends on failed with this batch, and it must not be run again to see why."""


class StreamEnded(Exception):
    """Nothing more may be sent: nobody waits any more, or the last answer has been sent."""


class OutOfMemory(LoadError):
    """The model would load where there is more memory, of the host's or of a GPU's."""


class OutputMemory(Protocol):
    """Memory from which a large output reaches the front without a copy."""

    def array(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array | None:
        """An uninitialised array for one output of this run; None where there is no room."""


class LoadedModel(Protocol):
    """One model in memory, run by one thread."""

    @property
    def spec(self) -> ModelSpec:
        """The specification, complete: every input and output, and whether it batches."""

    def infer(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, memory: OutputMemory
    ) -> Sequence[Array]:
        """The wanted outputs, in the order of `outputs`; any exception fails this batch only.

        `inputs` are every input in order, read-only, and valid until this returns. An output over
        64 KiB should be written into `memory`; one that is not is copied there.
        """

    def close(self) -> None:
        """Frees what the process's exit would not."""


class SleepingModel(Protocol):
    """What a LoadedModel whose `can_sleep` is true offers too: one that is on a GPU and may leave it."""

    def sleep(self) -> None:
        """Frees what it has of the device; keeps in the host's memory what `wake` needs. May raise anything.

        Nothing is asked of it before it has been woken, but `close`.
        """

    def wake(self) -> None:
        """Is as it was before it slept, on the same device; may raise anything, and is then of no use."""


class Responses(Protocol):
    """Where the answers of a decoupled model to one request go; any thread may call it."""

    def send(self, results: Sequence[Array], *, is_last: bool = False) -> None:
        """Sends the wanted outputs of one answer, as `infer` returns them; waits for a slow reader.

        Raises StreamEnded where nobody wants it, and whatever is wrong with `results`.
        """

    def fail(self, error: Exception) -> None:
        """Sends an error in place of one answer, after which more may come; else as `send`."""

    def is_cancelled(self) -> bool:
        """True once nothing that is sent reaches anybody."""

    def finish(self, error: Exception | None = None) -> None:
        """Ends a `wait_until_finished`, with that error where one is given."""

    def wait_until_finished(self) -> None:
        """Returns at `finish`: for a model whose other threads go on answering. Raises its error."""


class StreamingModel(Protocol):
    """What a LoadedModel whose spec is `decoupled` offers too; its `infer` is never called."""

    def stream(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, responses: Responses
    ) -> None:
        """Answers one request with any number of results; returns when no more come, or raises.

        `inputs` are valid until this returns. StreamEnded from `responses` may come through.
        """


Outcome = Sequence[Array] | Exception


class UpstreamCounts(NamedTuple):
    """What a model that asks another server has counted since it was loaded, and where its breaker is."""

    state: Literal["closed", "open", "half_open"] = "closed"
    requests: int = 0
    retries: int = 0
    refused: int = 0
    trips: int = 0


class Call(Protocol):
    """A batch that is under way while others are."""

    def cancel(self) -> None:
        """Nobody waits for it any more; `done` is called all the same, with whatever it then is."""


class ConcurrentModel(Protocol):
    """What a LoadedModel whose spec has a `concurrency` offers too; its `infer` is for warm-up alone."""

    def begin(
        self,
        inputs: Sequence[Array],
        outputs: Sequence[int],
        rows: int,
        timeout_s: float,
        done: Callable[[Outcome], None],
    ) -> Call:
        """Starts a batch and returns at once; `done` is called once, from any thread.

        `inputs` are valid until this returns. BadInput is raised, or is what `done` is told.
        """

    def counts(self) -> UpstreamCounts:
        """See UpstreamCounts; any thread may call it."""

    def watch(self, changed: Callable[[str], None]) -> None:
        """From now on `changed` is told, from any thread, why the model cannot answer; "" once it can."""


def concurrent(model: LoadedModel) -> ConcurrentModel | None:
    """`model` as one that runs several batches at the same time; None for one that does not."""
    return cast(ConcurrentModel, model) if model.spec.concurrency else None


def streaming(model: LoadedModel) -> StreamingModel | None:
    """`model` as one that answers any number of times; None for one that answers once."""
    return cast(StreamingModel, model) if model.spec.decoupled else None


def sleeping(model: LoadedModel) -> SleepingModel | None:
    """`model` as one that can wait in host memory; None for one that cannot."""
    return cast(SleepingModel, model) if getattr(model, "can_sleep", False) else None


def note_of(model: LoadedModel) -> str:
    """What a model says of how it runs, one line for people: its `note`, if it has one."""
    return str(getattr(model, "note", ""))


class Runtime(Protocol):
    """An engine; made without arguments."""

    def load(
        self,
        path: Path,
        spec: ModelSpec,
        options: Mapping[str, str],
        *,
        max_batch_known: bool,
        default_max_batch_size: int,
    ) -> LoadedModel:
        """Loads the model in the folder `path`; raises LoadError.

        `spec` may lack inputs or outputs, which are then read from the file, and with them, unless
        `max_batch_known`, whether the model batches.
        """


def prepare(runtime: Runtime) -> None:
    """Has a runtime do what it does once in a process, where it has such a thing (`prepare`)."""
    once: Callable[[], None] | None = getattr(runtime, "prepare", None)
    if once is not None:
        once()


def find_runtime(reference: str) -> Runtime:
    """The runtime called "package.module:Class"; raises LoadError where there is none."""
    module, _, name = reference.partition(":")
    try:
        runtime: Runtime = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise LoadError(f"no runtime '{reference}': {one_line(error)}") from None
    return runtime


def one_line(error: BaseException, hide: str = "") -> str:
    """`error` for people: one line, at most 400 characters; of `hide` and other paths the last part."""
    text = " ".join(str(error).split())
    if hide:
        text = text.replace(hide.rstrip("/") + "/", "").replace(hide, "")
    return (_PATH.sub(r"\1", text) or type(error).__name__)[:MAX_TEXT]
