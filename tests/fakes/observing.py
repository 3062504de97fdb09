"""A controller as far as settings go: what a front asks to be changed is changed at once, or refused."""

from __future__ import annotations

from gateway.control.messages import SetLog, SetTrace
from gateway.control.questions import ChangeLog, ChangeTrace, Done, Question
from gateway.core.errors import GatewayError
from gateway.core.log_settings import LogSettings
from gateway.core.trace_settings import TraceSettings
from gateway.lifecycle.observing import Observing as Controlled
from gateway.pipeline.asking import Asking, Heard
from gateway.pipeline.observing import Observing

OFF = TraceSettings()


class FakeAsks:
    """Implements what `Observing` needs of `Asks`."""

    def __init__(self, trace: TraceSettings) -> None:
        self.controlled = Controlled(trace, LogSettings(), lambda tell: tell(self._send), lambda _: None)
        self.observing = Observing(self, trace, LogSettings(), "/var/traces.json")  # type: ignore[arg-type]
        self.controlled.greet(self._send)

    def ask(self, question: Question, wait_s: float, heard: Heard) -> Asking | None:
        try:
            match question:
                case ChangeTrace(model, change):
                    self.controlled.change_trace(model, change)
                case ChangeLog(change):
                    self.controlled.change_log(change)
        except GatewayError as error:
            heard(error)
            return None
        heard(Done())
        return None

    def _send(self, message: object, fds: tuple[int, ...]) -> None:
        match message:
            case SetTrace():
                self.observing.on_trace(message, fds)
            case SetLog(settings):
                self.observing.log = settings


def observing(trace: TraceSettings = OFF) -> Observing:
    """Settings that may be changed."""
    return FakeAsks(trace).observing
