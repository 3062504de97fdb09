"""A worker's end of one front's data channel: takes a frame, runs it, answers it."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sequence

import numpy as np

from gateway.core.clock import monotonic_s
from gateway.core.dtypes import DType
from gateway.runtimes.calls import desk_of
from gateway.runtimes.contract import (
    Array,
    BadInput,
    EngineBroken,
    ModelFailed,
    Outcome,
    StreamingModel,
    one_line,
)
from gateway.runtimes.tracebacks import Tracebacks
from gateway.workers import frames
from gateway.workers.arena import ArenaLease, Segment
from gateway.workers.call_channel import CallChannel
from gateway.workers.concurrency import Calls, Put, failure_of
from gateway.workers.execution import (
    Executor,
    LargeOutputs,
    ModelMisbehaved,
    NoRoom,
    ReplyForm,
    ServePlan,
    check_outputs,
    encode_outputs,
    packed,
    remember,
    reply_form,
)
from gateway.workers.frames import HEADER, HEADER_BYTES, Failure, Header, Kind, ProtocolViolation
from gateway.workers.segments import ForeignSegments
from gateway.workers.streaming import PartStream
from gateway.workers.transport import FrontGone, configure, receive_segment, send_frame

# A front that takes nothing for so long is stuck; the other fronts of this worker must not be.
_SEND_TIMEOUT_MS = 2000
_MAX_SEGMENTS = 4096
_MAX_SEGMENT_BYTES = 64 << 30
_U32 = (1 << 32) - 1
# A frame about a stream is its header; of a longer one this much shows that it is none.
_HEARD_BYTES = 2 * HEADER_BYTES


def _unnoticed() -> None:
    """Nobody wants to know of a stream's progress."""


def _never(step: Callable[[], None]) -> None:
    """Of a model that runs one batch after the other nothing is done later."""
    raise AssertionError("a step of no model with a concurrency")


