from __future__ import annotations

import asyncio
import os
from pathlib import Path

from gateway.core.model import ModelKey
from gateway.core.statistics import Spent, VersionStatistics
from gateway.lifecycle.accounts import Accounts, private_bytes


def test_what_was_called_and_what_is_loaded_is_told() -> None:
    called = VersionStatistics("b", 1, success=Spent(1, 2))
    asked: list[str] = []

    def pids(model: str) -> dict[ModelKey, list[int]]:
        asked.append(model)
        return {
            ModelKey("b", 1): [os.getpid()] * 2,
            ModelKey("a", 2): [os.getpid()],
            ModelKey("c", 1): [1 << 30],
        }

    entries = asyncio.run(Accounts(lambda model: [called], pids).of("x"))
    assert asked == ["x"]
    assert [(one.name, one.version, one.success.count) for one in entries] == [("a", 2, 0), ("b", 1, 1)]
    ((one,), (two,)) = [entry.memory for entry in entries]
    assert (one.kind, one.device) == ("CPU", 0)
    assert two.size_bytes > one.size_bytes > 1 << 20


def test_memory_is_what_a_process_would_give_back(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "smaps_rollup").write_text(
        "00400000-7fff [rollup]\nRss: 900 kB\nShared_Clean: 5 kB\nPrivate_Clean: 3 kB\nPrivate_Dirty: 4 kB\n"
    )
    assert private_bytes(7, tmp_path) == 7 << 10
    assert private_bytes(8, tmp_path) == 0
