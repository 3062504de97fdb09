from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest

from gateway.telemetry import trace_log
from gateway.telemetry.trace_log import TraceLog, append
from gateway.telemetry.traced import Traced


def traced(number: int, log_frequency: int = 0) -> Traced:
    return Traced(number, "m", 1, "", log_frequency)


def ids(file: Path) -> list[int]:
    return [one["id"] for one in json.loads(file.read_bytes())]


def write(log: TraceLog, *several: Traced) -> None:
    for one in several:
        log.write(one)
    log.close(5.0)


def test_without_a_file_traces_are_lines_of_the_log() -> None:
    lines: list[bytes] = []
    write(TraceLog(None, 0, 0, lines.append), traced(1), traced(2))
    assert [json.loads(line)["trace"][0]["id"] for line in lines] == [1, 2]
    assert all(line.endswith(b"\n") for line in lines)


def test_fronts_share_a_file_that_is_json_at_all_times(tmp_path: Path) -> None:
    file = tmp_path / "traces.json"
    logs = [TraceLog(file, front, 1 << 20, print) for front in range(4)]
    seen: list[int] = []

    def many(front: int) -> None:
        for number in range(25):
            logs[front].write(traced(front * 100 + number))
            if file.exists() and (text := file.read_bytes()):
                seen.append(text.count(b"\n"))
        logs[front].close(5.0)

    threads = [threading.Thread(target=many, args=(front,)) for front in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(file)) == sorted(front * 100 + number for front in range(4) for number in range(25))
    write(logs[0], traced(1000))
    assert ids(file)[-1] == 1000


def test_with_a_number_of_traces_a_file_a_front_makes_its_own(tmp_path: Path) -> None:
    file = tmp_path / "traces.json"
    (tmp_path / "traces.json.3.0").write_text("somebody else's")
    write(TraceLog(file, 3, 1 << 20, print), *[traced(number, 2) for number in range(5)])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"traces.json.3.{part}" for part in range(4)]
    assert [ids(tmp_path / f"traces.json.3.{part}") for part in (1, 2, 3)] == [[0, 1], [2, 3], [4]]
    assert (tmp_path / "traces.json.3.0").read_text() == "somebody else's"


def test_a_front_does_not_look_again_at_files_that_it_has_made(tmp_path: Path) -> None:
    log = TraceLog(tmp_path / "traces.json", 0, 1 << 20, print)
    write(log, *[traced(number, 1) for number in range(3)])
    (tmp_path / "traces.json.0.0").unlink()
    write(log, traced(3, 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"traces.json.0.{part}" for part in (1, 2, 3)]
    assert ids(tmp_path / "traces.json.0.3") == [3]


def test_no_more_is_written_than_is_allowed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "traces.json"
    log = TraceLog(file, 0, 2 * len(traced(1).lines()), print)
    with caplog.at_level(logging.ERROR):
        write(log, traced(1), traced(2), traced(3), traced(4))
    assert (ids(file), log.dropped) == ([1, 2], 2)
    assert caplog.text.count("trace_max_bytes are written") == 1


@pytest.mark.parametrize("content", ["{}", "x"])
def test_a_file_of_somebody_else_is_not_touched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    file = tmp_path / "traces.json"
    file.write_text(content)
    log = TraceLog(file, 0, 1 << 20, print)
    write(log, traced(1), traced(2))
    assert (file.read_text(), log.dropped) == (content, 2)
    assert caplog.text.count("cannot be written") == 1
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(OSError, match="symbolic"):
        append(link, b"1")


def test_traces_that_come_too_fast_are_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trace_log, "MAX_WAITING", 1)
    go_on = threading.Event()
    lines: list[bytes] = []

    def slow(line: bytes) -> None:
        go_on.wait(5)
        lines.append(line)

    log = TraceLog(None, 0, 0, slow)
    for number in range(10):
        log.write(traced(number))
    go_on.set()
    log.close(5.0)
    assert len(lines) + log.dropped == 10
    assert log.dropped >= 8
    assert caplog.text.count("faster than they can be written") == 1
