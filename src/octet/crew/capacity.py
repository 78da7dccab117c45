"""What this machine has left for a crew: cores, load and memory, as a container's limits (cgroup v1
or v2) leave them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MB = 1 << 20
NO_LIMIT = 1 << 60  # how cgroup v1 says that there is none


@dataclass(frozen=True)
class Machine:
    """`cores` may be a fraction of one; `load` is the average of the last minute; `memory_mb` can
    be had now, None: not known.
    """

    cores: float
    load: float
    memory_mb: int | None


def read_machine(top: Path = Path("/")) -> Machine:
    """The machine, or the container, that this process is in. `top` is where proc and sys lie."""
    groups = dict(_groups(top))
    cores = [float(_cores()), *_quotas(groups)]
    memory = [room for room in (_available(top), *_rooms(groups)) if room is not None]
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


def _groups(top: Path) -> Iterator[tuple[Path, str]]:
    """Every cgroup that limits this process, up to the top: its directory, and the controller (""
    in v2).
    """
    for line in _read(top / "proc/self/cgroup").splitlines():
        _, controllers, path = ["", "", "", *line.split(":", 2)][-3:]
        names = (
            [name for name in controllers.split(",") if name in ("memory", "cpu")]
            if controllers
            else [""]
        )
        for name in names:
            mount = top / "sys/fs/cgroup" / name
            # In a container the path is often the host's, and is not there: the mount itself is the
            # container's group then.
            places = [mount / Path(path.lstrip("/")), *(mount / Path(path.lstrip("/"))).parents]
            yield from (
                (place, name) for place in places if place == mount or mount in place.parents
            )


def _quotas(groups: dict[Path, str]) -> Iterator[float]:
    for place, controller in groups.items():
        if controller == "":
            quota, period = [*_read(place / "cpu.max").split(), "", ""][:2]
        else:
            quota, period = (
                _read(place / "cpu.cfs_quota_us").strip(),
                _read(place / "cpu.cfs_period_us").strip(),
            )
        if quota.isdigit() and period.isdigit() and int(quota) and int(period):
            yield int(quota) / int(period)


def _rooms(groups: dict[Path, str]) -> Iterator[int]:
    """What each group that has a limit leaves, in bytes; what only caches files is given back on
    demand.
    """
    for place, controller in groups.items():
        names = (
            ("memory.max", "memory.current", "inactive_file") if controller == "" else _V1_MEMORY
        )
        limit, used = _read(place / names[0]).strip(), _read(place / names[1]).strip()
        if limit.isdigit() and used.isdigit() and int(limit) < NO_LIMIT:
            yield max(0, int(limit) - int(used) + _field(_read(place / "memory.stat"), names[2]))


_V1_MEMORY = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _available(top: Path) -> int | None:
    found = _field(_read(top / "proc/meminfo"), "MemAvailable:")
    return found * 1024 if found else None


def _field(text: str, name: str) -> int:
    """The number behind a name in lines such as `MemAvailable:  4711 kB`; 0 where there is none."""
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
