"""Memory of a process tree as PSS: shared pages are counted once, divided among those that map them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_PROC = Path("/proc")


def parse_stat(text: str) -> tuple[int, int]:
    """(pid, parent's pid) of a /proc/<pid>/stat line; the name between them may hold anything."""
    pid, rest = text.split(" (", 1)
    return int(pid), int(rest.rsplit(") ", 1)[1].split()[1])


def parse_pss(smaps_rollup: str) -> int:
    """Bytes of the `Pss:` line; 0 for a process that has no memory any more (a zombie's is empty)."""
    for line in smaps_rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


def descendants(parents: Mapping[int, int], root: int) -> frozenset[int]:
    """`root` and all below it, by a map from pid to parent's pid."""
    tree = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in tree} - tree
        if not more:
            return frozenset(tree)
        tree |= more


def process_tree(root: int, proc: Path = _PROC) -> frozenset[int]:
    """The pids of `root` and its descendants now; those that end meanwhile may be missing."""
    parents: dict[int, int] = {}
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                pid, parent = parse_stat((entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended between the listing and the reading
            parents[pid] = parent
    return descendants(parents, root)


def tree_pss_bytes(root: int, proc: Path = _PROC) -> int:
    """PSS of `root` and all its descendants, bytes."""
    total = 0
    for pid in process_tree(root, proc):
        try:
            total += parse_pss((proc / str(pid) / "smaps_rollup").read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile: it holds nothing any more
    return total
