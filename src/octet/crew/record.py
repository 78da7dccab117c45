"""What one machine keeps about the crew of one project: who shall run, written by `octet up` and
`down`, and who does, by the supervisor.

<state>/crews/<project>/
    lock                 held by the supervisor as long as it lives
    up.lock              one `octet up` or `octet down` at a time
    wanted.json          Wanted
    crew.json            Report
    settings/<role>.json, denied-<role>.json      what a member is given
    <member>.log, .log.1 what a member without a terminal said
    supervisor.log
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from octet.base import dirs
from octet.base.files import read_file, remove_file, replace_file
from octet.base.process import ProcessIdentity, ancestors, is_alive
from octet.core.agents.registry import Agent
from octet.crew.plan import Member

HEADLESS, TMUX = "headless", "tmux"
UP, WAITING, GIVEN_UP, ENDED, ENDING = "up", "waiting", "given up", "ended", "ending"


@dataclass(frozen=True)
class Wanted:
    """The crew as it shall be. `asked` are the roles and the number of developers that a person
    named, kept for the next `octet up`.

    `sessions`: member → the conversation that it goes on with. `tmux` is the session's name,
    `scratch` where roles may write. `hurry`: who leaves is not given time.
    """

    root: str
    mode: str
    claude: str
    version: str = ""
    plugin: str = ""
    drop_in: bool = False
    tmux: str = ""
    scratch: str = ""
    members: tuple[Member, ...] = ()
    sessions: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    hurry: bool = False


@dataclass(frozen=True)
class MemberReport:
    """A member as it is: one of the states above. `process` is `host:pid:start`, `error` what its
    model's service last said.
    """

    name: str
    role: str
    state: str
    tries: int = 0
    process: str = ""
    session: str = ""
    restarts: int = 0
    reason: str = ""
    error: str = ""

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return _is_alive(self.process)


@dataclass(frozen=True)
class Report:
    """The supervisor's last word. `sessions`: member → the conversation that is worth going on
    with, also when it has ended.
    """

    supervisor: str
    mode: str
    members: tuple[MemberReport, ...] = ()
    sessions: Mapping[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether that supervisor runs."""
        return _is_alive(self.supervisor)


def _is_alive(process: str) -> bool:
    try:
        return is_alive(ProcessIdentity.parse(process))
    except ValueError:
        return False


class CrewDirectory:
    """The files of one project's crew on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, project: str) -> CrewDirectory:
        """That of a project; not created here."""
        return cls(dirs.state_dir() / "crews" / project)

    def create(self) -> None:
        """Make it, for its owner alone.

        Raises:
            UsageError: it cannot be made.
        """
        dirs.make_private(self.path.parent.parent)
        dirs.make_private(self.path)

    def mark(self, member: str) -> str:
        """What the environment of a member's processes says; the end of the text is told from a
        longer name's by its comma.
        """
        return f"{self.path / member},"

    def scratch(self) -> Path:
        """Where its sessions may write what is no work, a directory for each role; not below ours,
        which the guard keeps closed.
        """
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()).resolve() / f"octet-crew-{os.getuid()}-{name}"

    def read_wanted(self) -> Wanted | None:
        """What shall run; None where nothing is known, or what is there cannot be read."""
        record = self._read("wanted.json")
        try:
            return (
                Wanted(**{**record, "members": tuple(Member(**one) for one in record["members"])})
                if record
                else None
            )
        except (TypeError, KeyError):
            return None

    def write_wanted(self, wanted: Wanted | None) -> None:
        """Replace it at once; None: nothing is known any more."""
        if wanted is None:
            remove_file(self.path / "wanted.json")
        else:
            self._write("wanted.json", asdict(wanted))

    def read_report(self) -> Report | None:
        """Who runs, as the supervisor said last; None where there never was one."""
        record = self._read("crew.json")
        try:
            return (
                Report(
                    **{**record, "members": tuple(MemberReport(**one) for one in record["members"])}
                )
                if record
                else None
            )
        except (TypeError, KeyError):
            return None

    def write_report(self, report: Report) -> None:
        self._write("crew.json", asdict(report))

    @contextmanager
    def try_lock(self) -> Iterator[int | None]:
        """The supervisor's lock as a descriptor that it can inherit; None while a supervisor lives."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield descriptor
        finally:
            os.close(descriptor)

    def is_supervised(self) -> bool:
        """Whether a supervisor lives."""
        if not (self.path / "lock").exists():
            return False
        with self.try_lock() as lock:
            return lock is None

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            record = json.loads(read_file(self.path / name) or b"null")
        except (ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) else None

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        replace_file(self.path / name, (json.dumps(record, indent=1) + "\n").encode(), 0o600)


def without(wanted: Wanted, names: set[str]) -> Wanted:
    """`wanted` without some of its members."""
    return replace(
        wanted, members=tuple(member for member in wanted.members if member.name not in names)
    )


def agents_of(
    agents: Sequence[Agent], members: Sequence[MemberReport]
) -> Mapping[str, list[Agent]]:
    """Member → its agents, the session before its sub-agents. The client may be a child of the
    program that was started.
    """
    found: dict[str, list[Agent]] = {}
    for member in members:
        if member.state != UP and not member.process:
            continue
        pid = int(member.process.split(":")[1]) if member.process.count(":") == 2 else 0
        own = [one for one in agents if one.process.partition("#")[0] == member.process]
        own = own or [
            one for one in agents if one.pid and one.process and pid in ancestors(one.pid)
        ]
        found[member.name] = sorted(own, key=lambda one: "#" in one.process)
    return found
