"""What a model in Python needs to call other models: a question, a line to a front, and the desk between.

DESIGN: only a front can answer a call (it has the routes, the queues and the deadline), and only while
it waits for the batch in hand is there a front to ask. So the process has one desk, which the model
knows from its load on, and the line of the front whose batch runs lies on it for as long as that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, cast

from gateway.core.errors import Reason
from gateway.core.messages import NO_PARAMETERS, Parameter
from gateway.model import CallFailed
from gateway.runtimes.contract import Array, LoadedModel

# Calls of one worker under way at the same time; more are refused by both ends.
MAX_CALLS = 128

Answer = dict[str, Array]


class NotExecuting(Exception):
    """A model calls another one while it executes nothing: in its load, or from a thread left behind."""

    def __init__(self) -> None:
        super().__init__("other models can be called only while a request is executed")


class Question(NamedTuple):
    """One call; `version` 0 is the latest, a text a label; `outputs` empty asks for all.

    With `several` any number of answers may come. `timeout_us` 0 is none of its own.
    """

    model: str
    inputs: Mapping[str, Array]
    version: int | str = 0
    outputs: Sequence[str] = ()
    several: bool = False
    id: str = ""
    timeout_us: int = 0
    parameters: Mapping[str, Parameter] = NO_PARAMETERS


class Call(Protocol):
    """A question that was asked. One thread, or one event loop, takes its answers; any may close it."""

    def wait(self) -> Answer | None:
        """The next answer, None after the last; blocks until then; raises CallFailed."""

    async def wait_async(self) -> Answer | None:
        """The same on the running event loop."""

    def close(self) -> None:
        """Must be called when no more answers are wanted; may be called again."""


class Line(Protocol):
    """Where questions go while a batch runs."""

    def ask(self, question: Question) -> Call:
        """Sends a question; raises TypeError for what is none. That it cannot be sent the call tells."""


class Desk:
    """Invariant: `line` is there exactly while a batch of a front runs that answers calls."""

    def __init__(self) -> None:
        self.line: Line | None = None

    def ask(self, question: Question) -> Call:
        """See Line.ask; raises NotExecuting too."""
        line = self.line
        if line is None:
            raise NotExecuting
        return line.ask(question)


class CallingModel(Protocol):
    """What a LoadedModel that may call others offers too; None where it never does."""

    desk: Desk | None


def desk_of(model: LoadedModel) -> Desk | None:
    """The desk that `model` asks at; None for one that never calls others."""
    return cast(CallingModel, model).desk if hasattr(model, "desk") else None


def only_answer(question: Question, answer: Answer | None) -> Answer:
    """`answer`, which must be there; raises CallFailed."""
    if answer is None:
        raise CallFailed(Reason.MODEL_FAILED, f"model '{question.model}' gave no answer")
    return answer


def wait_for_one(question: Question, call: Call) -> Answer:
    """The one answer to `call`; raises CallFailed."""
    try:
        return only_answer(question, call.wait())
    finally:
        call.close()


async def wait_for_one_async(question: Question, call: Call) -> Answer:
    """The same on the running event loop."""
    try:
        return only_answer(question, await call.wait_async())
    finally:
        call.close()
