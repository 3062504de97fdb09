"""Questions at the desk; whoever loads is a fake that waits for the test."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from gateway.control.messages import Answered, Ask, SetLog, SetTrace
from gateway.control.parcels import pack, unpack
from gateway.control.questions import (
    Answer,
    ChangeLog,
    ChangeTrace,
    Done,
    GetIndex,
    GetStatistics,
    IndexEntry,
    LoadModel,
    ModelFile,
    ModelIndex,
    Question,
    Refused,
    Statistics,
    UnloadModel,
)
from gateway.core.errors import InvalidInput, Reason
from gateway.core.log_settings import LogChange, LogSettings
from gateway.core.statistics import VersionStatistics
from gateway.core.trace_settings import TraceChange, TraceSettings, TraceValues
from gateway.lifecycle import desk
from gateway.lifecycle.desk import Desk
from gateway.lifecycle.loads import LoadPart
from gateway.lifecycle.observing import Observing
from tests.fakes.waiting import until

ENTRIES = tuple(IndexEntry(f"m{number}", 1, "READY") for number in range(5000))


def told(*entries: VersionStatistics) -> Statistics:
    return Statistics((msgspec.Raw(msgspec.msgpack.encode(entries)),))


class FakeLoads:
    """Remembers in which order it was called; a load waits for `let`, then fails as told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.files = 0
        self.let = asyncio.Semaphore(0)
        self.fails: Exception | None = None
        self.parts: dict[str, tuple[str, ...]] = {}

    def index(self) -> tuple[IndexEntry, ...]:
        return ENTRIES

    async def load(self, asked: LoadModel, load_part: LoadPart) -> None:
        self.calls.append(f"load {asked.name}")
        self.files += sum(len(file.content) for file in asked.files)
        await self.let.acquire()
        if self.fails:
            raise self.fails
        for part in self.parts.get(asked.name, ()):
            await load_part(part)
        self.calls.append(f"loaded {asked.name}")

    def parts_of(self, name: str) -> tuple[str, ...]:
        return self.parts.get(name, ())

    async def unload(self, name: str) -> None:
        self.calls.append(f"unload {name}")


class Office:
    """A desk, and fronts that have acted upon all when the test says so."""

    def __init__(self) -> None:
        self.loads = FakeLoads()
        self.waiting: list[Callable[[], None]] = []
        self.counted = {"m": VersionStatistics("m", 1)}
        self.told: list[object] = []
        self.observing = Observing(
            TraceSettings(), LogSettings(), lambda tell: tell(self.tell), lambda _: None
        )
        self.desk = Desk(self.loads, self.waiting.append, self.count_up, self.observing)  # type: ignore[arg-type]
        self.answers: dict[int, Answer] = {}

    def tell(self, message: object, fds: tuple[int, ...]) -> None:
        assert not fds
        self.told.append(message)

    async def count_up(self, model: str) -> list[VersionStatistics]:
        return [self.counted[model]]

    def ask(self, number: int, question: Question) -> None:
        inline, fds = pack(msgspec.msgpack.encode(question))
        self.desk.on_ask(Ask(number, inline, 5.0), fds, self._reply)

    def _reply(self, answered: Answered, fds: tuple[int, ...]) -> None:
        assert answered.number not in self.answers, "answered twice"
        data = unpack(answered.answer, fds)
        self.answers[answered.number] = msgspec.msgpack.decode(data, type=Answer)

    def synchronise(self) -> None:
        self.waiting.pop(0)()


def run(scenario: Callable[[Office], Awaitable[None]]) -> Office:
    async def main() -> Office:
        office = Office()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(office.desk.run())
            await asyncio.sleep(0)
            await scenario(office)
            task.cancel()
        return office

    before = len(os.listdir("/proc/self/fd"))
    office = asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) == before
    return office


def test_an_index_of_any_size_is_answered() -> None:
    async def scenario(office: Office) -> None:
        office.ask(1, GetIndex())
        await until(lambda: office.answers)
        assert office.answers == {1: ModelIndex(ENTRIES)}

    run(scenario)


def test_statistics_are_counted_up_when_every_front_has_told_the_newest() -> None:
    async def scenario(office: Office) -> None:
        office.ask(1, GetStatistics("m"))
        await until(lambda: office.waiting)
        office.ask(2, GetStatistics("m"))
        office.ask(3, GetIndex())
        await until(lambda: 3 in office.answers)
        assert len(office.waiting) == 1, "one at a time, however many ask"
        first = office.counted["m"]
        office.synchronise()
        await until(lambda: office.answers.get(1) == told(first) and office.waiting)
        assert 2 not in office.answers, "what the first heard may be older than the second question"
        second = office.counted["m"] = VersionStatistics("m", 1, 5)
        office.synchronise()
        await until(lambda: office.answers.get(2) == told(second))

    run(scenario)


def test_a_change_is_done_when_every_front_knows() -> None:
    async def scenario(office: Office) -> None:
        office.ask(1, UnloadModel("m"))
        await until(lambda: office.waiting)
        assert office.answers == {}
        office.synchronise()
        await until(lambda: office.answers == {1: Done()})
        office.ask(2, LoadModel("m", "{}", (ModelFile("1/x", bytes(1 << 20)),)))
        office.loads.let.release()
        await until(lambda: office.waiting)
        office.synchronise()
        await until(lambda: office.answers == {1: Done(), 2: Done()})
        assert office.loads.files == 1 << 20

    run(scenario)


