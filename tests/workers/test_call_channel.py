"""CallChannel against the front's end, and against a front that breaks the protocol."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.errors import ModelNotFound, Reason
from gateway.core.tensor import Tensor
from gateway.model import CallFailed
from gateway.runtimes.calls import MAX_CALLS, NotExecuting, Question
from gateway.workers import frames
from gateway.workers.call_frames import Asked
from gateway.workers.frames import MAX_FRAME_BYTES, STREAM_WINDOW_BYTES, Kind
from tests.fakes.call_ends import GENERATION, MIB, WorkerEnds

X = np.arange(3, dtype=np.float32)
LARGE = np.arange(MIB, dtype=np.float32)


@pytest.fixture
def ends() -> Iterator[WorkerEnds]:
    made = WorkerEnds()
    yield made
    made.close()


def tensor(array: np.ndarray, name: str = "Y") -> Tensor:
    return Tensor(name, DType.FP32, array.shape, array.tobytes())


def test_a_question_and_its_answer(ends: WorkerEnds) -> None:
    question = Question("m", {"X": X}, "stable", ("Y",), False, "id", 5, {"a": 1})
    call = ends.desk.ask(question)
    ((number, (asked, inputs)),) = ends.turn().calls.items()
    assert asked == Asked(1, "m", "stable", ("X",), ("Y",), False, "id", 5, {"a": 1})
    assert inputs == (tensor(X, "X"),)
    ends.link.answer(number, (tensor(X * 2), Tensor("T", DType.BYTES, (1,), b"\1\0\0\0a")), is_last=True)
    answer = call.wait()
    assert answer is not None
    assert answer["Y"].tolist() == [0, 2, 4]
    assert answer["T"].tolist() == [b"a"]
    answer["Y"][:] = 1
    assert call.wait() is None
    call.close()
    ends.loop.turn()
    assert ends.callee.cancelled == []


def test_large_arrays_go_both_ways_and_their_memory_comes_back(ends: WorkerEnds) -> None:
    for _ in range(3):
        call = ends.desk.ask(Question("m", {"X": LARGE}))
        number = max(ends.turn().calls)
        assert ends.callee.calls[number][1][0].data == LARGE.tobytes()
        ends.link.answer(number, (tensor(LARGE + 1),), is_last=True)
        answer = call.wait()
        assert answer is not None
        assert (answer["Y"] == LARGE + 1).all()
        ends.turn()
        assert ends.arena.statistics().total_bytes == ends.arena.statistics().free_bytes
    assert not ends.broken


def test_a_refusal_is_raised(ends: WorkerEnds) -> None:
    call = ends.desk.ask(Question("m", {}))
    ends.turn()
    ends.link.refuse(1, ModelNotFound("who?"))
    for _ in range(2):
        with pytest.raises(CallFailed, match="who") as failed:
            call.wait()
        assert failed.value.reason is Reason.NOT_FOUND


def test_answers_are_taken_in_order_and_granted_anew(ends: WorkerEnds) -> None:
    call = ends.desk.ask(Question("m", {}, several=True))
    ends.turn()
    part = np.zeros(STREAM_WINDOW_BYTES // 16, np.float32)
    for index in range(4):
        ends.link.answer(1, (tensor(part + index),), is_last=False)
    assert [call.wait()["Y"][0] for _ in range(3)] == [0, 1, 2]
    assert sum(size for _, size in ends.turn().taken) == 3 * frames.part_cost(part.nbytes)
    ends.link.end(1)
    assert [call.wait()["Y"][0], call.wait()] == [3, None]


def test_what_is_not_wanted_is_cancelled_and_late_answers_are_dropped(ends: WorkerEnds) -> None:
    call = ends.desk.ask(Question("m", {}))
    ends.turn()
    call.close()
    call.close()
    ends.link.answer(1, (tensor(LARGE),), is_last=True)
    with pytest.raises(CallFailed, match="has ended"):
        call.wait()
    other = ends.desk.ask(Question("m", {}))
    ends.turn()
    ends.link.answer(2, (), is_last=True)
    assert other.wait() == {}
    ends.turn()
    assert ends.arena.statistics().total_bytes == ends.arena.statistics().free_bytes
    assert not ends.broken


def test_the_end_of_the_batch_ends_its_calls(ends: WorkerEnds) -> None:
    call, line = ends.desk.ask(Question("m", {})), ends.desk.line
    assert line is not None
    ends.turn()
    ends.channel.end()
    for late in (call, line.ask(Question("m", {}))):
        with pytest.raises(CallFailed, match="the request whose execution made this call has ended"):
            late.wait()
    with pytest.raises(NotExecuting):
        ends.desk.ask(Question("m", {}))
    assert ends.turn().cancelled == [1]
    assert len(ends.callee.calls) == 1


def test_too_many_calls_are_refused_here(ends: WorkerEnds) -> None:
    calls = [ends.desk.ask(Question("m", {})) for _ in range(8)]
    for _ in range(MAX_CALLS - 8):
        ends.loop.turn()
        calls.append(ends.desk.ask(Question("m", {})))
    with pytest.raises(CallFailed, match=f"{MAX_CALLS} calls are under way already"):
        ends.desk.ask(Question("m", {})).wait()
    ends.loop.run_until(lambda: len(ends.callee.calls) == MAX_CALLS)
    ends.link.end(1)
    assert calls[0].wait() is None
    ends.desk.ask(Question("m", {}))
    assert not ends.broken


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (Question("m", {}, 1 << 70), "cannot be sent"),
        (Question("m" * MAX_FRAME_BYTES, {}), "too much for one call"),
        (Question("\ud800", {}), "cannot be sent"),
        (Question("m", {str(index): X for index in range(512)}), "512 tensors"),
        (Question(None, {}), r"cannot be sent: .*`str`, got `None` - at `\$.model`"),
        (Question("m", {}, 1.5), r"got `float` - at `\$.version`"),
        (Question("m", {}, outputs=(1,)), r"`str`, got `int` - at `\$.outputs\[0\]`"),
        (Question("m", {}, id=7), r"`str`, got `int` - at `\$.id`"),
        (Question("m", {}, parameters={"a": None}), r"got `None` - at `\$.parameters\[...\]`"),
        (Question("m", {}, parameters={1: "a"}), r"at `key` in `\$.parameters`"),
        (Question("m", {}, parameters={"a": X[0]}), "cannot be sent: .*numpy.float32"),
        (Question("m", {"X": np.zeros((1,) * 33)}), "cannot be sent: input 'X' has rank 33, the most is 32"),
    ],
)
def test_what_cannot_be_sent_fails(ends: WorkerEnds, question: Question, text: str) -> None:
    with pytest.raises(CallFailed, match=text):
        ends.desk.ask(question).wait()
    with pytest.raises(TypeError, match="must be a numpy array"):
        ends.desk.ask(Question("m", {"X": 1}))
    sent = ends.desk.ask(Question("m", {"X": np.zeros((1,) * 32)}))
    ((number, (_, (x,))),) = ends.turn().calls.items()
    ends.link.end(number)
    assert (sent.wait(), len(x.shape), ends.broken) == (None, 32, [])


@pytest.mark.parametrize(
    "lie",
    [b"", b"nonsense", frames.pack_control(Kind.RELEASE, GENERATION, 5), frames.pack_stream(Kind.CALL, 7, 1)],
)
def test_a_front_that_goes_or_lies_fails_every_call(ends: WorkerEnds, lie: bytes) -> None:
    call = ends.desk.ask(Question("m", {}))
    ends.turn()
    if lie:
        ends.link._sock.send(lie)
    else:
        ends.link.close()
    with pytest.raises(CallFailed, match="the front that would answer this call has gone"):
        call.wait()
    with pytest.raises(CallFailed, match="has gone"):
        ends.desk.ask(Question("m", {})).wait()


def test_a_malformed_answer_fails_the_call_it_was_for(ends: WorkerEnds) -> None:
    call = ends.desk.ask(Question("m", {}))
    ends.turn()
    ends.link.answer(1, (Tensor("T", DType.BYTES, (1,), b"\5\0\0\0"),), is_last=True)
    with pytest.raises(CallFailed, match="has gone"):
        call.wait()


# ---- who waits -----------------------------------------------------------------------------------


class Serving:
    """The front's end, turned by a thread: every call is answered by its input, after `together` came."""

    def __init__(self, ends: WorkerEnds, together: int = 1) -> None:
        self.ends = ends
        self.together = together
        self.answered = 0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> Serving:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()

    def run(self) -> None:
        while not self.is_over.is_set():
            self.ends.loop.turn(0.01)
            calls = self.ends.callee.calls
            if len(calls) - self.answered >= self.together:
                for number in range(len(calls), self.answered, -1):
                    self.ends.link.answer(number, calls[number][1], is_last=True)
                self.answered = len(calls)


