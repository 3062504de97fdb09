"""DataChannel against a hostile front, in this process: no frame may do more than end the channel."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.clock import monotonic_ns
from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.core.tensor_spec import TensorSpec
from gateway.runtimes.calls import Desk, Question
from gateway.runtimes.contract import Array, EngineBroken, LoadedModel, Responses
from gateway.workers import frames
from gateway.workers.arena import Arena
from gateway.workers.channel import WorkerLink
from gateway.workers.execution import Executor
from gateway.workers.frames import HEADER, HEADER_BYTES, Failure, Kind, ProtocolViolation, Region, Table
from gateway.workers.plans import Signature
from gateway.workers.serving import DataChannel
from gateway.workers.transport import FrontGone, configure, send_frame
from tests.fakes.forked_worker import Answers, PollLoop
from tests.fakes.lab_runtime import LabModel, LabRuntime, checksum
from tests.fakes.streaming_model import StreamingLab

GENERATION = 7
MIB = 1 << 20
ACTS = {
    "1": {"do": "raise"},
    "2": {"do": "bad_input"},
    "3": {"do": "memory_error"},
    "4": {"do": "broken"},
    "5": {"do": "wrong_count"},
    "6": {"do": "wrong_dtype"},
    "7": {"do": "wrong_shape"},
    "8": {"do": "wrong_type"},
}


def lab(path: Path) -> LabModel:
    (path / "model.lab").write_text(json.dumps({"rows": ACTS}))
    spec = ModelSpec("m", 3, "", "lab", (), ())
    return LabRuntime().load(path, spec, {}, max_batch_known=False, default_max_batch_size=8)


class Ends:
    """A channel in this process, and its front's end both as a link and as a bare socket."""

    def __init__(self, path: Path, output_bytes: int = 64 * MIB, model: LoadedModel | None = None) -> None:
        self.front, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        configure(self.front)
        self.arena = Arena(64 * MIB)
        self.executor = Executor(model or lab(path), Arena(output_bytes, 1 * MIB))
        self.progress: list[int] = []
        self.channel = DataChannel(
            theirs, GENERATION, self.executor, monotonic_ns, lambda: self.progress.append(1)
        )
        self.is_open = True

    def close(self) -> None:
        if self.is_open:
            self.channel.close()
        self.front.close()
        self.executor.arena.close()
        self.arena.close()


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    made = Ends(tmp_path)
    yield made
    made.close()


def link(ends: Ends) -> tuple[WorkerLink, PollLoop, Answers]:
    loop, answers = PollLoop(), Answers()
    made = WorkerLink(ends.front, 1, GENERATION, ends.executor.model.spec, ends.arena, loop, answers)
    return made, loop, answers


def run_one(
    ends: Ends, made: WorkerLink, loop: PollLoop, batch: int, rows: Any, outputs: tuple[int, ...]
) -> None:
    signature = Signature(((DType.FP32, (rows.shape[1],)),), outputs)
    made.send(batch, len(rows), signature, [[row.tobytes() for row in rows]])
    while not ends.channel.serve_one():
        pass
    loop.run_until(lambda: made.in_flight == 0)


def test_rows_come_back_with_their_checksums(ends: Ends) -> None:
    made, loop, answers = link(ends)
    for batch in range(4):
        rows = np.random.default_rng(batch).random((3, 5), "f4") + 100
        run_one(ends, made, loop, batch, rows, (1, 0))
        (shape, data), (_, sums) = answers.replies[batch]
        assert shape == (3, 5)
        assert data == rows.tobytes()
        assert np.frombuffer(sums, "i8").tolist() == [checksum(row, 3) for row in rows]
    assert all(all(ns >= 0 for ns in timings) for timings in answers.timings.values())


