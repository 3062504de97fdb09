"""The gateway's side of a model that calls others: lines whose answers are the test's."""

from __future__ import annotations

from collections import deque

from gateway.model import CallFailed
from gateway.runtimes.calls import Answer, Question

Result = Answer | CallFailed


class FakeCall:
    """Gives its results in order, then None."""

    def __init__(self, question: Question, results: deque[Result]) -> None:
        self.question = question
        self.results = results
        self.closed = 0

    def wait(self) -> Answer | None:
        result = self.results.popleft() if self.results else None
        if isinstance(result, CallFailed):
            raise result
        return result

    async def wait_async(self) -> Answer | None:
        return self.wait()

    def close(self) -> None:
        self.closed += 1


class FakeLine:
    """Remembers what is asked; every question gets `results`."""

    def __init__(self, *results: Result) -> None:
        self.results = results
        self.calls: list[FakeCall] = []

    def ask(self, question: Question) -> FakeCall:
        self.calls.append(FakeCall(question, deque(self.results)))
        return self.calls[-1]