def ask(ends: WorkerEnds, value: int) -> int:
    answer = ends.desk.ask(Question("m", {"X": np.array([value])})).wait()
    assert answer is not None
    return int(answer["X"][0])


async def ask_later(ends: WorkerEnds, value: int) -> int:
    answer = await ends.desk.ask(Question("m", {"X": np.array([value])})).wait_async()
    assert answer is not None
    return int(answer["X"][0])


def test_threads_wait_for_one_another(ends: WorkerEnds) -> None:
    with Serving(ends, 4), ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda value: ask(ends, value), range(20))) == list(range(20))
    assert ends.progress


def test_coroutines_wait_together(ends: WorkerEnds) -> None:
    async def gathered() -> list[int]:
        return list(await asyncio.gather(*[ask_later(ends, value) for value in range(20)]))

    with Serving(ends, 20):
        assert asyncio.run(gathered()) == list(range(20))


def test_threads_and_event_loops_wait_side_by_side(ends: WorkerEnds) -> None:
    async def gathered() -> list[int]:
        return list(await asyncio.gather(*[ask_later(ends, value) for value in range(2)]))

    with Serving(ends, 6), ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            loops = [threads.submit(asyncio.run, gathered()) for _ in range(2)]
            alone = [threads.submit(ask, ends, 7) for _ in range(2)]
            assert [one.result(10) for one in loops] == [[0, 1]] * 2
            assert [one.result(10) for one in alone] == [7, 7]


