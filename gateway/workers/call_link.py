"""A front's end of a channel for calls: questions of a worker's model in, answers out.

DESIGN: the worker is not trusted, as on the data channel: a frame that breaks the protocol costs it the
whole link. One that asks and does not read what it is told is not heard any more until it does, so that
no more than MAX_CALLS answers (and each stream's window) ever wait here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Protocol

from gateway.core.dtypes import DType
from gateway.core.errors import GatewayError, InvalidInput, Overloaded, TooLarge
from gateway.core.messages import Lease
from gateway.core.tensor import Tensor, count_bytes_elements
from gateway.runtimes.calls import MAX_CALLS
from gateway.workers import call_frames, frames
from gateway.workers.arena import Arena
from gateway.workers.call_frames import Answered, Asked, Ended, FrameTooLarge, Piece, Refused
from gateway.workers.call_memory import MAX_MAPPED, LentMemory
from gateway.workers.channel import ReplyLease
from gateway.workers.frames import MAX_FRAME_BYTES, Header, Kind, ProtocolViolation, Region
from gateway.workers.segments import ForeignSegments
from gateway.workers.transport import Loop, Outbox, configure, receive_with_descriptors

_FRAMES_PER_WAKE = 16
_MAX_SEGMENT_BYTES = 4 << 30
_MAX_TEXT = 2000


class CallListener(Protocol):
    """Whoever answers. Called from the event loop; may answer at once."""

    def on_call(self, number: int, asked: Asked, inputs: tuple[Tensor, ...], lease: Lease | None) -> None:
        """A model asks; `lease`, where there is one, is the listener's to release.

        Exactly one last `answer`, `refuse` or `end` must follow, unless on_cancel or on_closed comes first.
        """

    def on_taken(self, number: int, size: int) -> None:
        """So many bytes of a call's answers, as `frames.part_cost` counts, have been taken."""

    def on_cancel(self, number: int) -> None:
        """Nobody waits for the answer any more."""

    def on_closed(self) -> None:
        """The channel has ended: nothing can be answered any more."""


