"""The room of a machine or a container, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.crew.capacity import read_machine


@pytest.fixture
def top(tmp_path: Path) -> Path:
    write(tmp_path, "proc/meminfo", "MemTotal:  8388608 kB\nMemAvailable:    4194304 kB\n")
    return tmp_path


def write(top: Path, name: str, text: str) -> None:
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_limits(top: Path) -> None:
    """The machine's own numbers."""
    assert read_machine(top).memory_mb == 4096


def test_cgroup_2(top: Path) -> None:
    """The narrowest of all groups above the process counts, and what only caches files is free."""
    write(top, "proc/self/cgroup", "0::/user/app\n")
    write(top, "sys/fs/cgroup/user/memory.max", "2147483648\n")
    write(top, "sys/fs/cgroup/user/memory.current", "1610612736\n")
    write(top, "sys/fs/cgroup/user/memory.stat", "anon 5\ninactive_file 536870912\n")
    write(top, "sys/fs/cgroup/user/app/memory.max", "max\n")
    write(top, "sys/fs/cgroup/user/app/cpu.max", "50000 100000\n")
    write(top, "sys/fs/cgroup/user/cpu.max", "max 100000\n")
    machine = read_machine(top)
    assert (machine.cores, machine.memory_mb) == (0.5, 1024)


def test_cgroup_2_in_a_container(top: Path) -> None:
    """The process's path is the host's and is not there: the mount is the container's own
    group.
    """
    write(top, "proc/self/cgroup", "0::/docker/1234\n")
    write(top, "sys/fs/cgroup/memory.max", "1073741824\n")
    write(top, "sys/fs/cgroup/memory.current", "0\n")
    assert read_machine(top).memory_mb == 1024


def test_cgroup_1(top: Path) -> None:
    """The older layout; its way of saying that there is no limit is no limit."""
    write(top, "proc/self/cgroup", "9:cpu,cpuacct:/app\n4:memory:/app\n1:name=systemd:/\n")
    write(top, "sys/fs/cgroup/memory/app/memory.limit_in_bytes", "1073741824\n")
    write(top, "sys/fs/cgroup/memory/app/memory.usage_in_bytes", "536870912\n")
    write(top, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    write(top, "sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n")
    write(top, "sys/fs/cgroup/cpu/app/cpu.cfs_quota_us", "25000\n")
    write(top, "sys/fs/cgroup/cpu/app/cpu.cfs_period_us", "100000\n")
    machine = read_machine(top)
    assert (machine.cores, machine.memory_mb) == (0.25, 512)


def test_nothing_to_read(tmp_path: Path) -> None:
    """Where there is no /proc the memory is not known; garbage counts as nothing."""
    assert read_machine(tmp_path).memory_mb is None
    write(tmp_path, "proc/self/cgroup", "garbage\n::\n0::/../..\n")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "much\n")
    write(tmp_path, "sys/fs/cgroup/memory.max", "\n")
    assert read_machine(tmp_path).memory_mb is None
