"""A process's identity: host, pid and start time. A pid alone is reused; the three together never.

me = identify(os.getpid())
str(me)                                  # "vm-1f0c2a9b:4242:88213"
is_alive(ProcessIdentity.parse(str(me))) # True
"""

from __future__ import annotations

import calendar
import functools
import hashlib
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_LINUX = sys.platform.startswith("linux")
_PS_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class ProcessIdentity:
    """One process on one boot of one machine.

    `start` is in clock ticks since boot on Linux and in seconds since 1970 elsewhere; it serves
    for comparison only.
    """

    host: str
    pid: int
    start: int

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.start}"

    @classmethod
    def parse(cls, text: str) -> ProcessIdentity:
        """The identity that `str()` wrote.

        Raises:
            ValueError: it is not one.
        """
        host, pid, start = text.rsplit(":", 2)
        if not host:
            raise ValueError(f"no host in {text!r}")
        return cls(host, int(pid), int(start))


@functools.cache
def host_id() -> str:
    """This machine, this boot, this pid namespace: `<short host name>-<8 hex digits>`.

    A container has pids of its own and may share its host's name, so the name alone would let one
    container declare another's processes dead.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", os.uname().nodename.split(".")[0]) or "localhost"
    return f"{name}-{hashlib.sha256(_boot_and_namespace().encode()).hexdigest()[:8]}"


def identify(pid: int) -> ProcessIdentity | None:
    """Identity of the running process `pid`; None when there is none, or a zombie."""
    stat = _stat(pid)
    return None if stat is None else ProcessIdentity(host_id(), pid, stat.start)


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether that very process runs. One of another host counts as alive: its lease decides."""
    if identity.host != host_id():
        return True
    stat = _stat(identity.pid)
    return stat is not None and stat.start == identity.start


def ancestors(pid: int) -> list[int]:
    """Pids of the parent, its parent and so on, without pid 0; empty when `pid` does not run."""
    found: list[int] = []
    while (stat := _stat(pid)) and stat.parent > 0 and stat.parent not in found:
        found.append(pid := stat.parent)
    return found


@dataclass(frozen=True)
class _Stat:
    parent: int
    start: int


def _stat(pid: int) -> _Stat | None:
    if pid <= 0:
        return None
    return _stat_from_proc(pid) if _LINUX else _stat_from_ps(pid)


def _stat_from_proc(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # Field 2 is the command in parentheses and may itself hold spaces and parentheses: count from
    # the last one.
    fields = text[text.rfind(b")") + 1 :].split()
    if len(fields) < 20 or fields[0] in b"ZXx":
        return None
    return _Stat(parent=int(fields[1]), start=int(fields[19]))


def _stat_from_ps(pid: int) -> _Stat | None:
    output = _run(["ps", "-o", "stat=,ppid=,lstart=", "-p", str(pid)])
    fields = output.split()
    if len(fields) < 7 or fields[0].startswith("Z"):
        return None
    try:
        started = time.strptime(" ".join(fields[2:7]), "%a %b %d %H:%M:%S %Y")
        return _Stat(parent=int(fields[1]), start=calendar.timegm(started))
    except ValueError:
        return None


def _boot_and_namespace() -> str:
    if _LINUX:
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            return boot + str(Path("/proc/self/ns/pid").readlink())
        except OSError:
            return ""
    # Not kern.boottime: macOS moves it when the clock is set, and the agents of one boot would get
    # two hosts.
    return _run(["sysctl", "-n", "kern.bootsessionuuid"]) or _run(["sysctl", "-n", "kern.boottime"])


def _run(command: list[str]) -> str:
    """Output of a system program, in English and UTC; "" when it is missing, fails or hangs."""
    import subprocess  # never on Linux, where a hook may need this module at once

    environment = {"PATH": "/bin:/usr/bin:/sbin:/usr/sbin", "LC_ALL": "C", "TZ": "UTC"}
    try:
        done = subprocess.run(
            command, capture_output=True, env=environment, timeout=_PS_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("ascii", "replace") if done.returncode == 0 else ""