@pytest.mark.parametrize(
    ("value", "failure", "text"),
    [
        (1, Failure.MODEL_FAILED, "ValueError: a poison value"),
        (2, Failure.BAD_INPUT, "a value the caller must not send"),
        (3, Failure.MODEL_FAILED, "MemoryError: MemoryError"),
        (5, Failure.MODEL_FAILED, "the model gave 2 outputs where 1 were asked for"),
        (6, Failure.MODEL_FAILED, "output 'CHECKSUM' is float64, the model promises int64"),
        (7, Failure.MODEL_FAILED, "output 'CHECKSUM' has shape [7, 7, 7], the model promises [1, 1]"),
        (8, Failure.MODEL_FAILED, "output 'CHECKSUM' is no array"),
    ],
)
@pytest.mark.parametrize("is_warm", [False, True])
def test_a_failing_batch_is_answered_and_the_next_one_runs(
    ends: Ends, value: float, failure: Failure, text: str, is_warm: bool
) -> None:
    made, loop, answers = link(ends)
    if is_warm:
        run_one(ends, made, loop, 9, np.full((1, 4), 50, "f4"), (0,))
    run_one(ends, made, loop, 1, np.full((1, 4), value, "f4"), (0,))
    assert answers.errors[1] == (failure, text)
    run_one(ends, made, loop, 2, np.full((1, 4), 50, "f4"), (0,))
    assert 2 in answers.replies
    assert not answers.suspicions


def test_a_broken_engine_is_answered_and_raised(ends: Ends) -> None:
    made, loop, answers = link(ends)
    with pytest.raises(EngineBroken):
        run_one(ends, made, loop, 1, np.full((1, 4), 4, "f4"), (0,))
    loop.run_until(lambda: made.in_flight == 0)
    assert answers.errors[1] == (Failure.FATAL, "the device is lost")


def test_large_tensors_go_both_ways_through_memory_that_is_used_again(ends: Ends) -> None:
    made, loop, answers = link(ends)
    rows = np.random.default_rng(0).random((2, 100_000), "f4") + 100
    for batch in range(5):
        run_one(ends, made, loop, batch, rows, (1,))
        assert answers.replies[batch][0][1] == rows.tobytes()
        lease = answers.leases[batch]
        assert lease is not None
        lease.release()
        ends.channel.serve_one()
    assert ends.executor.arena.statistics().segments == 1
    assert ends.arena.statistics().segments == 1
    assert ends.arena.statistics().free_bytes == MIB


def test_outputs_that_nobody_releases_end_as_no_memory_and_come_back_with_the_front(tmp_path: Path) -> None:
    ends = Ends(tmp_path, output_bytes=2 * MIB)
    made, loop, answers = link(ends)
    rows = np.full((1, 200_000), 100, "f4")
    for batch in range(3):
        run_one(ends, made, loop, batch, rows, (1,))
    assert sorted(answers.replies) == [0, 1]
    assert answers.errors[2][0] is Failure.NO_MEMORY
    ends.channel.close()
    ends.is_open = False
    statistics = ends.executor.arena.statistics()
    assert statistics.free_bytes == statistics.total_bytes
    ends.close()


def test_segments_given_up_are_told_at_once(ends: Ends) -> None:
    made, loop, answers = link(ends)
    run_one(ends, made, loop, 1, np.full((1, 400_000), 100, "f4"), (1,))
    lease = answers.leases[1]
    assert lease is not None
    lease.release()
    ends.channel.serve_one()  # 2 MiB are more than this worker keeps
    assert ends.executor.arena.statistics().segments == 0
    assert 1 in made._theirs
    loop.turn()
    assert 1 not in made._theirs
    run_one(ends, made, loop, 2, np.full((1, 4), 100, "f4"), (1,))
    assert not answers.lost


def test_bytes_and_models_without_a_batch_axis(ends: Ends) -> None:
    class Upper:
        spec = ModelSpec(
            "m", 1, "", "", (TensorSpec("T", DType.BYTES, (-1,)),), (TensorSpec("U", DType.BYTES, (-1,)),)
        )

        def infer(self, inputs: Any, *_: Any) -> Any:
            return [np.array([one.upper() for one in inputs[0]], object)]

        def close(self) -> None:
            pass

    ends.channel.close()
    ends.front.close()
    ends.executor = Executor(Upper(), Arena(8 * MIB))
    ends.front, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ends.channel = DataChannel(theirs, GENERATION, ends.executor, monotonic_ns)
    made, loop, answers = link(ends)
    for batch, count in enumerate((2, 100_000)):
        raw = b"\2\0\0\0ab" * count
        made.send(batch, 1, Signature(((DType.BYTES, (count,)),), (0,)), [[raw]])
        while not ends.channel.serve_one():
            pass
        loop.run_until(lambda: made.in_flight == 0)
        assert answers.replies[batch] == (((count,), b"\2\0\0\0AB" * count),)


