"""What one machine keeps about the crew of one project: the crew that is wanted, written by
`octet up` and `octet down`, and the crew that runs, written by the supervisor.

    <state>/crews/<project>/
        lock                              held by the supervisor while it lives
        up.lock                           one `octet up` or `octet down` at a time
        wanted.json                       WantedCrew
        crew.json                         CrewReport
        settings/<role>.json              the client's settings for members of the role
        settings/denied-<role>.json       the answer of their permission hook
        <member>.log, .log.1              output of a member without a terminal
        <member>.env                      environment of a member in tmux, until its shell reads it
        supervisor.log, supervisor.err
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

# How the members run.
HEADLESS, TMUX = "headless", "tmux"
# The states of a member.
UP, WAITING, GIVEN_UP, ENDED, ENDING = "up", "waiting", "given up", "ended", "ending"


@dataclass(frozen=True)
class WantedCrew:
    """The crew that a person wants. The next `octet up` and the next supervisor read it."""

    root: str  # the repository's main checkout
    mode: str  # HEADLESS or TMUX
    claude: str  # path of Claude Code's program
    version: str = ""  # of that program
    plugin: str = ""  # directory to load as a plugin; "" if the plugin is there by other means
    drop_in: bool = False  # whether the repository's .claude is the drop-in
    tmux: str = ""  # name of the tmux session
    scratch: str = ""  # directory in which each role has one for notes
    members: tuple[Member, ...] = ()
    sessions: Mapping[str, str] = field(default_factory=dict)  # member → conversation to resume
    asked: Mapping[str, Any] = field(default_factory=dict)  # roles and developers by option
    hurry: bool = False  # whether a member that leaves gets SIGTERM at once


@dataclass(frozen=True)
class MemberReport:
    """A member as the supervisor sees it."""

    name: str
    role: str
    state: str  # UP, WAITING (to be started), GIVEN_UP, ENDED (by a person) or ENDING
    tries: int = 0  # those of `Member` that this state is about
    process: str = ""  # host:pid:start; "" without a process
    session: str = ""  # id of its conversation
    restarts: int = 0
    reason: str = ""  # how its last process ended
    error: str = ""  # error of the model's service at the end of its last turn

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return _runs(self.process)


@dataclass(frozen=True)
class CrewReport:
    """The crew as the supervisor saw it last. `sessions`: member → conversation worth resuming,
    also of members that have ended.
    """

    supervisor: str
    mode: str
    members: tuple[MemberReport, ...] = ()
    sessions: Mapping[str, str] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether the supervisor that wrote it runs."""
        return _runs(self.supervisor)


def _runs(process: str) -> bool:
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
        """The directory of a project; not created here."""
        return cls(dirs.state_dir() / "crews" / project)

    def create(self) -> None:
        """Make it, for its owner alone.

        Raises:
            UsageError: it cannot be made.
        """
        dirs.make_private(self.path.parent.parent)
        dirs.make_private(self.path)

    def mark(self, member: str) -> str:
        """The text in the environment of a member's processes by which they are found. The comma
        keeps it from matching a longer name.
        """
        return f"{self.path / member},"

    def settings(self, role: str) -> Path:
        """The client's settings for members of a role."""
        return self.path / "settings" / f"{role}.json"

    def denial(self, role: str) -> Path:
        """The answer of their permission hook."""
        return self.path / "settings" / f"denied-{role}.json"

    def scratch(self) -> Path:
        """Where members write notes, a directory for each role. It lies outside Octet's state,
        which the guard keeps closed.
        """
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()).resolve() / f"octet-crew-{os.getuid()}-{name}"

    def read_wanted(self) -> WantedCrew | None:
        """The crew that is wanted; None if there is no record, or none that can be read."""
        record = self._read("wanted.json")
        if record is None:
            return None
        try:
            members = tuple(Member(**member) for member in record["members"])
            return WantedCrew(**{**record, "members": members})
        except (TypeError, KeyError):
            return None

    def write_wanted(self, wanted: WantedCrew | None) -> None:
        """Replace the record atomically; None removes it."""
        if wanted is None:
            remove_file(self.path / "wanted.json")
        else:
            self._write("wanted.json", asdict(wanted))

    def read_report(self) -> CrewReport | None:
        """The supervisor's last report; None if there is none, or none that can be read."""
        record = self._read("crew.json")
        if record is None:
            return None
        try:
            members = tuple(MemberReport(**member) for member in record["members"])
            return CrewReport(**{**record, "members": members})
        except (TypeError, KeyError):
            return None

    def write_report(self, report: CrewReport) -> None:
        self._write("crew.json", asdict(report))

    @contextmanager
    def try_lock(self) -> Iterator[int | None]:
        """The supervisor's lock, as a descriptor to inherit; None while a supervisor lives."""
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
        return record if isinstance(record, dict) and record else None

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        replace_file(self.path / name, (json.dumps(record, indent=1) + "\n").encode(), 0o600)


def without(wanted: WantedCrew, names: set[str]) -> WantedCrew:
    """`wanted` without the members of these names."""
    left = tuple(member for member in wanted.members if member.name not in names)
    return replace(wanted, members=left)


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
        own = [agent for agent in agents if agent.process.partition("#")[0] == member.process]
        if not own:
            pid = int(member.process.split(":")[1]) if member.process.count(":") == 2 else 0
            own = [a for a in agents if a.pid and a.process and pid in ancestors(a.pid)]
        found[member.name] = sorted(own, key=lambda agent: "#" in agent.process)
    return found
