"""What this machine has left for a crew: cores, load and memory, within a container's limits
(cgroup v1 or v2).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MB = 1 << 20
NO_LIMIT = 1 << 60  # cgroup v1 writes a number beyond this one when there is no limit

# The limit, the use, and the field of memory.stat with the file cache.
_V1_MEMORY = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2_MEMORY = ("memory.max", "memory.current", "inactive_file")


@dataclass(frozen=True)
class Machine:
    """`cores` may be a fraction; `load` is the average of the last minute; `memory_mb` is what can
    still be allocated, None if unknown.
    """

    cores: float
    load: float
    memory_mb: int | None


def read_machine(root: Path = Path("/")) -> Machine:
    """The machine or container of this process. `root` is the directory with proc and sys."""
    groups = dict(_groups(root))
    cores = [float(_cores()), *_cpu_limits(groups)]
    memory = [free for free in (_available(root), *_free_memory(groups)) if free is not None]
    return Machine(min(cores), _load(), min(memory) // MB if memory else None)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def _groups(root: Path) -> Iterator[tuple[Path, str]]:
    """Each cgroup that limits this process, up to the top: directory and controller ("" in v2)."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = ["", "", "", *line.split(":", 2)][-3:]
        for name in _controllers(controllers):
            mount = root / "sys/fs/cgroup" / name
            # In a container the path is often the host's and does not exist: the mount itself is
            # then the container's group.
            directory = mount / Path(path.lstrip("/"))
            for group in (directory, *directory.parents):
                if group == mount or mount in group.parents:
                    yield group, name


def _controllers(listed: str) -> list[str]:
    if not listed:
        return [""]
    return [name for name in listed.split(",") if name in ("memory", "cpu")]


def _cpu_limits(groups: dict[Path, str]) -> Iterator[float]:
    for group, controller in groups.items():
        if controller == "":
            quota, period = [*_read(group / "cpu.max").split(), "", ""][:2]
        else:
            quota = _read(group / "cpu.cfs_quota_us").strip()
            period = _read(group / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit() and int(quota) and int(period):
            yield int(quota) / int(period)


def _free_memory(groups: dict[Path, str]) -> Iterator[int]:
    """The bytes that each limited group has left; the kernel drops its file cache on demand."""
    for group, controller in groups.items():
        limit_file, used_file, cache_field = _V2_MEMORY if controller == "" else _V1_MEMORY
        limit, used = _read(group / limit_file).strip(), _read(group / used_file).strip()
        if limit.isdigit() and used.isdigit() and int(limit) < NO_LIMIT:
            cache = _field(_read(group / "memory.stat"), cache_field)
            yield max(0, int(limit) - int(used) + cache)


def _available(root: Path) -> int | None:
    found = _field(_read(root / "proc/meminfo"), "MemAvailable:")
    return found * 1024 if found else None


def _field(text: str, name: str) -> int:
    """The number behind a name in lines such as `MemAvailable:  4711 kB`; 0 without such a line."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
