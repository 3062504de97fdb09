"""PartStream over a channel that the test plays; threads where a model has threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from gateway.core.clock import monotonic_ns
from gateway.runtimes.contract import Responses, StreamEnded
from gateway.workers.execution import ModelMisbehaved
from gateway.workers.frames import STREAM_WINDOW_BYTES, ProtocolViolation
from gateway.workers.streaming import Channel, PartStream
from gateway.workers.transport import FrontGone

HALF = STREAM_WINDOW_BYTES // 2


class FakeChannel:
    """A channel whose parts cost half a window each; what it is told to hear is heard once."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.to_hear: list[tuple[int, bool] | Exception] = []
        self.sent: list[tuple[Any, bool]] = []
        self.refusal: Exception | None = None
        self.looks = 0

    def fileno(self) -> int:
        self.looks += 1
        return self.reader

    def say(self, *words: tuple[int, bool] | Exception) -> None:
        self.to_hear += words
        os.write(self.writer, b"x")

    def hear(self, batch: int) -> tuple[int, bool]:
        assert batch == 4
        if not self.to_hear:
            return 0, False
        word = self.to_hear.pop(0)
        os.read(self.reader, 1)
        if isinstance(word, Exception):
            raise word
        return word

    def send_part(self, batch: int, results: Sequence[Any], *, is_last: bool) -> int:
        if self.refusal is not None:
            raise self.refusal
        self.sent.append((results, is_last))
        return HALF

    def send_fault(self, batch: int, error: Exception) -> int:
        return self.send_part(batch, [error], is_last=False)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def channel() -> Iterator[FakeChannel]:
    made = FakeChannel()
    yield made
    made.close()


def begin(channel: FakeChannel, clock: Callable[[], int] = monotonic_ns) -> PartStream:
    seen: Channel = channel
    stream = PartStream(seen, 4, lambda: None, clock)
    return stream


def test_it_is_what_models_are_given(channel: FakeChannel) -> None:
    responses: Responses = begin(channel)
    responses.send([1])
    responses.send([2], is_last=True)
    assert channel.sent == [([1], False), ([2], True)]
    with pytest.raises(StreamEnded):
        responses.send([3])


def test_a_model_waits_for_a_slow_reader(channel: FakeChannel) -> None:
    stream = begin(channel)
    stream.send([1])
    stream.send([2])
    thread = threading.Thread(target=stream.send, args=([3],))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    assert len(channel.sent) == 2
    channel.say((HALF, False))
    thread.join(30)
    assert len(channel.sent) == 3


def test_an_error_waits_in_its_place_like_an_answer(channel: FakeChannel) -> None:
    stream, error = begin(channel), ValueError("x")
    stream.send([1])
    stream.fail(error)
    threading.Timer(0.1, lambda: channel.say((0, True))).start()
    with pytest.raises(StreamEnded):
        stream.fail(error)
    assert channel.sent == [([1], False), ([error], False)]


def test_waiting_is_progress(channel: FakeChannel) -> None:
    touched: list[int] = []
    stream = PartStream(channel, 4, lambda: touched.append(1), monotonic_ns)
    stream.send([1])
    stream.send([2])
    before = len(touched)
    threading.Timer(0.2, lambda: channel.say((0, True))).start()
    with pytest.raises(StreamEnded):
        stream.send([3])
    assert len(touched) > before


def test_cancelled_is_cancelled(channel: FakeChannel) -> None:
    stream = begin(channel)
    channel.say((0, True))
    assert stream.is_cancelled()
    with pytest.raises(StreamEnded):
        stream.send([1])
    assert channel.sent == []


def test_who_answers_without_a_pause_listens_once_a_millisecond(channel: FakeChannel) -> None:
    now = [1]
    stream = begin(channel, lambda: now[0])
    channel.say((STREAM_WINDOW_BYTES, False))
    stream.send([1])
    channel.say((0, True))
    now[0] += 999_999
    stream.send([2])
    now[0] += 1
    with pytest.raises(StreamEnded):
        stream.send([3])
    assert [results for results, _ in channel.sent] == [[1], [2]]


@pytest.mark.parametrize("fault", [FrontGone("closed"), ProtocolViolation("junk")])
def test_a_broken_channel_is_the_end_for_the_model_and_a_fault_for_the_worker(
    channel: FakeChannel, fault: Exception
) -> None:
    stream = begin(channel)
    channel.say(fault)
    with pytest.raises(StreamEnded):
        stream.send([1])
    assert stream.fault is fault
    assert stream.is_cancelled()


def test_a_front_that_does_not_take_a_part(channel: FakeChannel) -> None:
    stream = begin(channel)
    channel.refusal = FrontGone("the front does not read")
    with pytest.raises(StreamEnded):
        stream.send([1])
    assert stream.fault is channel.refusal


def test_what_is_wrong_with_an_answer_is_the_models(channel: FakeChannel) -> None:
    stream = begin(channel)
    channel.refusal = ModelMisbehaved("x")
    with pytest.raises(ModelMisbehaved):
        stream.send([1])
    assert stream.fault is None


def test_other_threads_answer_until_they_finish(channel: FakeChannel) -> None:
    stream = begin(channel)

    def answer() -> None:
        for value in range(4):
            stream.send([value])
        stream.finish()

    thread = threading.Thread(target=answer)
    thread.start()
    threading.Timer(0.1, lambda: channel.say((4 * HALF, False))).start()
    stream.wait_until_finished()
    stream.close()
    thread.join(30)
    assert [results for results, _ in channel.sent] == [[0], [1], [2], [3]]


def test_whoever_finished_first_is_right(channel: FakeChannel) -> None:
    stream = begin(channel)
    stream.finish(ValueError("first"))
    stream.finish()
    with pytest.raises(ValueError, match="first"):
        stream.wait_until_finished()
    stream.close()


def test_a_thread_that_goes_on_after_the_end_reaches_nobody(channel: FakeChannel) -> None:
    stream = begin(channel)
    stream.close()
    with pytest.raises(StreamEnded):
        stream.send([1])
    stream.finish()
    assert stream.is_cancelled()
    assert channel.sent == []


def test_a_model_with_threads_is_waited_for_even_where_the_front_is_gone(channel: FakeChannel) -> None:
    stream = begin(channel)
    channel.say(FrontGone("closed"))
    threading.Timer(0.2, stream.finish).start()
    stream.wait_until_finished()
    stream.close()
    assert stream.fault is not None


def test_after_the_last_answer_the_next_batch_is_neither_heard_nor_waited_for(channel: FakeChannel) -> None:
    stream = begin(channel, iter(range(0, 10**9, 10**7)).__next__)
    stream.send([1], is_last=True)
    channel.say(ProtocolViolation("a RUN frame amid a stream"))
    assert stream.is_cancelled()
    with pytest.raises(StreamEnded):
        stream.send([2])
    threading.Timer(0.1, stream.finish).start()
    stream.wait_until_finished()
    stream.close()
    assert (stream.fault, len(channel.to_hear), channel.looks) == (None, 1, 0)
