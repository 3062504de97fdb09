"""Real worker processes, forked from the test and killed on purpose."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.core.dtypes import DType
from gateway.core.model import ModelSpec
from gateway.workers import frames
from gateway.workers.arena import Arena
from gateway.workers.channel import WorkerLink
from gateway.workers.frames import Failure, Kind
from gateway.workers.messages import Beat, Load, Loaded, LoadFailed, Progress, Stop
from gateway.workers.plans import Signature
from tests.fakes import onnx_files
from tests.fakes.forked_worker import LAB, Answers, ForkedWorker, PollLoop
from tests.fakes.lab_runtime import checksum
from tests.fakes.waiting import until_blocking

GENERATION = 7
MIB = 1 << 20
SPEC = ModelSpec("m", 3, "", "lab", (), ())
ONNX = "gateway.runtimes.onnx:OnnxRuntime"


class Front:
    """One front's end of a worker."""

    def __init__(self, worker: ForkedWorker, spec: ModelSpec, generation: int = GENERATION) -> None:
        self.arena = Arena(256 * MIB)
        self.loop, self.answers = PollLoop(), Answers()
        sock = worker.connect(generation)
        self.link = WorkerLink(sock, worker.pid, generation, spec, self.arena, self.loop, self.answers)
        self.batches = 0
        worker.cleanups.append(self.close)

    def send(self, rows: Any, outputs: tuple[int, ...] = (0,)) -> int:
        self.batches += 1
        signature = Signature(((DType.FP32, rows.shape[1:]),), outputs)
        self.link.send(self.batches, len(rows), signature, [[row.tobytes() for row in rows]])
        return self.batches

    def run(self, rows: Any, outputs: tuple[int, ...] = (0,)) -> Any:
        """The outputs, or the failure and its text."""
        batch = self.send(rows, outputs)
        self.loop.run_until(lambda: self.link.in_flight == 0)
        return self.answers.replies.get(batch) or self.answers.errors.get(batch)

    def close(self) -> None:
        self.link.close()
        self.arena.close()


@pytest.fixture
def worker() -> Iterator[ForkedWorker]:
    with ForkedWorker() as made:
        yield made


def folder(path: Path, **told: Any) -> Path:
    (path / "model.lab").write_text(json.dumps(told))
    return path


def rows(value: float, count: int = 1, columns: int = 4) -> Any:
    return np.full((count, columns), value, "f4")


def ready(worker: ForkedWorker, path: Path, **told: Any) -> Front:
    loaded = worker.load(folder(path, **told), SPEC)
    assert isinstance(loaded, Loaded)
    return Front(worker, loaded.spec)


def test_load_run_stop(worker: ForkedWorker, tmp_path: Path) -> None:
    loaded = worker.load(folder(tmp_path), SPEC, default_max_batch_size=8)
    assert isinstance(loaded, Loaded)
    assert loaded.spec.max_batch_size == 8
    assert loaded.phases_s.keys() == {"runtime", "load"}
    front = Front(worker, loaded.spec)
    batch = np.random.default_rng(0).random((8, 5), "f4")
    ((shape, sums),) = front.run(batch)
    assert shape == (8, 1)
    assert np.frombuffer(sums, "i8").tolist() == [checksum(row, 3) for row in batch]
    worker.tell(Stop())
    assert worker.wait() == 0
    front.loop.run_until(lambda: front.answers.lost)
    front.close()


def test_several_fronts_are_served_each_with_its_own_answers(worker: ForkedWorker, tmp_path: Path) -> None:
    loaded = worker.load(folder(tmp_path), SPEC)
    assert isinstance(loaded, Loaded)
    fronts = [Front(worker, loaded.spec, generation) for generation in (1, 2, 3)]
    for _ in range(20):
        for value, front in enumerate(fronts):
            front.send(rows(value, value + 1))
    for value, front in enumerate(fronts):
        front.loop.run_until(lambda front=front: front.link.in_flight == 0)
        expected = [checksum(row, 3) for row in rows(value, value + 1)]
        for ((_, sums),) in front.answers.replies.values():
            assert np.frombuffer(sums, "i8").tolist() == expected
        front.close()


