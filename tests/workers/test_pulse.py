from __future__ import annotations

import os
import socket
import threading
from contextlib import closing

import msgspec
import pytest

from gateway.workers import pulse
from gateway.workers.messages import Beat
from gateway.workers.pulse import Pulse


def test_it_beats_from_when_it_is_told_and_not_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "INTERVAL_S", 0.01)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with closing(ours), closing(theirs):
        ours.settimeout(0.1)
        beating = Pulse(theirs, lambda: 107.5)
        beating.start()
        with pytest.raises(TimeoutError):
            ours.recv(1000)
        beating.beat()
        ours.settimeout(30)
        assert msgspec.msgpack.decode(ours.recv(1000), type=Beat) == Beat(0.0, 0)
        beating.busy_since, beating.executed = 100.0, 3
        while (beat := msgspec.msgpack.decode(ours.recv(1000), type=Beat)).executed == 0:
            pass
        assert beat == Beat(7.5, 3)
        beating.stop()
        beating._thread.join(30)
        assert not beating._thread.is_alive()


def test_an_orphan_ends_unless_it_is_ending_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "ORPHAN_GRACE_S", 0.2)
    for is_ending in (False, True):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            watch = Pulse(theirs, lambda: 0.0)
            watch.start()
            if is_ending:
                watch.stop()
                watch._thread.join()
                os._exit(7)
            threading.Event().wait()
        theirs.close()
        ours.close()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (7 if is_ending else 1)