def test_a_coroutine_that_is_cancelled_leaves_nothing(ends: WorkerEnds) -> None:
    async def cancelled() -> None:
        call = ends.desk.ask(Question("m", {}))
        waiting = asyncio.ensure_future(call.wait_async())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        call.close()

    asyncio.run(cancelled())
    assert ends.turn().cancelled == [1]


def test_a_coroutine_hears_that_the_front_has_gone(ends: WorkerEnds) -> None:
    async def lost() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.01, ends.link.close)
        await ends.desk.ask(Question("m", {})).wait_async()

    with pytest.raises(CallFailed, match="has gone"):
        asyncio.run(lost())


def test_a_loop_left_behind_is_told_of_the_end(ends: WorkerEnds) -> None:
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(ends.desk.ask(Question("m", {})).wait_async())
    loop.run_until_complete(asyncio.sleep(0))
    ends.channel.end()
    ends.channel.close()
    with pytest.raises(CallFailed, match="has ended"):
        loop.run_until_complete(waiting)
    loop.close()


def test_a_full_socket_is_waited_for(ends: WorkerEnds) -> None:
    """Both sides send more than the socket holds: neither waits for the other for ever."""
    data = np.zeros(30_000, np.float32)
    with Serving(ends, MAX_CALLS):
        calls = [ends.desk.ask(Question("m", {"X": data})) for _ in range(MAX_CALLS)]
        assert all(call.wait() is not None for call in calls)
