"""How much memory of the host the gateway may use: the machine's, or less where cgroups say so.

DESIGN: a cgroup's usage counts the page cache too, which the kernel gives up before it kills anybody, so
what of it lies unused (`inactive_file`) counts as free. What is in active use is not taken for free: it
is mostly model files that workers have mapped, and would be read again at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

_KIB = 1024
# A cgroup of the first version without a limit has the largest number of whole pages below 2^63.
_NO_LIMIT = 1 << 60


class HostMemory(NamedTuple):
    """What there is in all, and what could be had now without anybody's losing anything."""

    total_bytes: int
    available_bytes: int


class Level(NamedTuple):
    """One cgroup on the way to ours: its limits, None where it has none, and what is used of them."""

    limit_bytes: int | None
    used_bytes: int


class Mount(NamedTuple):
    """Where a hierarchy of cgroups with memory in it is to be seen; `root` is which part of it."""

    version: Literal[1, 2]
    root: PurePosixPath
    point: PurePosixPath


# File names of a cgroup by version: limits, usage, and the line of memory.stat that counts idle cache.
_FILES: dict[int, tuple[tuple[str, ...], str, str]] = {
    1: (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
    # Above `high` a cgroup is slowed down until it gives memory back: as good as a limit.
    2: (("memory.max", "memory.high"), "memory.current", "inactive_file"),
}


def read_host(root: Path = Path("/")) -> HostMemory:
    """The host's memory now; raises OSError or ValueError where the kernel does not tell of its own."""
    machine = meminfo((root / "proc/meminfo").read_text(encoding="ascii"))
    try:
        paths = cgroup_paths((root / "proc/self/cgroup").read_text(encoding="utf-8"))
        mounts = memory_mounts((root / "proc/self/mountinfo").read_text(encoding="utf-8"))
    except OSError:  # a kernel without cgroups
        return machine
    levels = (
        level
        for mount in mounts
        if mount.version in paths
        for folder in folders(mount, paths[mount.version])
        if (level := _read_level(root / folder.relative_to("/"), mount.version)) is not None
    )
    return bounded(machine, levels)


def bounded(machine: HostMemory, levels: Iterable[Level]) -> HostMemory:
    """What remains of the machine's within all the limits."""
    total, available = machine
    for level in levels:
        if level.limit_bytes is not None:
            total = min(total, level.limit_bytes)
            available = min(available, max(0, level.limit_bytes - level.used_bytes))
    return HostMemory(total, available)


def meminfo(text: str) -> HostMemory:
    """Of /proc/meminfo; raises ValueError where a line is missing or not understood."""
    told = dict(line.partition(":")[::2] for line in text.splitlines())
    try:
        return HostMemory(*(int(told[name].split()[0]) * _KIB for name in ("MemTotal", "MemAvailable")))
    except (KeyError, IndexError) as missing:
        raise ValueError(f"/proc/meminfo does not tell {missing}") from None


def cgroup_paths(text: str) -> dict[int, PurePosixPath]:
    """Of /proc/self/cgroup: the path of our cgroup in each version's hierarchy that may bound memory."""
    found: dict[int, PurePosixPath] = {}
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found[2] = PurePosixPath(path)
        elif "memory" in controllers.split(","):
            found[1] = PurePosixPath(path)
    return found


def memory_mounts(text: str) -> list[Mount]:
    """Of /proc/self/mountinfo: hierarchies in which memory may be bounded."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or not kind[0].startswith("cgroup"):
            continue
        root, point = (PurePosixPath(_unescaped(field)) for field in fields[3:5])
        if kind[0] == "cgroup2":
            found.append(Mount(2, root, point))
        elif "memory" in kind[-1].split(","):
            found.append(Mount(1, root, point))
    return found


def folders(mount: Mount, path: PurePosixPath) -> Iterator[PurePosixPath]:
    """Those of our cgroup and of all around it that can be seen, from the inside out.

    A container sees its own cgroup as the mount's root, and may be told the path that the host has for it.
    """
    inner = path.relative_to(mount.root) if path.is_relative_to(mount.root) else PurePosixPath()
    if ".." not in inner.parts:
        for part in (inner, *inner.parents):
            yield mount.point / part


def _unescaped(field: str) -> str:
    r"""Mountinfo writes a space as \040."""
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")


def _read_level(folder: Path, version: int) -> Level | None:
    """None where there is nothing of memory, as in the root of a hierarchy."""
    limits, usage, idle = _FILES[version]
    try:
        told = [_limit((folder / name).read_text()) for name in limits if (folder / name).exists()]
        used = int((folder / usage).read_text())
        cache = _counted((folder / "memory.stat").read_text(), idle)
    except (OSError, ValueError):
        return None
    known = [limit for limit in told if limit is not None]
    return Level(min(known, default=None), max(0, used - cache))


def _limit(text: str) -> int | None:
    told = text.strip()
    return None if told == "max" or int(told) >= _NO_LIMIT else int(told)


def _counted(stat: str, name: str) -> int:
    return next((int(line.split()[1]) for line in stat.splitlines() if line.startswith(f"{name} ")), 0)