def run_frame(rows: int = 2, columns: int = 3) -> bytes:
    payload = HEADER_BYTES + frames.table_bytes([2], 1)
    size = 4 * rows * columns
    region = Region(0, DType.FP32, (rows, columns), 0, payload, size)
    word = frames.header_word(Kind.RUN, GENERATION)
    header = HEADER.pack(word, 1, payload + size, payload, 0, 0, 0, 0, 0)
    return (
        header + frames.pack_table(Table(rows, (region,), (0,))) + np.full(rows * columns, 50, "f4").tobytes()
    )


@pytest.mark.parametrize(
    "frame",
    [
        b"x",
        run_frame()[:-1],
        run_frame() + b"x",
        run_frame(rows=9),
        frames.pack_control(Kind.RELEASE, GENERATION, 1),
        frames.pack_control(Kind.FORGET, GENERATION, 1),
        frames.pack_control(Kind.SEGMENT, GENERATION, 1),
        frames.pack_control(Kind.ANNOUNCE, GENERATION + 1, 1),
        frames.pack_error(GENERATION, 1, Failure.FATAL, ""),
    ],
)
def test_a_frame_against_the_protocol_is_a_violation(ends: Ends, frame: bytes) -> None:
    ends.front.send(frame)
    with pytest.raises(ProtocolViolation):
        ends.channel.serve_one()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_frame_is_a_violation_or_a_batch(ends: Ends, data: st.DataObject) -> None:
    frame = bytearray(run_frame())
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    ends.front.send(bytes(frame))
    try:
        is_batch = ends.channel.serve_one()
        if is_batch:
            ends.front.recv(1 << 17)
        elif frames.unpack_header(frame, len(frame), GENERATION).kind is Kind.ANNOUNCE:
            raise AssertionError("a RUN of that length cannot become an ANNOUNCE")
    except (ProtocolViolation, EngineBroken):
        return


def test_a_front_that_is_gone_or_does_not_read(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.workers.serving._SEND_TIMEOUT_MS", 1)

    def fill() -> None:
        while True:
            ends.front.send(run_frame())
            ends.channel.serve_one()

    with pytest.raises(FrontGone, match="does not read"):
        fill()
    ends.front.close()
    with pytest.raises(FrontGone):
        ends.channel.serve_one()


def test_specs_travel_unchanged(ends: Ends) -> None:
    spec = ends.executor.model.spec
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=ModelSpec) == spec


# ---- streams ------------------------------------------------------------------------------------


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Ends]:
    made = Ends(tmp_path, model=StreamingLab())
    yield made
    made.close()


def begin(ends: Ends, *values: float, batch: int = 1) -> tuple[WorkerLink, PollLoop, Answers]:
    """A stream whose model does what `values` say; see StreamingLab."""
    made, loop, answers = link(ends)
    signature = Signature(((DType.FP32, (len(values),)),), (0,))
    made.send(batch, 1, signature, [[np.array(values, "<f4").tobytes()]])
    return made, loop, answers


def first_values(answers: Answers, batch: int = 1) -> list[float]:
    return [float(np.frombuffer(outputs[0][1], "<f4")[0]) for outputs in answers.parts.get(batch, [])]


def test_parts_and_an_end_come_out(streams: Ends) -> None:
    made, loop, answers = begin(streams, 1, 2, 3)
    assert streams.channel.serve_one()
    loop.run_until(lambda: made.in_flight == 0)
    assert (first_values(answers), answers.ends.keys()) == ([1, 2, 3], {1})
    assert streams.progress


def test_the_last_may_be_a_reply(streams: Ends) -> None:
    made, loop, answers = begin(streams, 1, StreamingLab.LAST)
    streams.channel.serve_one()
    loop.run_until(lambda: made.in_flight == 0)
    assert (first_values(answers), list(answers.replies), answers.ends) == ([1], [1], {})