class DataChannel:
    """Serves one front; a frame that breaks the protocol ends the channel, never the process."""

    def __init__(
        self,
        sock: socket.socket,
        generation: int,
        executor: Executor,
        now_ns: Callable[[], int],
        on_progress: Callable[[], None] = _unnoticed,
        put: Put = _never,  # has a step called by the thread that calls `serve_one`, soon
    ) -> None:
        configure(sock)
        self._sock = sock
        self._generation = generation
        self._executor = executor
        self._now_ns = now_ns
        self._on_progress = on_progress  # told while parts go out, and while the front keeps a stream waiting
        self._run_word = frames.header_word(Kind.RUN, generation)
        self._reply_word = frames.header_word(Kind.REPLY, generation)
        self._part_word = frames.header_word(Kind.PART, generation)
        self._heard = memoryview(bytearray(_HEARD_BYTES))
        self._streamed: ServePlan | None = None  # of the batch that is a stream now
        self._late = Tracebacks(f"model {executor.model.spec.key}, after its last answer", monotonic_s)
        model = executor.concurrent
        self._beside = None if model is None else Calls(model, put, self._finish)
        self._theirs = ForeignSegments(_MAX_SEGMENTS, _MAX_SEGMENT_BYTES)
        self._lent: dict[int, ArenaLease] = {}
        self._announced: set[int] = set()
        self._forgotten: list[int] = []
        self._segment_follows = False
        self._calls: CallChannel | None = None
        self._calls_follow = False  # what comes as a segment is our end of a channel for calls
        executor.arena.subscribe(self._forget)

    def serve_one(self) -> bool:
        """Takes one frame; True if it was a batch. Raises FrontGone, ProtocolViolation, EngineBroken."""
        view = self._executor.view
        try:
            if self._segment_follows:
                self._take_segment(*receive_segment(self._sock, view, self._generation))
                self._segment_follows = False
                return False
            size = self._sock.recv_into(view)
        except BlockingIOError:
            return False
        except OSError as error:
            raise FrontGone(error.strerror) from None
        if not size:
            raise FrontGone("closed")
        word, batch, total, payload, _, _, _, _, _ = HEADER.unpack_from(view)
        if word != self._run_word or total != size or not HEADER_BYTES <= payload <= size:
            self._obey(frames.unpack_header(view, size, self._generation))
            return False
        self._run(batch, self._executor.plan(total, payload))
        return True

    def close(self) -> None:
        """Must be called when the channel has ended, for whatever reason."""
        if self._beside is not None:
            self._beside.close()
        self._executor.arena.unsubscribe(self._forget)
        for lease in self._lent.values():
            lease.release()
        self._lent.clear()
        self._theirs.clear()
        self._sock.close()
        if self._calls is not None:
            self._calls.close()

    # ---- a batch --------------------------------------------------------------------------------

    def _run(self, batch: int, plan: ServePlan) -> None:
        memory = LargeOutputs(self._executor.arena)
        if self._calls is not None:
            self._calls.begin(batch)
        try:
            if self._executor.is_plain:
                self._answer(batch, plan, memory)
            else:
                self._begin(batch, plan)
        except (FrontGone, ProtocolViolation):
            raise
        except EngineBroken as error:
            self._fail(batch, Failure.FATAL, one_line(error))
            raise
        except BadInput as error:
            self._fail(batch, Failure.BAD_INPUT, one_line(error))
        except NoRoom:
            self._fail(batch, Failure.NO_MEMORY, "no shared memory is left for the outputs")
        except (ModelMisbehaved, ModelFailed) as error:
            self._fail(batch, Failure.MODEL_FAILED, one_line(error))
        except Exception as error:  # ruff: ignore[blind-except] - a model may raise anything; the batch fails
            self._fail(batch, Failure.MODEL_FAILED, f"{type(error).__name__}: {one_line(error)}")
        finally:
            memory.free()
            if self._calls is not None:
                self._calls.end()

    def _begin(self, batch: int, plan: ServePlan) -> None:
        """Runs a batch that is answered in parts, or beside others."""
        if self._beside is not None:
            self._beside.begin(batch, plan, self._executor.inputs(plan, self._theirs), self._now_ns())
        elif self._executor.streaming is not None:
            self._stream(batch, plan, self._executor.streaming)

    def _answer(self, batch: int, plan: ServePlan, memory: LargeOutputs) -> None:
        begun = self._now_ns()
        inputs = self._executor.inputs(plan, self._theirs)
        before = self._now_ns()
        results = self._executor.model.infer(inputs, plan.outputs, plan.rows, memory)
        after = self._now_ns()
        form = self._known_form(plan, results)
        if form is None:
            form, inline = self._new_form(plan, results, memory)
        else:
            inline = [result.tobytes() for result in results]
        head = HEADER.pack(
            self._reply_word,
            batch,
            form.total,
            HEADER_BYTES + len(form.table),
            after - before,
            min(before - begun, _U32),
            min(self._now_ns() - after, _U32),
            0,
            0,
        )
        pieces = [head, form.table]
        for data, pad in zip(inline, form.pads, strict=True):
            pieces.append(data)
            if pad:
                pieces.append(pad)
        self._send(b"".join(pieces))

    def _known_form(self, plan: ServePlan, results: Sequence[Array]) -> ReplyForm | None:
        """The form of the last reply with these shapes; None where anything is new or wrong."""
        if not plan.replies or len(results) != len(plan.dtypes):
            return None
        for result, dtype in zip(results, plan.dtypes, strict=True):
            if type(result) is not np.ndarray or result.dtype != dtype:
                return None
        return plan.replies.get(tuple([result.shape for result in results]))

    def _new_form(
        self, plan: ServePlan, results: Sequence[Array], memory: LargeOutputs
    ) -> tuple[ReplyForm, list[bytes]]:
        check_outputs(plan, results)
        encoded = encode_outputs(results)
        sizes = [len(data) if isinstance(data, bytes) else data.nbytes for data in encoded]
        table = frames.table_bytes([result.ndim for result in results], 0)
        fits = frames.choose_inline(sizes, HEADER_BYTES + table)
        shared = [None if fit else memory.place(data) for data, fit in zip(encoded, fits, strict=True)]
        places = [None if place is None else (place[0].number, place[1]) for place in shared]
        form = reply_form(plan, results, sizes, places)
        for place in shared:
            if place is not None:
                self._lend(place[0], memory)
        if all(fits) and all(spec.dtype is not DType.BYTES for spec in plan.specs):
            remember(plan, results, form)
        inline = [data for data, fit in zip(encoded, fits, strict=True) if fit]
        return form, [data if isinstance(data, bytes) else data.tobytes() for data in inline]

    def _lend(self, segment: Segment, memory: LargeOutputs) -> None:
        if segment.number in self._lent:  # two outputs in one array of the engine's
            return
        self._lent[segment.number] = memory.lend(segment.number)
        if segment.number not in self._announced:
            self._announced.add(segment.number)
            number, size = segment.number, segment.size
            self._send(frames.pack_control(Kind.ANNOUNCE, self._generation, number, size))
            self._send(frames.pack_control(Kind.SEGMENT, self._generation, number, size), segment.fd)

    def _fail(self, batch: int, failure: Failure, text: str) -> None:
        self._send(frames.pack_error(self._generation, batch, failure, text))

    # ---- a stream -------------------------------------------------------------------------------

    def fileno(self) -> int:
        """See streaming.Channel."""
        return self._sock.fileno()

    def _stream(self, batch: int, plan: ServePlan, model: StreamingModel) -> None:
        inputs = self._executor.inputs(plan, self._theirs)
        begun = self._now_ns()
        stream = PartStream(self, batch, self._on_progress, self._now_ns)
        self._streamed = plan
        try:
            stream.run(model, inputs, plan.outputs, plan.rows, self._late)
        finally:
            stream.close()
            self._streamed = None
            if stream.fault is not None:
                raise stream.fault
        if not stream.has_ended:
            self._send(frames.pack_stream(Kind.END, self._generation, batch, self._now_ns() - begun))

    def hear(self, batch: int) -> tuple[int, bool]:
        """See streaming.Channel. The receive buffer stays as it is: the stream's inputs lie in it."""
        granted, was_cancelled = 0, False
        while True:
            try:
                size = self._sock.recv_into(self._heard)
            except BlockingIOError:
                return granted, was_cancelled
            except OSError as error:
                raise FrontGone(error.strerror) from None
            if not size:
                raise FrontGone("closed")
            header = frames.unpack_header(self._heard, size, self._generation)
            if header.kind in {Kind.RUN, Kind.ANNOUNCE, Kind.CALLS}:
                raise ProtocolViolation(f"a {header.kind.name} frame amid a stream")
            self._obey(header)
            if header.batch == batch:
                granted += header.a if header.kind is Kind.CREDIT else 0
                was_cancelled = was_cancelled or header.kind is Kind.CANCEL

    def send_part(self, batch: int, results: Sequence[Array], *, is_last: bool) -> int:
        """See streaming.Channel; raises ModelMisbehaved, NoRoom, FrontGone."""
        plan = self._streamed
        assert plan is not None, "a stream sends nothing once it is closed"
        word = self._reply_word if is_last else self._part_word
        return frames.part_cost(self._send_results(word, batch, plan, results, 0))

    def _send_results(
        self, word: int, batch: int, plan: ServePlan, results: Sequence[Array], infer_ns: int
    ) -> int:
        """Sends a REPLY or PART; the bytes of its tensors. Raises ModelMisbehaved, NoRoom, FrontGone."""
        form = self._known_form(plan, results)
        if form is not None:
            inline = [result.tobytes() for result in results]
            self._send(packed(word, batch, form, inline, infer_ns))
            return form.tensor_bytes
        memory = LargeOutputs(self._executor.arena)
        try:
            form, inline = self._new_form(plan, results, memory)
            self._send(packed(word, batch, form, inline, infer_ns))
        finally:
            memory.free()
        return form.tensor_bytes

    # ---- batches at the same time -----------------------------------------------------------------

    def tell(self, trouble: str) -> None:
        """Tells the front why the model cannot answer now, or ("") that it can; raises FrontGone."""
        self._send(frames.pack_state(self._generation, trouble))

    def _finish(self, batch: int, plan: ServePlan, outcome: Outcome, begun_ns: int) -> None:
        """Answers a batch that ran beside others; raises FrontGone."""
        if not isinstance(outcome, Exception):
            try:
                self._send_results(self._reply_word, batch, plan, outcome, self._now_ns() - begun_ns)
                return
            except (ModelMisbehaved, NoRoom) as error:
                outcome = error
        failure, text, wait_s = failure_of(outcome)
        wait_ms = min(int(wait_s * 1000), _U32)
        self._send(frames.pack_error(self._generation, batch, failure, text, wait_ms))

    def send_fault(self, batch: int, error: Exception) -> int:
        """See streaming.Channel; raises FrontGone."""
        failure = Failure.BAD_INPUT if isinstance(error, BadInput) else Failure.MODEL_FAILED
        self._send(frames.pack_fault(self._generation, batch, failure, one_line(error)))
        return frames.part_cost(0)

    # ---- the rest -------------------------------------------------------------------------------

    def _take_segment(self, number: int, fd: int, size: int) -> None:
        if not self._calls_follow:
            self._theirs.add(number, fd, size)
            return
        self._calls_follow = False
        desk = desk_of(self._executor.model)
        if desk is None or self._calls is not None:
            os.close(fd)
            raise ProtocolViolation("a channel for calls, of a model that makes none or has one")
        self._calls = CallChannel(socket.socket(fileno=fd), self._generation, desk, self._on_progress)

    def _obey(self, header: Header) -> None:
        if header.kind in {Kind.CREDIT, Kind.CANCEL} and self._executor.streaming is not None:
            frames.check_stream(header)  # of a stream that has ended since it was sent, unless `hear` knows
            return
        if header.kind in {Kind.LIMIT, Kind.CANCEL} and self._beside is not None:
            frames.check_stream(header)
            self._beside.obey(header)
            return
        frames.check_control(header)
        match header.kind:
            case Kind.ANNOUNCE:
                self._segment_follows = True
            case Kind.CALLS:
                self._segment_follows = self._calls_follow = True
            case Kind.FORGET:
                self._theirs.forget(header.detail)
            case Kind.RELEASE:
                lease = self._lent.pop(header.detail, None)
                if lease is None:
                    raise ProtocolViolation("RELEASE of a segment that is not lent")
                lease.release()
                # At once: until it is told the front maps what was given up, and no batch may come for hours.
                self._tell_forgotten()
            case kind:
                raise ProtocolViolation(f"a {kind.name} frame from a front")

    def _forget(self, number: int) -> None:
        if number in self._announced:
            self._announced.discard(number)
            self._forgotten.append(number)

    def _tell_forgotten(self) -> None:
        while self._forgotten:
            number = self._forgotten.pop()
            self._send_now(frames.pack_control(Kind.FORGET, self._generation, number), None)

    def _send(self, frame: bytes, fd: int | None = None) -> None:
        self._tell_forgotten()
        self._send_now(frame, fd)

    def _send_now(self, frame: bytes, fd: int | None) -> None:
        for _ in range(2):
            try:
                send_frame(self._sock, frame, fd)
            except BlockingIOError:
                self._wait_until_writable()
            except OSError as error:
                raise FrontGone(error.strerror) from None
            else:
                return
        raise FrontGone("the front does not read")

    def _wait_until_writable(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLOUT)
        poll.poll(_SEND_TIMEOUT_MS)
