"""A front's end of the data channel to one worker: batches out, checked replies in.

DESIGN: no tasks and no futures. A send is a dictionary look-up, a join and a system call; a reply is a
system call, one unpack, one look-up of its table among those already checked, and a call of the
listener. The worker is not trusted: see `plans.RunPlan.accept` for what is checked, and how only once.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from functools import partial

from gateway.core.errors import InstanceDied, InvalidInput
from gateway.core.messages import Lease
from gateway.core.model import ModelSpec
from gateway.core.tensor import Buffer, count_bytes_elements
from gateway.workers import frames
from gateway.workers.arena import Arena
from gateway.workers.frames import (
    BATCH,
    HEADER,
    HEADER_BYTES,
    MAX_FRAME_BYTES,
    STREAM_WINDOW_BYTES,
    Failure,
    Kind,
    ProtocolViolation,
)
from gateway.workers.links import CallEnd, Fault, LinkListener, Output, Timings
from gateway.workers.plans import Misfit, RunPlan, Signature, Slice, check_sizes, size_of
from gateway.workers.segments import ForeignSegments
from gateway.workers.sharing import Shared
from gateway.workers.transport import Loop, Outbox, configure, receive_segment

_FRAMES_PER_WAKE = 16
_MAX_PLANS = 512
_MAX_REPLY_SEGMENTS = 64
_MAX_REPLY_BYTES = 4 << 30
# What "no deadline" comes to.
MAX_LIMIT_S = 86_400.0


class ReplyLease:
    """Holds the worker's memory that a reply's outputs lie in; the worker reuses it after `release`."""

    __slots__ = ("_give_back", "_holds")

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._holds = 1

    def hold(self) -> None:
        """Must be paired with one `release`."""
        if self._holds <= 0:
            raise ValueError("hold of memory that was given back")
        self._holds += 1

    def release(self) -> None:
        """Gives one hold back."""
        if self._holds <= 0:
            raise ValueError("release of memory that was given back")
        self._holds -= 1
        if self._holds == 0:
            self._give_back()


class WorkerLink:
    """Implements links.Link. Invariant: every batch sent is in `_flights` until its one answer was given."""

    def __init__(
        self,
        sock: socket.socket,
        worker_id: int,
        generation: int,
        spec: ModelSpec,
        arena: Arena,
        loop: Loop,
        listener: LinkListener,
    ) -> None:
        configure(sock)
        self.worker_id = worker_id
        self._sock = sock
        self._generation = generation
        self._spec = spec
        self._arena = arena
        self._loop = loop
        self._listener = listener
        self._run_word = BATCH.pack(frames.header_word(Kind.RUN, generation))
        self._reply_word = frames.header_word(Kind.REPLY, generation)
        self._part_word = frames.header_word(Kind.PART, generation)
        self._plans: dict[tuple[Signature, int], RunPlan] = {}
        self._flights: dict[int, tuple[RunPlan, Shared | None]] = {}
        self._outbox = Outbox(sock, loop, generation)
        self._view = memoryview(bytearray(MAX_FRAME_BYTES))
        self._theirs = ForeignSegments(_MAX_REPLY_SEGMENTS, _MAX_REPLY_BYTES)
        self._windows: dict[int, int] = {}  # what a stream in flight may still send; absent: all of it
        self._lent: set[int] = set()  # their segments that a ReplyLease of ours still holds
        self._segment_follows = False
        self._calls: CallEnd | None = None
        self._is_open = True
        arena.subscribe(self._outbox.forget)
        loop.add_reader(sock.fileno(), self._on_readable)

    @property
    def in_flight(self) -> int:
        """Batches sent and not answered."""
        return len(self._flights)

    # ---- out ------------------------------------------------------------------------------------

    def send(self, batch_id: int, rows: int, signature: Signature, parts: Sequence[Sequence[Buffer]]) -> None:
        """See links.Link.send."""
        if not self._is_open:
            raise InstanceDied("the model's worker has gone")
        plan = self._plans.get((signature, rows)) or self._plan(signature, rows)
        self._outbox.check_room()
        if plan.total == 0:
            self._flights[batch_id] = (plan, self._send_large(plan, batch_id, parts))
            return
        frame = _join([self._run_word, BATCH.pack(batch_id), plan.rest], parts, plan.pads)
        if len(frame) != plan.total:
            check_sizes(plan, [size_of(some) for some in parts])
        self._flights[batch_id] = (plan, None)
        self._outbox.send(frame)

    def _plan(self, signature: Signature, rows: int) -> RunPlan:
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        plan = self._plans[signature, rows] = RunPlan(self._spec, signature, rows)
        return plan

    def _send_large(self, plan: RunPlan, batch_id: int, parts: Sequence[Sequence[Buffer]]) -> Shared:
        sizes = [size_of(some) for some in parts]
        check_sizes(plan, sizes)
        shared = Shared(self._arena)
        places = shared.place(plan, parts, sizes)
        for segment in shared.segments:
            self._outbox.announce(segment)
        rest, pads, _ = plan.pack(places, sizes)
        inline = [some for some, place in zip(parts, places, strict=True) if place is None]
        self._outbox.send(_join([self._run_word, BATCH.pack(batch_id), rest], inline, pads))
        return shared

    def grant(self, batch_id: int, size: int) -> None:
        """See links.Link.grant."""
        if batch_id in self._flights:
            self._windows[batch_id] = self._windows.get(batch_id, STREAM_WINDOW_BYTES) + size
            self._outbox.send(frames.pack_stream(Kind.CREDIT, self._generation, batch_id, size))

    def limit(self, batch_id: int, timeout_s: float) -> None:
        """See links.Link.limit."""
        left_ns = int(min(max(timeout_s, 0.0), MAX_LIMIT_S) * 1e9)
        if self._is_open:
            self._outbox.send(frames.pack_stream(Kind.LIMIT, self._generation, batch_id, left_ns))

    def stop(self, batch_id: int) -> None:
        """See links.Link.stop."""
        if batch_id in self._flights:
            self._outbox.send(frames.pack_stream(Kind.CANCEL, self._generation, batch_id))

    # ---- in -------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        try:
            for _ in range(_FRAMES_PER_WAKE):
                if not self._receive():
                    return
                # Nothing asked for is outstanding: another receive would only be told so by an exception.
                if not self._flights and not self._segment_follows:
                    return
        except ProtocolViolation as violation:
            self._lose(f"the worker broke the protocol: {violation}")

    def _receive(self) -> bool:
        """Takes one frame; False if there was none, or the link is closed."""
        try:
            if self._segment_follows:
                self._theirs.add(*receive_segment(self._sock, self._view, self._generation))
                self._segment_follows = False
                return True
            size = self._sock.recv_into(self._view)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lose(f"the channel broke: {error.strerror}")
            return False
        if not size:
            self._lose("the worker closed the channel")
            return False
        self._take(size)
        return self._is_open

    def _take(self, size: int) -> None:
        view = self._view
        word, batch_id, total, payload, infer_ns, before_ns, after_ns, _, _ = HEADER.unpack_from(view)
        if word != self._reply_word or total != size or not HEADER_BYTES <= payload <= size:
            if word == self._part_word and total == size and HEADER_BYTES <= payload <= size:
                self._take_part(batch_id, total, payload)
            else:
                self._take_other(size)
            return
        plan = self._land(batch_id)
        known = plan.accepted.get(view[HEADER_BYTES:payload].tobytes())
        if known is None or known[0] != total:
            self._take_unknown(plan, batch_id, (total, payload), (before_ns, infer_ns, after_ns))
            return
        outputs = [(one.shape, view[one.offset : one.end].tobytes()) for one in known[1]]
        self._listener.on_reply(self, batch_id, tuple(outputs), (before_ns, infer_ns, after_ns), None)

    def _land(self, batch_id: int) -> RunPlan:
        flight = self._flights.pop(batch_id, None)
        if flight is None:
            raise ProtocolViolation("an answer to a batch that is not in flight")
        plan, shared = flight
        if shared is not None:
            shared.release()
        if self._windows:
            self._windows.pop(batch_id, None)
        return plan

    def _take_unknown(self, plan: RunPlan, batch_id: int, sizes: tuple[int, int], timings: Timings) -> None:
        total, payload = sizes
        try:
            slices = plan.accept(self._view[HEADER_BYTES:payload].tobytes(), total)
            outputs = tuple([self._output(one) for one in slices])
        except Misfit as misfit:
            self._listener.on_error(self, batch_id, Failure.MODEL_FAILED, str(misfit))
            self._listener.on_suspect(self, str(misfit))
        except ProtocolViolation:
            self._flights[batch_id] = (plan, None)  # so that `_lose` tells of this batch too
            raise
        else:
            lease = self._borrow({one.segment for one in slices if one.segment})
            self._listener.on_reply(self, batch_id, outputs, timings, lease)

    def _output(self, one: Slice) -> Output:
        if one.segment in self._lent:
            raise ProtocolViolation("a reply in memory that still holds another one")
        if one.segment:
            view = self._theirs.view(one.segment, one.offset, one.end - one.offset)
        else:
            view = self._view[one.offset : one.end]
        if one.segment and one.elements < 0:
            return one.shape, view
        # BYTES are copied before they are checked: shared memory could change afterwards.
        data = view.tobytes()
        if one.elements >= 0:
            _check_elements(one, data)
        return one.shape, data

    def _borrow(self, segments: set[int]) -> Lease | None:
        if not segments:
            return None
        self._lent |= segments
        return ReplyLease(partial(self._give_back, segments))

    def _give_back(self, segments: set[int]) -> None:
        self._lent -= segments
        if self._is_open:
            for segment in segments:
                self._outbox.send(frames.pack_control(Kind.RELEASE, self._generation, segment))

    def _take_other(self, size: int) -> None:
        header = frames.unpack_header(self._view, size, self._generation)
        match header.kind:
            case Kind.ERROR:
                failure, text = frames.unpack_error(header, self._view)
                self._land(header.batch)
                self._listener.on_error(self, header.batch, failure, text, header.a * 1e-3)
            case Kind.FAULT:
                failure, text = frames.unpack_error(header, self._view)
                _, window = self._streaming(header.batch)
                cost = frames.part_cost(0)
                self._windows[header.batch] = window - cost
                self._listener.on_part(self, header.batch, Fault(failure, text), cost, None)
            case Kind.STATE:
                self._listener.on_state(self, frames.unpack_text(header, self._view))
            case Kind.END:
                frames.check_stream(header)
                self._check_streams()
                self._land(header.batch)
                self._listener.on_end(self, header.batch, header.a)
            case Kind.ANNOUNCE:
                frames.check_control(header)
                self._segment_follows = True
            case Kind.FORGET:
                frames.check_control(header)
                self._theirs.forget(header.detail)
            case kind:
                raise ProtocolViolation(f"a {kind.name} frame from a worker")

    # ---- streams --------------------------------------------------------------------------------

    def _check_streams(self) -> None:
        if not self._spec.decoupled:
            raise ProtocolViolation("several answers of a model that gives one")

    def _streaming(self, batch_id: int) -> tuple[RunPlan, int]:
        """The plan of a batch that may get a part, and what of its window is left."""
        self._check_streams()
        flight = self._flights.get(batch_id)
        if flight is None:
            raise ProtocolViolation("a part of a batch that is not in flight")
        window = self._windows.get(batch_id, STREAM_WINDOW_BYTES)
        if window <= 0:
            raise ProtocolViolation("more parts than were granted")
        return flight[0], window

    def _take_part(self, batch_id: int, total: int, payload: int) -> None:
        """Takes one answer of a decoupled model; the batch stays in flight."""
        plan, window = self._streaming(batch_id)
        view = self._view
        raw = view[HEADER_BYTES:payload].tobytes()
        known = plan.accepted.get(raw)
        lease: Lease | None = None
        outputs: tuple[Output, ...]
        if known is not None and known[0] == total:
            outputs = tuple([(one.shape, view[one.offset : one.end].tobytes()) for one in known[1]])
        else:
            try:
                slices = plan.accept(raw, total)
                outputs = tuple([self._output(one) for one in slices])
            except Misfit as misfit:
                self._land(batch_id)
                self._listener.on_error(self, batch_id, Failure.MODEL_FAILED, str(misfit))
                self._listener.on_suspect(self, str(misfit))
                return
            lease = self._borrow({one.segment for one in slices if one.segment})
        cost = frames.part_cost(0)
        for _, data in outputs:
            cost += len(data)
        self._windows[batch_id] = window - cost
        self._listener.on_part(self, batch_id, outputs, cost, lease)

    # ---- calls ----------------------------------------------------------------------------------

    def open_calls(self, calls: CallEnd, fd: int) -> None:
        """Gives the worker its end `fd` of a channel for calls, whose end here lives as long as this link."""
        self._calls = calls
        self._outbox.send(frames.pack_control(Kind.CALLS, self._generation, 1))
        self._outbox.send(frames.pack_control(Kind.SEGMENT, self._generation, 1), fd)

    def lose(self, reason: str) -> None:
        """Must be called when the worker broke the protocol of calls."""
        if self._is_open:
            self._lose(reason)

    # ---- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Drops the link; answers to batches in flight never come, and on_lost is not called."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._sock.fileno())
        self._outbox.close()
        self._arena.unsubscribe(self._outbox.forget)
        for _, shared in self._flights.values():
            if shared is not None:
                shared.release()
        self._flights.clear()
        self._windows.clear()
        self._theirs.clear()
        self._sock.close()
        if self._calls is not None:
            self._calls.close()

    def _lose(self, reason: str) -> None:
        batch_ids = tuple(self._flights)
        self.close()
        self._listener.on_lost(self, reason, batch_ids)


def _check_elements(one: Slice, data: bytes) -> None:
    try:
        count_bytes_elements(one.name, data, one.elements)
    except InvalidInput as error:
        raise Misfit(f"output: {error.text}") from None


def _join(head: list[Buffer], parts: Sequence[Sequence[Buffer]], pads: Sequence[bytes]) -> bytes:
    for some, pad in zip(parts, pads, strict=True):
        head += some
        if pad:
            head.append(pad)
    return b"".join(head)
