"""A worker's end of a channel for calls: its model's questions out, answers in.

DESIGN: no thread of its own. Whoever waits for an answer reads for all: of blocked threads one at a
time (the others wait for what it hears), and every event loop in which a coroutine waits. So a call
costs no switch of threads. The lock covers the state and the socket, never a wait.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence

import msgspec

from gateway.core.errors import Reason
from gateway.core.tensor import MAX_RANK
from gateway.model import CallFailed
from gateway.runtimes.calls import MAX_CALLS, Answer, Desk, Question
from gateway.workers import call_frames, frames
from gateway.workers.arena import Arena
from gateway.workers.call_arrays import array_of, piece_of
from gateway.workers.call_frames import Answered, Asked, Ended, FrameTooLarge, Piece, Refused
from gateway.workers.call_memory import LentMemory
from gateway.workers.channel_call import ChannelCall
from gateway.workers.frames import STREAM_WINDOW_BYTES, Header, Kind, ProtocolViolation, Region
from gateway.workers.segments import ForeignSegments
from gateway.workers.transport import configure, receive_with_descriptors, send_frame

# Of inputs that are under way; untouched pages cost nothing.
_INPUT_BYTES = 2 << 30
_KEEP_INPUT_BYTES = 64 << 20
_MAX_SEGMENTS = 4096
_MAX_SEGMENT_BYTES = 64 << 30
# How often a wait looks at what another thread may have heard, and says that the model does not hang.
_LOOK_S = 0.05
# Taken bytes are told of in pieces of this size: see scheduling.pending.
_GRANT_BYTES = STREAM_WINDOW_BYTES // 4

_ENDED = CallFailed(Reason.CANCELLED, "the request whose execution made this call has ended")
_LOST = CallFailed(Reason.INSTANCE_DIED, "the front that would answer this call has gone")


class CallChannel:
    """Implements calls.Line. Invariant: `_open` are the calls of the batch in hand that are not over."""

    def __init__(
        self, sock: socket.socket, generation: int, desk: Desk, on_progress: Callable[[], None]
    ) -> None:
        configure(sock)
        self._sock = sock
        self._generation = generation
        self._desk = desk
        self._on_progress = on_progress
        # Of a kind that its holder may take again: a collection amid a send may drop what closes a call.
        self._lock = threading.RLock()
        self._heard = threading.Condition(self._lock)
        self._is_led = False  # a thread waits for the socket
        self._loops: dict[asyncio.AbstractEventLoop, int] = {}  # that read it, for so many coroutines
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._view = memoryview(b"")
        self._batch = 0
        self._next = 1
        self._open: dict[int, ChannelCall] = {}
        self._is_lost = False
        self._theirs = ForeignSegments(_MAX_SEGMENTS, _MAX_SEGMENT_BYTES)
        self._arena = Arena(_INPUT_BYTES, _KEEP_INPUT_BYTES)
        self._memory = LentMemory(self._arena, generation, self._send)

    # ---- the batch in hand ----------------------------------------------------------------------

    def begin(self, batch: int) -> None:
        """From now on the model's questions are those of this batch's execution."""
        self._batch = batch
        self._desk.line = self

    def end(self) -> None:
        """Must be called when the batch is over: what is still under way is given up."""
        with self._lock:
            self._desk.line = None
            for call in tuple(self._open.values()):
                self.give_up(call)

    def close(self) -> None:
        """Must be called when the data channel has ended."""
        with self._lock:
            self._lose()
            for loop in self._loops:  # whose coroutines were left behind
                loop.remove_reader(self._sock.fileno())
            self._theirs.clear()
            self._memory.close()
            self._arena.close()
            self._sock.close()

    # ---- questions out --------------------------------------------------------------------------

    def ask(self, question: Question) -> ChannelCall:
        """See calls.Line."""
        pieces = [piece_of(name, array) for name, array in question.inputs.items()]
        asked = Asked(
            self._batch,
            question.model,
            question.version,
            tuple(question.inputs),
            tuple(question.outputs),
            question.several,
            question.id,
            question.timeout_us,
            dict(question.parameters),
        )
        with self._lock:
            number = self._next
            self._next += 1
            call = ChannelCall(self, number)
            try:
                self._send_call(number, asked, pieces)
            except CallFailed as failure:
                call.end(failure)
            else:
                self._open[number] = call
                if self._is_lost:
                    self._lose()
            return call

    def _send_call(self, number: int, asked: Asked, pieces: Sequence[Piece]) -> None:
        """With the lock held; raises CallFailed where nothing was sent."""
        if self._is_lost:
            raise _LOST
        if self._desk.line is not self:
            raise _ENDED
        if len(self._open) >= MAX_CALLS:
            raise CallFailed(Reason.OVERLOADED, f"{MAX_CALLS} calls are under way already")
        head = _head(asked)
        _check_ranks(asked.names, pieces)
        places = self._memory.place(pieces, call_frames.choose_inline(head, pieces))
        if places is None:
            raise CallFailed(Reason.OVERLOADED, "no shared memory is left for inputs of this size")
        try:
            frame = call_frames.pack(Kind.CALL, self._generation, number, head, pieces, places)
        except FrameTooLarge as error:
            self._memory.take_back(places)
            raise CallFailed(Reason.TOO_LARGE, str(error)) from None
        self._send(frame)

    def _send(self, frame: bytes, fd: int | None = None) -> None:
        """With the lock held. A front that takes nothing is told nothing: it may wait for us to read."""
        while not self._is_lost:
            try:
                send_frame(self._sock, frame, fd)
            except BlockingIOError:
                self._wait_until_writable()
            except OSError:
                self._lose()
            else:
                return

    def _wait_until_writable(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | select.POLLOUT)
        poll.poll(_LOOK_S * 1000)
        self._drain()

    # ---- answers in -----------------------------------------------------------------------------

    def wait(self, call: ChannelCall) -> None:
        """Returns when `call` has news."""
        with self._heard:
            while not call.has_news:
                self._on_progress()  # whoever waits for another model does not hang
                if self._is_led:
                    self._heard.wait(_LOOK_S)
                else:
                    self._lead()

    def _lead(self) -> None:
        """Waits for the socket with the lock given up, and takes what has come for whomever it is."""
        self._is_led = True
        self._heard.release()
        try:
            self._poll.poll(_LOOK_S * 1000)
        finally:
            self._heard.acquire()
            self._is_led = False
        self._drain()
        self._heard.notify_all()

    async def wait_async(self, call: ChannelCall) -> None:
        """The same on the running event loop."""
        loop = asyncio.get_running_loop()
        self._listen(loop)
        try:
            while True:
                with self._lock:
                    self._drain()
                    if call.has_news:
                        return
                    self._on_progress()
                    future: asyncio.Future[None] = loop.create_future()
                    call.waiter = loop, future
                await asyncio.wait([future], timeout=1.0)
        finally:
            call.waiter = None
            self._unlisten(loop)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            count = self._loops.get(loop, 0)
            self._loops[loop] = count + 1
            if not count and not self._is_lost:
                loop.add_reader(self._sock.fileno(), self._on_readable, loop)

    def _unlisten(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._loops[loop] -= 1
            if not self._loops[loop]:
                del self._loops[loop]
                if self._sock.fileno() >= 0:
                    loop.remove_reader(self._sock.fileno())

    def _on_readable(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._heard:
            self._drain()
            self._heard.notify_all()
            if self._is_lost:  # its descriptor is readable for ever
                loop.remove_reader(self._sock.fileno())

    def take(self, call: ChannelCall) -> Answer | None:
        """The next answer of a call that has news; raises CallFailed."""
        with self._lock:
            if not call.answers:
                if call.failure is not None:
                    raise CallFailed(call.failure.reason, call.failure.text)
                return None
            answer, cost = call.answers.popleft()
            call.taken += cost
            if call.taken >= _GRANT_BYTES and not call.is_over:
                self._send(frames.pack_stream(Kind.CREDIT, self._generation, call.number, call.taken))
                call.taken = 0
            return answer

    def give_up(self, call: ChannelCall) -> None:
        """Tells the front that nobody waits for more answers to `call`."""
        with self._lock:
            if call.number in self._open:
                self._end(call, _ENDED)
                self._send(frames.pack_stream(Kind.CANCEL, self._generation, call.number))

    def _drain(self) -> None:
        """With the lock held: takes all that has come."""
        if not self._view:
            self._view = memoryview(bytearray(frames.MAX_FRAME_BYTES))
        while not self._is_lost:
            try:
                size, fds, _ = receive_with_descriptors(self._sock, self._view)
            except BlockingIOError:
                return
            except OSError:
                size, fds = 0, []
            try:
                if not size:
                    raise ProtocolViolation("closed")
                self._take(frames.unpack_header(self._view, size, self._generation), fds)
            except ProtocolViolation:
                self._lose()
            finally:
                for fd in fds:
                    os.close(fd)

    def _take(self, header: Header, fds: list[int]) -> None:
        match header.kind:
            case Kind.ANSWER:
                self._take_answer(header)
            case Kind.SEGMENT:
                frames.check_control(header)
                if len(fds) != 1:
                    raise ProtocolViolation(f"{len(fds)} descriptors with a segment")
                self._theirs.add(header.detail, fds.pop(), header.a)
            case Kind.FORGET:
                frames.check_control(header)
                self._theirs.forget(header.detail)
            case Kind.RELEASE:
                frames.check_control(header)
                self._memory.release(header.detail)
            case kind:
                raise ProtocolViolation(f"a {kind.name} frame from a front")

    def _take_answer(self, header: Header) -> None:
        head, regions = call_frames.unpack_answer(header, self._view)
        call = self._open.get(header.batch)
        if call is not None:
            match head:
                case Answered(names, is_last):
                    answer = {
                        name: array_of(one, self._bytes_of(one))
                        for name, one in zip(names, regions, strict=True)
                    }
                    call.answers.append((answer, frames.part_cost(sum(one.size for one in regions))))
                    if is_last:
                        self._end(call, None)
                    call.wake()
                case Ended():
                    self._end(call, None)
                case Refused(reason, text):
                    self._end(call, CallFailed(reason, text))
        for segment in {one.segment for one in regions if one.segment}:
            self._send(frames.pack_control(Kind.RELEASE, self._generation, segment))

    def _end(self, call: ChannelCall, failure: CallFailed | None) -> None:
        if self._open.pop(call.number, None) is not None:  # else dropped by a collection just now
            call.end(failure)

    def _bytes_of(self, region: Region) -> memoryview:
        if region.segment:
            return self._theirs.view(region.segment, region.offset, region.size)
        return self._view[region.offset : region.offset + region.size]

    def _lose(self) -> None:
        """With the lock held: the front is gone, or broke the protocol."""
        self._is_lost = True
        lost, self._open = self._open, {}
        for call in lost.values():
            call.end(_LOST)
        self._heard.notify_all()


def _head(asked: Asked) -> bytes:
    try:
        return call_frames.encode_asked(asked)
    except (OverflowError, TypeError, UnicodeEncodeError, msgspec.MsgspecError) as error:
        raise CallFailed(Reason.INVALID_INPUT, f"a call that cannot be sent: {error}") from None


def _check_ranks(names: Sequence[str], pieces: Sequence[Piece]) -> None:
    for name, piece in zip(names, pieces, strict=True):
        if len(piece.shape) > MAX_RANK:
            text = f"input '{name}' has rank {len(piece.shape)}, the most is {MAX_RANK}"
            raise CallFailed(Reason.INVALID_INPUT, f"a call that cannot be sent: {text}")