def test_a_model_that_raises_is_no_reason_to_die(worker: ForkedWorker, tmp_path: Path) -> None:
    front = ready(worker, tmp_path, rows={"6": {"do": "raise"}, "7": {"do": "memory_error"}})
    assert front.run(rows(6)) == (Failure.MODEL_FAILED, "ValueError: a poison value")
    assert front.run(rows(7))[0] is Failure.MODEL_FAILED
    assert len(front.run(rows(1))) == 1
    front.close()


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_death_in_a_batch_loses_what_was_in_flight(
    worker: ForkedWorker, tmp_path: Path, signum: signal.Signals
) -> None:
    front = ready(worker, tmp_path, rows={"6": {"do": "signal", "n": int(signum)}})
    lost = [front.send(rows(6)), front.send(rows(1))]
    front.loop.run_until(lambda: front.answers.lost)
    assert front.answers.lost[0][1] == tuple(lost)
    assert worker.wait() == -signum
    front.close()


def test_a_broken_engine_ends_the_worker_after_saying_so(worker: ForkedWorker, tmp_path: Path) -> None:
    front = ready(worker, tmp_path, rows={"6": {"do": "broken"}})
    assert front.run(rows(6)) == (Failure.FATAL, "the device is lost")
    assert worker.wait() == 1
    front.close()


def test_sigterm_lets_the_batch_in_hand_end(worker: ForkedWorker, tmp_path: Path) -> None:
    front = ready(worker, tmp_path, rows={"6": {"do": "sleep", "s": 1.2}})
    batch = front.send(rows(6))
    while not isinstance(beat := worker.hear(beats=True), Beat) or not beat.busy_s:
        pass  # one comes within the batch
    worker.kill(signal.SIGINT)
    worker.kill(signal.SIGTERM)
    assert worker.wait() == 0
    front.loop.run_until(lambda: front.answers.lost)
    assert list(front.answers.replies) == [batch]
    front.close()


def test_sigterm_ends_an_idle_worker(worker: ForkedWorker, tmp_path: Path) -> None:
    front = ready(worker, tmp_path)
    worker.kill(signal.SIGINT)
    assert front.run(rows(1))
    worker.kill(signal.SIGTERM)
    assert worker.wait() == 0
    front.close()


def test_the_end_of_the_controller_is_the_end_of_the_worker(worker: ForkedWorker, tmp_path: Path) -> None:
    front = ready(worker, tmp_path)
    worker.control.close()
    assert worker.wait() == 0
    front.close()


@pytest.mark.parametrize("told", [{"load": {"hang": True}}, {"rows": {"6": {"do": "hang"}}}])
def test_an_orphan_that_hangs_is_gone_within_5_s(
    worker: ForkedWorker, tmp_path: Path, told: dict[str, Any]
) -> None:
    if "rows" in told:
        front = ready(worker, tmp_path, **told)
        front.send(rows(6))
        front.close()
    else:
        worker.tell(Load(LAB, str(folder(tmp_path, **told)), SPEC))
    worker.control.close()
    assert worker.wait() in {0, 1}


def test_beats_come_while_the_engine_computes(worker: ForkedWorker, tmp_path: Path) -> None:
    front = ready(worker, tmp_path, rows={"6": {"do": "hang"}})
    front.run(rows(1))
    first = worker.hear()
    assert isinstance(first, Progress)
    assert (first.phase, 0 < first.seconds < 10) == ("inferred", True)
    front.send(rows(6))
    beats = [worker.hear(beats=True) for _ in range(2)]
    assert all(isinstance(beat, Beat) and beat.executed == 1 for beat in beats)
    assert isinstance(beats[-1], Beat)
    assert 0 < beats[-1].busy_s < 10
    front.close()


