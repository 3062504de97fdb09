"""Where traces go: a file that the operator names, or the log; written by a thread, never by a loop.

DESIGN: a file is a JSON array at all times, as Triton's tools want it: each write takes the closing
bracket's place. All fronts append to the same file under a lock of the kernel's (flock), which a dead
one gives back. With a number of traces a file, each front makes files of its own. Rejected: Triton's
way of closing the bracket at the end of the process, which a killed one does not reach.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

import orjson

from gateway.telemetry.traced import Traced

log = logging.getLogger("gateway.telemetry")

# Beyond it traces are dropped and counted: a disk may be slower than requests are.
MAX_WAITING = 1000
_MAX_FILES = 1_000_000


class TraceLog:
    """Takes traces from one front; `limit_bytes` is all that it writes to files.

    `write_line` gets what goes to the log: a whole line.
    """

    def __init__(
        self, file: Path | None, front: int, limit_bytes: int, write_line: Callable[[bytes], object]
    ) -> None:
        self._file = file
        self._front = front
        self._left = limit_bytes
        self._write_line = write_line
        self._waiting: SimpleQueue[Traced | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # With a number of traces a file: the file, how many more it may hold, and the next one's number.
        self._part, self._room_in_part, self._next_number = Path(), 0, 0
        self._has_given_up = False
        self.dropped = 0

    def write(self, traced: Traced) -> None:
        """Hands a trace to the thread. Never blocks; drops it where too many wait."""
        if self._waiting.qsize() >= MAX_WAITING:
            if not self.dropped:
                log.warning("traces are dropped: they come faster than they can be written")
            self.dropped += 1
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
            self._thread.start()
        self._waiting.put(traced)

    def close(self, patience_s: float) -> None:
        """Waits until what was handed over is written, for `patience_s` at most."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(patience_s)
            self._thread = None

    # ---- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while (traced := self._waiting.get()) is not None:
            several = [traced]
            while len(several) < 100:
                try:
                    more = self._waiting.get_nowait()
                except Empty:
                    break
                if more is None:
                    self._write_all(several)
                    return
                several.append(more)
            self._write_all(several)

    def _write_all(self, several: list[Traced]) -> None:
        if self._file is None:
            for traced in several:
                self._write_line(orjson.dumps({"trace": list(traced.objects())}) + b"\n")
            return
        for traced in several:
            try:
                self._append(self._file, traced)
            except OSError as error:
                self._give_up(f"{self._file} cannot be written: {error.strerror}")

    def _append(self, file: Path, traced: Traced) -> None:
        lines = traced.lines()
        self._left -= len(lines)
        if self._left < 0:
            self._give_up("telemetry.trace_max_bytes are written")
            return
        if traced.log_frequency:
            if self._room_in_part <= 0:
                self._part, number = _new_file(file, self._front, self._next_number)
                self._room_in_part, self._next_number = traced.log_frequency, number + 1
            self._room_in_part -= 1
            file = self._part
        append(file, lines)

    def _give_up(self, why: str) -> None:
        if not self._has_given_up:
            log.error("traces are dropped: %s", why)
        self._has_given_up = True
        self.dropped += 1


def _new_file(file: Path, front: int, first: int) -> tuple[Path, int]:
    """The first of `file`.FRONT.`first` and on that is not there yet, made empty; and its number."""
    for number in range(first, first + _MAX_FILES):
        path = file.with_name(f"{file.name}.{front}.{number}")
        try:
            path.touch(mode=0o640, exist_ok=False)
        except FileExistsError:
            continue
        return path, number
    raise OSError(0, "there are too many trace files")


def append(file: Path, lines: bytes) -> None:
    """Adds `lines` to the JSON array in `file`, which is made where it is missing."""
    fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        size = os.fstat(fd).st_size
        if not size:
            os.pwrite(fd, b"[\n" + lines + b"\n]", 0)
        elif size >= 2 and os.pread(fd, 2, size - 2) == b"\n]":
            os.pwrite(fd, b",\n" + lines + b"\n]", size - 2)
        else:
            raise OSError(0, "it is there and holds no traces")
    finally:
        os.close(fd)


def first_number(pid: int) -> int:
    """Traces are numbered within what every JSON reader can hold; no two processes share numbers soon."""
    return pid << 31 | 1


def to_standard_error(line: bytes) -> None:
    """Writes a line at once, past whatever is buffered."""
    os.write(sys.stderr.fileno(), line)
