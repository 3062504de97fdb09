import socket

import pytest

from gateway.core.clock import monotonic_ns
from gateway.workers.standby import StandbyLink
from tests.fakes.loop import FakeReaders


class Model:
    """As much of a LoadedModel as a link that is asked nothing needs."""

    spec = None
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Listener:
    def __init__(self) -> None:
        self.lost: list[tuple[int, str, tuple[int, ...]]] = []

    def on_lost(self, link: StandbyLink, reason: str, batch_ids: tuple[int, ...]) -> None:
        self.lost.append((link.worker_id, reason, batch_ids))


class Standby:
    def __init__(self) -> None:
        self.ours, self.worker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.readers = FakeReaders()
        self.listener = Listener()
        self.model = Model()
        self.link = StandbyLink(self.model, 7, self.listener, monotonic_ns, self.ours, self.readers)  # type: ignore[arg-type]


@pytest.fixture
def standby() -> Standby:
    return Standby()


def test_the_worker_s_death_ends_the_link_once(standby: Standby) -> None:
    standby.worker.close()
    standby.readers.run()
    assert standby.listener.lost == [(7, "", ())]
    assert standby.model.is_closed
    assert standby.ours.fileno() == -1
    standby.link.close()
    standby.readers.run()
    assert len(standby.listener.lost) == 1


def test_a_worker_that_speaks_unasked_is_let_go(standby: Standby) -> None:
    standby.worker.send(b"hello")
    standby.readers.run()
    assert standby.listener.lost == [(7, "it spoke without being asked", ())]
    assert standby.worker.recv(10) == b""
    standby.worker.close()


def test_nothing_to_read_is_nothing_lost(standby: Standby) -> None:
    standby.readers.run()
    assert standby.listener.lost == []
    standby.link.close()
    standby.worker.close()


def test_closing_lets_the_worker_go_without_a_word(standby: Standby) -> None:
    standby.link.close()
    assert standby.worker.recv(10) == b""
    assert standby.listener.lost == []
    assert standby.readers.callbacks == {}
    standby.worker.close()