@pytest.mark.parametrize(
    ("runtime", "told", "text"),
    [
        ("tests.fakes.lab_runtime:LabRuntime", {"load": {"fail": "no such layer"}}, "no such layer"),
        ("tests.fakes.lab_runtime:Missing", {}, "no runtime"),
        ("no.such.module:X", {}, "no runtime"),
        ("tests.fakes.lab_runtime:LabRuntime", {"rows": {"x": {}}}, "ValueError: could not convert"),
    ],
)
def test_a_failed_load_is_told(
    worker: ForkedWorker, tmp_path: Path, runtime: str, told: dict[str, Any], text: str
) -> None:
    failed = worker.load(folder(tmp_path, **told), SPEC, runtime)
    assert isinstance(failed, LoadFailed)
    assert text in failed.error
    assert str(tmp_path) not in failed.error
    assert isinstance(worker.load(folder(tmp_path), SPEC), Loaded)  # the process is still good
    again = worker.load(tmp_path, SPEC)
    assert isinstance(again, LoadFailed)


def test_a_death_at_load_is_seen(worker: ForkedWorker, tmp_path: Path) -> None:
    worker.tell(Load(LAB, str(folder(tmp_path, load={"signal": 9})), SPEC))
    assert worker.control.recv(100) == b""
    assert worker.wait() == -9


@pytest.mark.parametrize("frame", [b"x", bytes(48), frames.pack_control(Kind.RELEASE, GENERATION, 9)])
def test_a_hostile_front_loses_its_own_channel_only(
    worker: ForkedWorker, tmp_path: Path, frame: bytes
) -> None:
    front = ready(worker, tmp_path)
    hostile = worker.connect(GENERATION)
    hostile.settimeout(30)
    hostile.send(frame)
    assert hostile.recv(100) == b""
    assert front.run(rows(1))
    hostile.close()
    front.close()


def test_a_channel_before_a_model_is_refused(worker: ForkedWorker) -> None:
    early = worker.connect(GENERATION)
    early.settimeout(30)
    assert early.recv(100) == b""
    early.close()


def test_it_is_hardened_and_keeps_no_descriptors(worker: ForkedWorker, tmp_path: Path) -> None:
    front = ready(worker, tmp_path)
    big = rows(1, columns=MIB)
    front.run(big, (1,))
    before = sorted(worker.descriptors())
    assert not [name for name in before if name.startswith("/") and "memfd" not in name]
    for _ in range(10):
        front.answers.replies.clear()
        front.run(big, (1,))
        lease = front.answers.leases[front.batches]
        assert lease is not None
        lease.release()
        Front(worker, front.link._spec).close()
    front.run(rows(1))
    # At most a second output segment has come, with its descriptor and its mapping.
    until_blocking(lambda: len(worker.descriptors()) <= len(before) + 2)
    status = Path(f"/proc/{worker.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    limits = Path(f"/proc/{worker.pid}/limits").read_text()
    assert next(line for line in limits.splitlines() if line.startswith("Max core")).split()[4] == "0"
    front.close()


def test_a_real_engine(worker: ForkedWorker, tmp_path: Path) -> None:
    loaded = worker.load(onnx_files.mlp(tmp_path), SPEC, ONNX)
    assert isinstance(loaded, Loaded)
    assert loaded.spec.max_batch_size == 64
    front = Front(worker, loaded.spec)
    ((shape, data),) = front.run(np.zeros((32, 30), "f4"))
    assert shape == (32, 1)
    assert np.frombuffer(data, "f4") == pytest.approx([0.5] * 32)
    assert len(os.listdir(f"/proc/{worker.pid}/task")) <= 2  # the pulse, and no threads of the engine
    front.close()


def test_a_large_tensor_is_shared_both_ways(worker: ForkedWorker, tmp_path: Path) -> None:
    loaded = worker.load(onnx_files.identity(tmp_path), SPEC, ONNX)
    assert isinstance(loaded, Loaded)
    front = Front(worker, loaded.spec)
    view, lease = front.arena.allocate(16 * MIB, 37) or pytest.fail("no room")
    data = np.random.default_rng(0).random(4 * MIB, "f4")
    view[:] = data.tobytes()
    signature = Signature(((DType.FP32, (4 * MIB,)),), (0,))
    front.link.send(1, 1, signature, [[view]])
    assert lease.holds == 2
    front.loop.run_until(lambda: front.link.in_flight == 0)
    ((shape, out),) = front.answers.replies[1]
    assert shape == (1, 4 * MIB)
    assert np.array_equal(np.frombuffer(out, "f4"), data)
    assert front.answers.leases[1] is not None
    front.close()