@pytest.mark.parametrize(
    ("value", "text"),
    [(StreamingLab.RAISE, "ValueError: no more"), (StreamingLab.FINISH_WITH_ERROR, "said by another thread")],
)
def test_what_is_raised_after_the_last_answer_is_only_logged(
    streams: Ends, capsys: pytest.CaptureFixture[str], value: float, text: str
) -> None:
    made, loop, answers = begin(streams, StreamingLab.LAST, value)
    streams.channel.serve_one()
    loop.run_until(lambda: made.in_flight == 0)
    log = capsys.readouterr().err
    assert "model lab/1, after its last answer: an exception" in log
    assert text in log
    made.send(2, 1, Signature(((DType.FP32, (1,)),), (0,)), [[np.array([7], "<f4").tobytes()]])
    streams.channel.serve_one()
    loop.run_until(lambda: made.in_flight == 0)
    assert (list(answers.replies), first_values(answers, 2), answers.errors) == ([1], [7], {})


def test_but_an_engine_that_breaks_then_still_ends_the_worker(streams: Ends) -> None:
    begin(streams, StreamingLab.LAST, StreamingLab.BREAK)
    with pytest.raises(EngineBroken):
        streams.channel.serve_one()


class Lingering(StreamingLab):
    """Does `next` once it has answered all, and then what models do that have not looked for long."""

    def __init__(self) -> None:
        super().__init__()
        self.next: Callable[[], None] = lambda: None

    def stream(
        self, inputs: Sequence[Array], outputs: Sequence[int], rows: int, responses: Responses
    ) -> None:
        super().stream(inputs, outputs, rows, responses)
        self.next()
        self.was_ended = responses.is_cancelled()


def test_a_batch_that_comes_after_the_last_answer_waits_for_the_model(tmp_path: Path) -> None:
    model = Lingering()
    ends = Ends(tmp_path, model=model)
    made, loop, answers = begin(ends, StreamingLab.LAST)
    signature = Signature(((DType.FP32, (1,)),), (0,))
    model.next = lambda: made.send(2, 1, signature, [[np.array([7], "<f4").tobytes()]])
    ends.channel.serve_one()
    assert model.was_ended
    model.next = lambda: None
    ends.channel.serve_one()
    loop.run_until(lambda: made.in_flight == 0)
    assert (list(answers.replies), first_values(answers, 2), answers.errors) == ([1], [7], {})
    ends.close()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (StreamingLab.RAISE, "ValueError: no more"),
        (StreamingLab.LIE, "output 'Y' is float64, the model promises float32"),
        (StreamingLab.FINISH_WITH_ERROR, "said by another thread"),
    ],
)
def test_an_error_ends_a_stream_and_the_next_one_runs(streams: Ends, value: float, text: str) -> None:
    made, loop, answers = begin(streams, 1, value, 2)
    streams.channel.serve_one()
    loop.run_until(lambda: made.in_flight == 0)
    assert (first_values(answers), answers.errors[1]) == ([1], (Failure.MODEL_FAILED, text))
    made.send(2, 1, Signature(((DType.FP32, (1,)),), (0,)), [[np.array([7], "<f4").tobytes()]])
    streams.channel.serve_one()
    loop.run_until(lambda: made.in_flight == 0)
    assert first_values(answers, 2) == [7]


def test_an_error_in_place_of_an_answer_ends_nothing(streams: Ends) -> None:
    made, loop, answers = begin(streams, 1, StreamingLab.BLAME, StreamingLab.FAIL, 2)
    streams.channel.serve_one()
    loop.run_until(lambda: made.in_flight == 0)
    _, blamed, failed, _ = answers.parts[1]
    assert (blamed, failed) == ((Failure.BAD_INPUT, "not that"), (Failure.MODEL_FAILED, "not now"))
    assert (answers.errors, answers.ends.keys()) == ({}, {1})


def test_large_parts_go_through_shared_memory(streams: Ends) -> None:
    made, loop, answers = begin(streams, StreamingLab.LARGE)
    streams.channel.serve_one()
    loop.run_until(lambda: made.in_flight == 0)
    (((shape, data),),) = answers.parts[1]
    assert (shape, len(data)) == ((1, MIB), 4 * MIB)
    lease = answers.leases[1]
    assert lease is not None
    lease.release()


