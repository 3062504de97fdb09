"""What this front asks of the controller: few questions at a time, each with an end."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import msgspec

from gateway.control.messages import Answered, Ask
from gateway.control.parcels import pack, unpack
from gateway.control.questions import Answer, Question, Refused, as_error
from gateway.core.clock import Clock
from gateway.core.errors import DeadlineExceeded, GatewayError, Overloaded

# People and deploy scripts ask, not traffic.
MAX_ASKS = 64

Heard = Callable[[Answer | GatewayError], None]


# The way to the controller; takes the descriptors over.
SendAsk = Callable[[Ask, tuple[int, ...]], None]


class Asking:
    """One question under way; implements `Ticket`."""

    __slots__ = ("deadline", "heard", "is_open")

    def __init__(self, heard: Heard, deadline: float) -> None:
        self.heard = heard
        self.deadline = deadline
        self.is_open = True

    def cancel(self) -> None:
        """The caller has gone: `heard` is not called any more; what was asked for is done all the same."""
        self.is_open = False


class Asks:
    """Owns the questions of one front. Invariant: each is heard once, or was cancelled.

    A cancelled question keeps its place until its answer or its deadline: the controller still works
    on it, and places are what bounds that work.
    """

    def __init__(self, send: SendAsk, clock: Clock, limit: int = MAX_ASKS) -> None:
        self._send = send
        self._clock = clock
        self._limit = limit
        self._asks: dict[int, Asking] = {}
        self._numbers = count(1)
        self._is_lost = False
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode: Callable[[bytes], Answer] = msgspec.msgpack.Decoder(Answer).decode

    def __len__(self) -> int:
        return len(self._asks)

    def ask(self, question: Question, wait_s: float, heard: Heard) -> Asking | None:
        """Calls `heard` once, at the latest after `wait_s`; None where that was before returning."""
        if self._is_lost:
            heard(_lost())
            return None
        if len(self._asks) >= self._limit:
            heard(Overloaded("too many questions for the controller are under way", retry_after_s=1.0))
            return None
        number = next(self._numbers)
        try:
            inline, fds = pack(self._encode(question))
        except OSError as error:
            heard(Overloaded(f"there is no memory for what came with the request: {error.strerror}"))
            return None
        asking = self._asks[number] = Asking(heard, self._clock() + wait_s)
        self._send(Ask(number, inline, wait_s), fds)
        return asking

    def on_answer(self, message: Answered, fds: tuple[int, ...]) -> None:
        """Hands an answer to whoever asked; one that comes too late is dropped. Owns `fds`."""
        data = unpack(message.answer, fds)
        asking = self._asks.pop(message.number, None)
        if asking is None or not asking.is_open:
            return
        answer = self._decode(data)
        asking.heard(as_error(answer) if isinstance(answer, Refused) else answer)

    def sweep(self, now: float) -> None:
        """Must be called now and then: fails what has waited too long."""
        for number in [number for number, asking in self._asks.items() if asking.deadline <= now]:
            self._fail(
                number, DeadlineExceeded("the controller has not answered in time; it may still do it")
            )

    def lose(self) -> None:
        """The controller is gone: what was asked fails, and so does what will be."""
        self._is_lost = True
        for number in tuple(self._asks):
            self._fail(number, _lost())

    def _fail(self, number: int, error: GatewayError) -> None:
        asking = self._asks.pop(number)
        if asking.is_open:
            asking.heard(error)


def _lost() -> Overloaded:
    return Overloaded("the gateway is ending: its controller does not answer", retry_after_s=1.0)