class CallLink:
    """Invariant: `_open` are the calls that have come and not been given their last answer."""

    def __init__(
        self,
        sock: socket.socket,
        generation: int,
        arena: Arena,
        loop: Loop,
        on_broken: Callable[[str], None],
    ) -> None:
        configure(sock)
        self._sock = sock
        self._generation = generation
        self._loop = loop
        self._on_broken = on_broken
        self._outbox = Outbox(sock, loop, generation, self._hear_again)
        self._view = memoryview(b"")
        self._theirs = ForeignSegments(MAX_MAPPED, _MAX_SEGMENT_BYTES)
        self._borrowed: set[int] = set()  # their segments that inputs of ours still lie in
        self._memory = LentMemory(arena, generation, self._outbox.send)
        self._open: set[int] = set()
        self._listener: CallListener | None = None
        self._is_open = True
        self._is_deaf = True

    def listen(self, listener: CallListener) -> None:
        """Must be called once, before the worker gets its end."""
        self._listener = listener
        self._hear_again()

    # ---- out ------------------------------------------------------------------------------------

    def answer(self, number: int, outputs: Sequence[Tensor], *, is_last: bool) -> int:
        """Sends an answer, copied; what of its window it took. Raises Overloaded, TooLarge: nothing sent."""
        pieces = [Piece(tensor.dtype, tensor.shape, tensor.data) for tensor in outputs]
        head = call_frames.encode_head(Answered(tuple([tensor.name for tensor in outputs]), is_last))
        places = self._memory.place(pieces, call_frames.choose_inline(head, pieces))
        if places is None:
            raise Overloaded("no shared memory is left for an answer of this size", retry_after_s=1.0)
        try:
            frame = call_frames.pack(Kind.ANSWER, self._generation, number, head, pieces, places)
        except FrameTooLarge as error:
            self._memory.take_back(places)
            raise TooLarge(f"the answer cannot be told to the model that called: {error}") from None
        self._outbox.send(frame)
        if is_last:
            self._open.discard(number)
        return frames.part_cost(sum(len(piece.data) for piece in pieces))

    def refuse(self, number: int, error: GatewayError) -> None:
        """Says why there is no (further) answer."""
        self._open.discard(number)
        head = call_frames.encode_head(Refused(error.reason, error.text[:_MAX_TEXT]))
        self._outbox.send(call_frames.pack(Kind.ANSWER, self._generation, number, head))

    def end(self, number: int) -> None:
        """Says that there are no further answers."""
        self._open.discard(number)
        head = call_frames.encode_head(Ended())
        self._outbox.send(call_frames.pack(Kind.ANSWER, self._generation, number, head))

    # ---- in -------------------------------------------------------------------------------------

    def _hear_again(self) -> None:
        if self._is_open and self._is_deaf:
            self._is_deaf = False
            self._loop.add_reader(self._sock.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        if not self._view:
            self._view = memoryview(bytearray(MAX_FRAME_BYTES))
        try:
            for _ in range(_FRAMES_PER_WAKE):
                if self._outbox.has_waiting:
                    self._is_deaf = True
                    self._loop.remove_reader(self._sock.fileno())
                    return
                if not self._receive() or not self._is_open:
                    return
        except ProtocolViolation as violation:
            self._on_broken(f"the worker broke the protocol of calls: {violation}")

    def _receive(self) -> bool:
        """Takes one frame; False if there was none, or the channel is closed."""
        try:
            size, fds, was_cut = receive_with_descriptors(self._sock, self._view)
        except BlockingIOError:
            return False
        except OSError:
            size, fds, was_cut = 0, [], False
        if not size:
            self.close()  # the data channel tells why
            return False
        try:
            if was_cut:
                raise ProtocolViolation("a packet that was cut")
            self._take(frames.unpack_header(self._view, size, self._generation), fds)
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _take(self, header: Header, fds: list[int]) -> None:
        match header.kind:
            case Kind.CALL:
                self._take_call(header)
            case Kind.CANCEL | Kind.CREDIT:
                frames.check_stream(header)
                self._take_word(header)
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
                raise ProtocolViolation(f"a {kind.name} frame from a worker")

    def _take_word(self, header: Header) -> None:
        assert self._listener is not None, "nothing is heard before `listen`"
        if header.kind is Kind.CREDIT:
            self._listener.on_taken(header.batch, header.a)
        elif header.batch in self._open:  # else the answer met the cancel
            self._open.discard(header.batch)
            self._listener.on_cancel(header.batch)

    def _take_call(self, header: Header) -> None:
        assert self._listener is not None, "nothing is heard before `listen`"
        number = header.batch
        if number in self._open or len(self._open) >= MAX_CALLS:
            raise ProtocolViolation("a call that is under way already, or too many of them")
        asked, regions = call_frames.unpack_asked(header, self._view)
        try:
            tensors = tuple([self._tensor(*one) for one in zip(asked.names, regions, strict=True)])
        except InvalidInput as error:
            raise ProtocolViolation(f"malformed BYTES in a call: {error.text}") from None
        self._open.add(number)
        lease = self._borrow({region.segment for region in regions if region.segment})
        self._listener.on_call(number, asked, tensors, lease)

    def _tensor(self, name: str, region: Region) -> Tensor:
        if region.segment in self._borrowed:
            raise ProtocolViolation("a call in memory that still holds another one's inputs")
        if region.segment:
            data = self._theirs.view(region.segment, region.offset, region.size)
        else:
            data = self._view[region.offset : region.offset + region.size]
        if region.segment and region.dtype is not DType.BYTES:
            return Tensor(name, region.dtype, region.shape, data)
        # BYTES are copied before they are checked: shared memory could change afterwards.
        copy = data.tobytes()
        if region.dtype is DType.BYTES:
            count_bytes_elements(name, copy, prod(region.shape))
        return Tensor(name, region.dtype, region.shape, copy)

    def _borrow(self, segments: set[int]) -> Lease | None:
        if not segments:
            return None
        self._borrowed |= segments
        return ReplyLease(partial(self._give_back, segments))

    def _give_back(self, segments: set[int]) -> None:
        self._borrowed -= segments
        if self._is_open:
            for segment in segments:
                self._outbox.send(frames.pack_control(Kind.RELEASE, self._generation, segment))

    # ---- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Ends the channel; what was asked is given up."""
        if not self._is_open:
            return
        self._is_open = False
        if not self._is_deaf:
            self._loop.remove_reader(self._sock.fileno())
        self._outbox.close()
        if self._listener is not None:
            self._listener.on_closed()
        self._memory.close()
        self._theirs.clear()
        self._sock.close()
