"""What the host's memory is within its cgroups, from texts as kernels write them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.host import (
    HostMemory,
    Level,
    Mount,
    bounded,
    cgroup_paths,
    folders,
    meminfo,
    memory_mounts,
    read_host,
)

MIB = 1 << 20
MEMINFO = "MemTotal:     24684096 kB\nMemFree:        24362044 kB\nMemAvailable:   24326076 kB\nBuffers: 0\n"
V1_UNLIMITED = "9223372036854771712\n"
V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def group(folder: str, limit: str, used: int, idle: int = 0, high: str = "max") -> dict[str, str]:
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.high": f"{high}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon 5\nactive_file 7\ninactive_file {idle}\n",
    }


def v1_group(folder: str, limit: str, used: int, idle: int = 0) -> dict[str, str]:
    return {
        f"{folder}/memory.limit_in_bytes": limit,
        f"{folder}/memory.usage_in_bytes": f"{used}\n",
        f"{folder}/memory.stat": f"cache 5\ninactive_file 1\ntotal_inactive_file {idle}\n",
    }


def machine(root: Path, cgroup: str, mountinfo: str, files: dict[str, str]) -> Path:
    proc = {"proc/meminfo": MEMINFO, "proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo}
    return lay(root, {**proc, **files})


# ---- texts -----------------------------------------------------------------------------------------------


def test_the_machine_tells_kibibytes() -> None:
    assert meminfo(MEMINFO) == HostMemory(24684096 * 1024, 24326076 * 1024)


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemTotal:\nMemAvailable: 5 kB\n"])
def test_a_machine_that_tells_no_memory_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"meminfo|index"):
        meminfo(text)


def test_paths_of_both_versions_are_found() -> None:
    text = "9:name=systemd:/\n4:memory:/jobs/1\n1:cpu,cpuacct:/\n0::/user.slice/a:b\n"
    assert cgroup_paths(text) == {1: PurePosixPath("/jobs/1"), 2: PurePosixPath("/user.slice/a:b")}
    assert cgroup_paths("") == {}


def test_mounts_of_memory_are_found_among_the_others() -> None:
    text = (
        "23 1 0:21 / /proc rw - proc proc rw\nshort - cgroup2\n"
        + V1_MOUNT
        + "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        + "36 31 0:9 /docker/7 /a\\040b rw master:1 - cgroup2 none rw\n"
    )
    assert memory_mounts(text) == [
        Mount(1, PurePosixPath("/"), PurePosixPath("/sys/fs/cgroup/memory")),
        Mount(2, PurePosixPath("/docker/7"), PurePosixPath("/a b")),
    ]


@pytest.mark.parametrize(
    ("root", "path", "seen"),
    [
        ("/", "/a/b", ["/m/a/b", "/m/a", "/m"]),
        ("/", "/", ["/m"]),
        ("/docker/7", "/docker/7/x", ["/m/x", "/m"]),
        ("/docker/7", "/elsewhere", ["/m"]),
        ("/", "/../host", []),
    ],
    ids=["below", "root", "a container told the host's path", "not to be seen", "outside"],
)
def test_folders_lead_from_ours_outwards(root: str, path: str, seen: list[str]) -> None:
    mount = Mount(2, PurePosixPath(root), PurePosixPath("/m"))
    assert [str(one) for one in folders(mount, PurePosixPath(path))] == seen


# ---- all of it -------------------------------------------------------------------------------------------


def test_without_cgroups_it_is_the_machines(tmp_path: Path) -> None:
    assert read_host(lay(tmp_path, {"proc/meminfo": MEMINFO})) == meminfo(MEMINFO)


def test_the_smallest_limit_on_the_way_counts(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup"
    root = machine(
        tmp_path,
        "0::/pods/one\n",
        V2_MOUNT,
        {
            **group(f"{folder}/pods/one", str(900 * MIB), 300 * MIB, 100 * MIB),
            **group(f"{folder}/pods", str(800 * MIB), 750 * MIB, 50 * MIB),
            **group(f"{folder}/other", str(1 * MIB), 0),
        },
    )
    assert read_host(root) == HostMemory(800 * MIB, 100 * MIB)


def test_a_soft_limit_is_a_limit(tmp_path: Path) -> None:
    files = group("sys/fs/cgroup/a", "max", 100 * MIB, high=str(600 * MIB))
    assert read_host(machine(tmp_path, "0::/a\n", V2_MOUNT, files)) == HostMemory(600 * MIB, 500 * MIB)


def test_no_limit_is_none_in_both_versions(tmp_path: Path) -> None:
    v2 = machine(tmp_path / "v2", "0::/a\n", V2_MOUNT, group("sys/fs/cgroup/a", "max", 5))
    assert read_host(v2) == meminfo(MEMINFO)
    files = v1_group("sys/fs/cgroup/memory/a", V1_UNLIMITED, 5)
    v1 = machine(tmp_path / "v1", "4:memory:/a\n0::/\n", V1_MOUNT, files)
    assert read_host(v1) == meminfo(MEMINFO)


def test_the_first_version_bounds_memory_too(tmp_path: Path) -> None:
    files = v1_group("sys/fs/cgroup/memory/jobs/7", f"{512 * MIB}\n", 400 * MIB, 60 * MIB)
    root = machine(tmp_path, "4:memory:/jobs/7\n0::/\n", V1_MOUNT, files)
    assert read_host(root) == HostMemory(512 * MIB, 172 * MIB)


def test_use_beyond_a_limit_leaves_nothing(tmp_path: Path) -> None:
    files = group("sys/fs/cgroup/a", str(100 * MIB), 120 * MIB)
    assert read_host(machine(tmp_path, "0::/a\n", V2_MOUNT, files)) == HostMemory(100 * MIB, 0)


def test_a_group_that_tells_nonsense_bounds_nothing(tmp_path: Path) -> None:
    files = group("sys/fs/cgroup/a", "plenty", 5)
    assert read_host(machine(tmp_path, "0::/a\n", V2_MOUNT, files)) == meminfo(MEMINFO)


def test_this_host_has_memory() -> None:
    total, available = read_host()
    assert 0 < available <= total


LEVELS = st.lists(st.builds(Level, st.none() | st.integers(0, 200), st.integers(0, 300)))


@given(st.integers(0, 200), st.integers(0, 200), LEVELS)
def test_limits_never_give_more(total: int, available: int, levels: list[Level]) -> None:
    whole = HostMemory(total, min(total, available))
    found = bounded(whole, levels)
    assert 0 <= found.available_bytes <= found.total_bytes <= total
    limits = [level.limit_bytes for level in levels if level.limit_bytes is not None]
    assert found.total_bytes == min([total, *limits])
    assert found == bounded(whole, reversed(levels))
