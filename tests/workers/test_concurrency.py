"""Several batches of one channel at the same time, in this process, with threads where a model has them."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from gateway.core.clock import monotonic_ns
from gateway.core.dtypes import DType
from gateway.runtimes.contract import BadInput, TimedOut, Unavailable, UpstreamFailed
from gateway.workers import frames
from gateway.workers.arena import Arena
from gateway.workers.channel import WorkerLink
from gateway.workers.concurrency import NO_LIMIT_S, Completions, failure_of
from gateway.workers.execution import Executor, ModelMisbehaved, NoRoom
from gateway.workers.frames import Failure, Kind, ProtocolViolation
from gateway.workers.plans import Signature
from gateway.workers.serving import DataChannel
from gateway.workers.transport import FrontGone, configure
from tests.fakes.concurrent_model import ConcurrentLab, answer
from tests.fakes.forked_worker import Answers, PollLoop

GENERATION = 7
SIGNATURE = Signature(((DType.FP32, (2,)),), (0,))


class Pair:
    """A link and the worker's end of it, with a model that the test plays."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.model = ConcurrentLab()
        self.is_gone = False
        self.completions = Completions()
        self.arena = Arena(1 << 26, 1 << 20)
        self.executor = Executor(self.model, self.arena)
        self.channel = DataChannel(theirs, GENERATION, self.executor, monotonic_ns, put=self.completions.put)
        self.loop, self.answers = PollLoop(), Answers()
        front_arena = Arena(1 << 26, 1 << 20)
        self.link = WorkerLink(ours, 1, GENERATION, self.model.spec, front_arena, self.loop, self.answers)

    def send(self, batch: int, value: float, limit_s: float | None = None) -> None:
        if limit_s is not None:
            self.link.limit(batch, limit_s)
        self.link.send(batch, 1, SIGNATURE, [[np.full((1, 2), value, "<f4").tobytes()]])
        while not self.channel.serve_one():
            pass

    def step(self) -> None:
        """Does what other threads have put."""
        for one in self.completions.take():
            one()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.link.close()
    if not made.is_gone:
        made.channel.close()
    made.completions.close()
    made.arena.close()


def test_batches_are_answered_as_they_end_not_as_they_came(pair: Pair) -> None:
    for batch, value in ((1, 10.0), (2, 20.0), (3, 30.0)):
        pair.send(batch, value)
    assert [one.value for one in pair.model.begun] == [10.0, 20.0, 30.0]
    for index in (2, 0, 1):
        pair.model.begun[index].done(answer(pair.model.begun[index].value))
    pair.step()
    pair.loop.run_until(lambda: len(pair.answers.replies) == 3)
    assert list(pair.answers.replies) == [3, 1, 2]
    for batch, value in ((1, 10.0), (2, 20.0), (3, 30.0)):
        ((shape, data),) = pair.answers.replies[batch]
        assert shape == (1, 2)
        assert np.frombuffer(data, "<f4").tolist() == [value, value]
        assert pair.answers.timings[batch][1] > 0


def test_a_batch_is_told_how_long_it_may_take(pair: Pair) -> None:
    pair.send(1, 1.0, limit_s=2.5)
    pair.send(2, 2.0)  # whoever says nothing has no less time because of another
    pair.send(3, 3.0, limit_s=float("inf"))
    pair.send(4, 4.0, limit_s=-1.0)
    told = [one.timeout_s for one in pair.model.begun]
    assert told == [pytest.approx(2.5), NO_LIMIT_S, NO_LIMIT_S, 0.0]


def test_a_cancel_reaches_the_batch_and_no_other(pair: Pair) -> None:
    pair.send(1, 1.0)
    pair.send(2, 2.0)
    pair.link.stop(2)
    pair.channel.serve_one()
    first, second = pair.model.begun
    assert second.was_cancelled.is_set()
    assert not first.was_cancelled.is_set()
    pair.step()
    pair.loop.run_until(lambda: pair.answers.errors)
    assert list(pair.answers.errors) == [2]


