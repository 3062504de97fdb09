"""A real shared worker, forked from the test: its tenants serve, go, and end together."""

from __future__ import annotations

import os
import signal
import socket
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gateway.workers.frames import Failure
from gateway.workers.messages import (
    Admit,
    Beat,
    Broken,
    FromWorker,
    Loaded,
    LoadFailed,
    Progress,
    Stop,
    ToWorker,
)
from tests.fakes.forked_worker import TIMEOUT_S, ForkedWorker
from tests.fakes.lab_runtime import checksum
from tests.fakes.waiting import until_blocking
from tests.workers.test_child import SPEC, Front, folder, rows


class Tenant(ForkedWorker):
    """One model of a shared worker, spoken to as a worker is."""

    def __init__(self, host: ForkedWorker) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(TIMEOUT_S)
        self.status: int | None = 0
        self.beats: list[Beat] = []
        self.cleanups: list[Any] = []
        self.pid = host.pid
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [theirs.fileno()]))]
        with theirs:
            host.control.sendmsg([msgspec.msgpack.encode(Admit())], ancillary)
        host.cleanups.append(lambda: self.__exit__())

    def gone(self) -> bool:
        """Waits until it has closed its socket."""
        while packet := self.control.recv(1 << 18):
            assert isinstance(msgspec.msgpack.decode(packet, type=FromWorker), Beat | Progress)
        return True

    def ready(self, path: Path, **told: Any) -> Front:
        path.mkdir()
        loaded = self.load(folder(path, **told), SPEC)
        assert isinstance(loaded, Loaded), loaded
        return Front(self, loaded.spec)


@pytest.fixture
def host() -> Iterator[ForkedWorker]:
    with ForkedWorker() as made:
        yield made


def sums(found: Any) -> list[int]:
    """The checksums of a reply."""
    ((_, data),) = found
    return list(np.frombuffer(data, "i8").tolist())


def say(worker: ForkedWorker, message: ToWorker) -> None:
    worker.control.send(msgspec.msgpack.encode(message))


def test_each_has_its_model_and_goes_alone(host: ForkedWorker, tmp_path: Path) -> None:
    tenants = [Tenant(host) for _ in range(3)]
    fronts = [one.ready(tmp_path / str(number)) for number, one in enumerate(tenants)]
    given = rows(1.5)
    expected = [checksum(given[0], SPEC.version)]
    assert [sums(front.run(given)) for front in fronts] == [expected] * 3
    threads = len(os.listdir(f"/proc/{host.pid}/task"))
    say(tenants[1], Stop())
    assert tenants[1].gone()
    fronts[1].loop.run_until(lambda: fronts[1].answers.lost)
    assert [sums(fronts[index].run(given)) for index in (0, 2)] == [expected] * 2
    until_blocking(lambda: len(os.listdir(f"/proc/{host.pid}/task")) == threads - 2)


def test_descriptors_and_memory_come_back(host: ForkedWorker, tmp_path: Path) -> None:
    Tenant(host).ready(tmp_path / "stays").run(rows(1.0))
    before = len(host.descriptors())
    for number in range(6):
        tenant = Tenant(host)
        tenant.ready(tmp_path / str(number)).run(rows(1.0, 4, 4096))
        say(tenant, Stop())
        assert tenant.gone()
        tenant.__exit__()
    until_blocking(lambda: len(host.descriptors()) == before)


def test_one_that_runs_long_does_not_hold_up_the_others(host: ForkedWorker, tmp_path: Path) -> None:
    file = tmp_path / "go"
    slow = Tenant(host).ready(tmp_path / "a", rows={"666": {"do": "wait", "file": str(file)}})
    quick = Tenant(host).ready(tmp_path / "b")
    slow.send(rows(666.0))
    until_blocking(Path(f"{file}.begun").exists)
    assert len(sums(quick.run(rows(1.0)))) == 1
    file.touch()
    slow.loop.run_until(lambda: slow.link.in_flight == 0)


def test_a_load_that_fails_is_one_tenants_matter(host: ForkedWorker, tmp_path: Path) -> None:
    good, bad = Tenant(host), Tenant(host)
    front = good.ready(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    failed = bad.load(folder(tmp_path / "bad", load={"fail": "a cyclic graph"}), SPEC)
    assert failed == LoadFailed("a cyclic graph")
    say(bad, Stop())
    assert bad.gone()
    assert len(sums(front.run(rows(1.0)))) == 1


def test_a_broken_engine_says_so_and_ends_all(host: ForkedWorker, tmp_path: Path) -> None:
    broken, other = Tenant(host), Tenant(host)
    front = broken.ready(tmp_path / "a", rows={"666": {"do": "broken"}})
    beside = other.ready(tmp_path / "b")
    failure, _ = front.run(rows(666.0))
    assert failure is Failure.FATAL
    assert isinstance(broken.hear(), Broken)
    beside.loop.run_until(lambda: beside.answers.lost)
    assert host.wait() == 1


@pytest.mark.parametrize("how", ["stop", "term", "gone"])
def test_the_worker_ends_after_the_batches_in_hand(host: ForkedWorker, tmp_path: Path, how: str) -> None:
    file = tmp_path / "go"
    slow = Tenant(host).ready(tmp_path / "a", rows={"666": {"do": "wait", "file": str(file)}})
    Tenant(host).ready(tmp_path / "b")
    batch = slow.send(rows(666.0))
    until_blocking(Path(f"{file}.begun").exists)
    if how == "stop":
        say(host, Stop())
    elif how == "term":
        host.kill(signal.SIGTERM)
    file.touch()
    slow.loop.run_until(lambda: batch in slow.answers.replies)
    if how == "gone":
        host.control.close()
    assert host.wait() == 0


def test_a_shared_worker_has_no_model_of_its_own_and_the_other_way_round(
    host: ForkedWorker, tmp_path: Path
) -> None:
    Tenant(host).ready(tmp_path / "a")
    assert host.load(folder(tmp_path), SPEC) == LoadFailed("this worker has a model already")
    with ForkedWorker() as single:
        assert isinstance(single.load(folder(tmp_path), SPEC), Loaded)
        tenant = Tenant(single)
        assert tenant.gone(), "refused"
