from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.bench.comparison import Comparison, Sample, Side, compare
from tests.bench.report import at_least
from tests.bench.servers import Server


class Field:
    """Two servers that answer with figures from a list, and a diary of what was done to them."""

    def __init__(self, figures: dict[str, list[float]]) -> None:
        self.diary: list[str] = []
        self._figures = {name: iter(values) for name, values in figures.items()}

    def side(self, name: str) -> Side:
        return Side(name, lambda: self._serve(name))

    def measure(self, server: Server) -> Sample:
        self.diary.append(f"measure {server.name}")
        return Sample(next(self._figures[server.name]), failures=1, requests=10, busy=0.5)

    def _serve(self, name: str) -> AbstractContextManager[Server]:
        @contextmanager
        def serve() -> Generator[Server]:
            self.diary.append(f"start {name}")
            try:
                yield Server(name, 1, 2)
            finally:
                self.diary.append(f"stop {name}")

        return serve()


def _comparison(field: Field) -> Comparison:
    return Comparison("r", "R", at_least(2), "req/s", field.side("us"), field.side("them"), field.measure)


def test_the_sides_alternate_each_on_a_fresh_server() -> None:
    field = Field({"us": [10.0, 30.0, 20.0], "them": [5.0, 10.0, 8.0]})
    said: list[str] = []
    row = compare(_comparison(field), 3, said.append)
    visit = ["start us", "measure us", "stop us", "start them", "measure them", "stop them"]
    assert field.diary == visit * 3
    assert row.figure == 20.0 / 8.0
    assert (row.failures, row.requests, len(said)) == (6, 60, 6)
    assert row.busy == 0.5
    assert not row.is_reached


def test_a_server_is_stopped_when_its_measurement_fails() -> None:
    field = Field({"us": [], "them": []})
    with pytest.raises(StopIteration):
        compare(_comparison(field), 1, lambda _: None)
    assert field.diary == ["start us", "measure us", "stop us"]