def test_changes_of_one_model_are_one_after_the_other_and_of_two_are_not() -> None:
    async def scenario(office: Office) -> None:
        office.ask(1, LoadModel("a"))
        office.ask(2, UnloadModel("a"))
        office.ask(3, LoadModel("a"))
        office.ask(4, UnloadModel("b"))
        office.ask(5, GetIndex())
        await until(lambda: 5 in office.answers and office.waiting)
        assert office.loads.calls == ["load a", "unload b"]
        office.synchronise()
        office.loads.let.release()
        for _ in range(2):
            await until(lambda: office.waiting)
            office.synchronise()
        office.loads.let.release()
        await until(lambda: office.waiting)
        office.synchronise()
        await until(lambda: len(office.answers) == 5)
        assert [call for call in office.loads.calls if call.endswith("a")] == [
            *("load a", "loaded a", "unload a", "load a", "loaded a"),
        ]
        assert len(office.desk._turns) == 0

    run(scenario)


def test_a_refusal_and_a_bug_cost_one_answer_each() -> None:
    async def scenario(office: Office) -> None:
        office.loads.fails = InvalidInput("no good")
        office.ask(1, LoadModel("m"))
        office.loads.let.release()
        await until(lambda: 1 in office.answers)
        office.loads.fails = ZeroDivisionError("a bug")
        office.ask(2, LoadModel("m"))
        office.loads.let.release()
        await until(lambda: 2 in office.answers)
        office.ask(3, UnloadModel("../m"))
        office.desk.on_ask(Ask(4, b"\xc1", 5.0), (), office._reply)
        await until(lambda: len(office.answers) == 4)
        assert office.answers[1] == Refused(Reason.INVALID_INPUT, "no good")
        assert office.answers[2] == office.answers[4] == Refused(Reason.INTERNAL, "internal error")
        assert isinstance(office.answers[3], Refused)
        assert office.answers[3].reason is Reason.INVALID_INPUT

    run(scenario)


def test_a_front_that_does_not_answer_holds_up_one_change_and_not_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "SYNC_S", 0.01)

    async def scenario(office: Office) -> None:
        office.ask(1, UnloadModel("m"))
        office.ask(2, UnloadModel("m"))
        await until(lambda: len(office.answers) == 2)
        for answer in office.answers.values():
            assert isinstance(answer, Refused)
            assert answer.text == "it is done, but a front does not answer"
        office.ask(3, GetStatistics("m"))
        await until(lambda: 3 in office.answers)
        assert office.answers[3] == Refused(Reason.OVERLOADED, "a front does not answer", 1.0)

    run(scenario)


def test_an_answer_that_no_memory_can_hold_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> int:
        raise OSError(24, "Too many open files")

    async def scenario(office: Office) -> None:
        monkeypatch.setattr("os.memfd_create", no_memory)
        office.ask(1, GetIndex())
        await until(lambda: office.answers)
        assert isinstance(office.answers[1], Refused)
        assert office.answers[1].reason is Reason.OVERLOADED

    run(scenario)


def test_what_is_open_at_the_end_and_what_comes_later_is_refused() -> None:
    async def scenario(office: Office) -> None:
        office.ask(1, LoadModel("m"))
        office.ask(2, LoadModel("m"))
        await until(lambda: office.loads.calls)
        office.ask(4, LoadModel("n", "{}", (ModelFile("1/x", bytes(1 << 20)),)))  # its task never begins

    office = run(scenario)
    office.ask(3, LoadModel("m", "{}", (ModelFile("1/x", bytes(1 << 20)),)))
    assert {
        number: answer.reason for number, answer in office.answers.items() if isinstance(answer, Refused)
    } == dict.fromkeys((1, 2, 3, 4), Reason.OVERLOADED)


def test_the_models_of_an_ensemble_are_loaded_with_it_and_unloaded_where_that_is_asked_for() -> None:
    async def scenario(office: Office) -> None:
        office.loads.parts = {"e": ("a", "b")}
        for _ in range(3):
            office.loads.let.release()
        office.ask(1, LoadModel("e"))
        await until(lambda: office.waiting)
        office.synchronise()
        await until(lambda: office.answers)
        office.ask(2, UnloadModel("e"))
        await until(lambda: office.waiting)
        office.synchronise()
        office.ask(3, UnloadModel("e", unload_dependents=True))
        await until(lambda: office.waiting)
        office.synchronise()
        await until(lambda: len(office.answers) == 3)

    loads = ["load e", "load a", "loaded a", "load b", "loaded b", "loaded e"]
    assert run(scenario).loads.calls == [*loads, "unload e", "unload e", "unload a", "unload b"]


def test_settings_are_changed_when_every_front_knows() -> None:
    async def scenario(office: Office) -> None:
        office.ask(1, ChangeTrace("m", TraceChange(rate=3)))
        office.ask(2, ChangeLog(LogChange(info=False)))
        office.ask(3, ChangeTrace("", TraceChange(rate=0)))
        await until(lambda: len(office.waiting) == 2 and office.answers)
        assert [*office.answers] == [3]
        refused = office.answers[3]
        assert isinstance(refused, Refused)
        assert (refused.reason, "'trace_rate'" in refused.text) == (Reason.INVALID_INPUT, True)
        office.synchronise()
        office.synchronise()
        await until(lambda: len(office.answers) == 3)
        assert (office.answers[1], office.answers[2]) == (Done(), Done())
        assert office.told == [SetTrace("m", TraceValues(rate=3)), SetLog(LogSettings(info=False))]

    run(scenario)