def test_a_cancelled_stream_ends_and_its_model_knows(streams: Ends) -> None:
    made, loop, answers = begin(streams, *range(1, 9))
    made.stop(1)
    streams.channel.serve_one()
    loop.run_until(lambda: made.in_flight == 0)
    model = streams.executor.model
    assert isinstance(model, StreamingLab)
    assert (first_values(answers), answers.ends.keys(), model.was_ended) == ([], {1}, True)


def test_words_about_a_stream_that_is_over_are_late_not_wrong(streams: Ends) -> None:
    begin(streams, 1)
    streams.channel.serve_one()
    for kind in (Kind.CREDIT, Kind.CANCEL):
        streams.front.send(frames.pack_stream(kind, GENERATION, 1, 5))
        assert not streams.channel.serve_one()


def test_but_of_a_model_that_has_none_they_are_wrong(ends: Ends) -> None:
    ends.front.send(frames.pack_stream(Kind.CREDIT, GENERATION, 1, 5))
    with pytest.raises(ProtocolViolation):
        ends.channel.serve_one()


@pytest.mark.parametrize(
    "frame",
    [
        b"junk",
        frames.pack_stream(Kind.END, GENERATION, 1),
        frames.pack_control(Kind.ANNOUNCE, GENERATION, 1, 4096),
        frames.pack_control(Kind.CALLS, GENERATION, 1),
        frames.pack_stream(Kind.CREDIT, GENERATION + 1, 1, 5),
        bytes(100_000),
    ],
)
def test_what_may_not_come_amid_a_stream_ends_the_channel(streams: Ends, frame: bytes) -> None:
    begin(streams, *range(1, 9))
    streams.front.send(frame)
    with pytest.raises(ProtocolViolation):
        streams.channel.serve_one()


def test_a_front_that_goes_amid_a_stream(streams: Ends) -> None:
    begin(streams, *range(1, 9))
    streams.front.close()
    with pytest.raises(FrontGone):
        streams.channel.serve_one()


# ---- calls --------------------------------------------------------------------------------------


class Asking:
    """Asks another model of each batch, and waits for nothing."""

    def __init__(self) -> None:
        self.desk = Desk()
        x = TensorSpec("X", DType.FP32, (1,))
        self.spec = ModelSpec("asking", 1, "", "", (x,), (x,))

    def infer(self, inputs: Any, outputs: Any, rows: int, memory: Any) -> Any:
        self.desk.ask(Question("other", {"X": inputs[0]}))
        return [inputs[0]]

    def close(self) -> None:
        """Nothing is held."""


def offer_calls(ends: Ends) -> socket.socket:
    """The front's end of a channel for calls, the other one sent."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(5)
    with theirs:
        ends.front.send(frames.pack_control(Kind.CALLS, GENERATION, 1))
        send_frame(ends.front, frames.pack_control(Kind.SEGMENT, GENERATION, 1), theirs.fileno())
    return ours


def test_a_model_asks_over_the_channel_of_the_front_whose_batch_runs(tmp_path: Path) -> None:
    model = Asking()
    ends = Ends(tmp_path, model=model)
    with offer_calls(ends) as calls:
        assert [ends.channel.serve_one() for _ in range(2)] == [False, False]
        made, loop, answers = link(ends)
        made.send(9, 1, Signature(((DType.FP32, (1,)),), (0,)), ((np.ones(1, "<f4").tobytes(),),))
        assert ends.channel.serve_one()
        assert model.desk.line is None
        loop.run_until(lambda: answers.replies)
        kinds = [frames.unpack_header(frame := calls.recv(1 << 17), len(frame), GENERATION) for _ in range(2)]
        assert [header.kind for header in kinds] == [Kind.CALL, Kind.CANCEL]
        made.close()
        ends.close()
        assert calls.recv(1) == b""


def test_a_channel_for_calls_comes_once_and_to_those_who_call(ends: Ends, tmp_path: Path) -> None:
    with offer_calls(ends):
        ends.channel.serve_one()
        with pytest.raises(ProtocolViolation, match="a channel for calls"):
            ends.channel.serve_one()
    asking = Ends(tmp_path, model=Asking())
    with offer_calls(asking), offer_calls(asking):
        assert [asking.channel.serve_one() for _ in range(3)] == [False, False, False]
        with pytest.raises(ProtocolViolation, match="a channel for calls"):
            asking.channel.serve_one()
    asking.close()
