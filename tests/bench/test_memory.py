from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.memory import descendants, parse_pss, parse_stat, process_tree, tree_pss_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [("12 (python) S 7 12 12 0 -1", (12, 7)), ("9 (a) b (c)) R 1 9 9 0", (9, 1))],
)
def test_a_stat_line_gives_pid_and_parent_whatever_the_name(text: str, expected: tuple[int, int]) -> None:
    assert parse_stat(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("55d0-7ffd ---p 0 00:00 0 [rollup]\nRss:  9 kB\nPss:  7 kB\nPss_Dirty:  5 kB\n", 7 << 10),
        ("", 0),
    ],
)
def test_the_share_is_the_pss_line(text: str, expected: int) -> None:
    assert parse_pss(text) == expected


def test_a_tree_is_the_root_and_all_below() -> None:
    parents = {1: 0, 2: 1, 3: 2, 4: 3, 5: 1, 6: 5}
    assert descendants(parents, 2) == {2, 3, 4}
    assert descendants(parents, 6) == {6}


def _process(proc: Path, pid: int, parent: int, pss_kb: int | None) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "stat").write_text(f"{pid} (x) S {parent} 0")
    if pss_kb is not None:
        (proc / str(pid) / "smaps_rollup").write_text(f"Pss: {pss_kb} kB\n")


def test_a_tree_s_memory_is_the_sum_of_its_processes(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("")
    _process(tmp_path, 10, 1, 100)
    _process(tmp_path, 11, 10, 20)
    _process(tmp_path, 12, 11, None)  # ended between the two readings
    _process(tmp_path, 13, 1, 5000)
    (tmp_path / "14").mkdir()  # ended before its stat was read
    assert process_tree(10, tmp_path) == {10, 11, 12}
    assert tree_pss_bytes(10, tmp_path) == 120 << 10


def test_this_process_has_memory() -> None:
    assert tree_pss_bytes(os.getpid()) > 1 << 20
