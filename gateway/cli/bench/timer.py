"""Wake-ups finer than epoll's milliseconds: a timerfd that epoll watches (Python 3.11 has none yet)."""

from __future__ import annotations

import ctypes
import os

_CLOCK_MONOTONIC = 1  # the scale of gateway.core.clock.monotonic_s on Linux
_TFD_TIMER_ABSTIME = 1


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class Timer:
    """Makes `fd` readable at a time; watch it edge-triggered and there is nothing to read from it."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._settime = libc.timerfd_settime
        self._spec = _TimerSpec()
        self._reference = ctypes.byref(self._spec)

    def arm(self, when: float) -> None:
        """Wakes once at `when` (monotonic seconds), at once if that has passed; forgets earlier arms."""
        seconds = int(when)
        value = self._spec.value
        value.seconds = seconds
        value.nanoseconds = int((when - seconds) * 1e9)
        if self._settime(self.fd, _TFD_TIMER_ABSTIME, self._reference, None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def close(self) -> None:
        os.close(self.fd)