def test_why_there_is_no_answer_is_told_with_the_time_to_wait(pair: Pair) -> None:
    pair.send(1, 1.0)
    pair.model.begun[0].done(Unavailable("nobody is there", 2.5))
    pair.send(2, ConcurrentLab.REFUSED)
    pair.send(3, 3.0)
    pair.model.begun[1].done([np.zeros((1, 2), np.float64)])
    pair.step()
    pair.loop.run_until(lambda: len(pair.answers.errors) == 3)
    assert pair.answers.errors[1] == (Failure.UNAVAILABLE, "nobody is there")
    assert pair.answers.waits[1] == 2.5
    assert pair.answers.errors[2] == (Failure.BAD_INPUT, "not this one")
    assert pair.answers.errors[3][0] is Failure.UPSTREAM_FAILED
    assert pair.answers.waits[3] == 0.0


def test_what_ends_after_its_front_has_gone_is_dropped(pair: Pair) -> None:
    pair.send(1, 1.0)
    pair.channel.close()
    pair.is_gone = True
    assert pair.model.begun[0].was_cancelled.is_set()
    pair.model.begun[0].done(answer(1.0))
    pair.step()


def test_a_front_that_has_gone_is_noticed_by_the_answer(pair: Pair) -> None:
    pair.send(1, 1.0)
    pair.link.close()
    pair.model.begun[0].done(answer(1.0))
    with pytest.raises(FrontGone):
        pair.step()


def test_a_front_hears_why_a_model_cannot_answer(pair: Pair) -> None:
    pair.channel.tell("it is down")
    pair.channel.tell("")
    pair.loop.run_until(lambda: len(pair.answers.troubles) == 2)
    assert pair.answers.troubles == ["it is down", ""]


def test_steps_of_many_threads_are_all_taken_once() -> None:
    completions, seen = Completions(), []
    poll = select.poll()
    poll.register(completions.fd, select.POLLIN)
    assert not poll.poll(0)
    threads = [
        threading.Thread(target=lambda: [completions.put(lambda: seen.append(1)) for _ in range(100)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert poll.poll(0)
    for step in completions.take():
        step()
    assert len(seen) == 400
    assert not poll.poll(0)
    assert completions.take() == []
    completions.close()


def test_a_step_that_comes_after_the_end_harms_nobody() -> None:
    completions = Completions()
    completions.close()
    completions.put(lambda: None)


def test_a_model_that_runs_one_batch_after_the_other_takes_no_limit() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    arena = Arena(1 << 26, 1 << 20)
    channel = DataChannel(theirs, GENERATION, Executor(ConcurrentLab(0), arena), monotonic_ns)
    configure(ours)
    ours.send(frames.pack_stream(Kind.LIMIT, GENERATION, 1, 5))
    with pytest.raises(ProtocolViolation):
        channel.serve_one()
    channel.close()
    ours.close()
    arena.close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BadInput("a"), (Failure.BAD_INPUT, "a", 0.0)),
        (Unavailable("b", 3.0), (Failure.UNAVAILABLE, "b", 3.0)),
        (TimedOut("c"), (Failure.TIMED_OUT, "c", 0.0)),
        (UpstreamFailed("d"), (Failure.UPSTREAM_FAILED, "d", 0.0)),
        (ModelMisbehaved("e"), (Failure.UPSTREAM_FAILED, "e", 0.0)),
        (NoRoom(), (Failure.NO_MEMORY, "no shared memory is left for the outputs", 0.0)),
        (ValueError("f"), (Failure.UPSTREAM_FAILED, "ValueError: f", 0.0)),
    ],
)
def test_each_error_has_its_failure(error: Exception, expected: tuple[Failure, str, float]) -> None:
    assert failure_of(error) == expected


def test_an_eventfd_is_not_inherited() -> None:
    completions = Completions()
    assert not os.get_inheritable(completions.fd)
    completions.close()
