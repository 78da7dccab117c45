"""The projects that this daemon serves: each connected once and reloaded when its settings change.

`projects.json` lists the projects with agents on this machine. Agents outlive a daemon that is
killed, and its successor must renew their leases before the first hook arrives.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from octet.base.dirs import state_dir
from octet.base.errors import NotTrusted, OctetError, StoreUnreachable
from octet.base.files import write_file
from octet.client.api import Octet
from octet.project import trust
from octet.project.config import FILE, Config
from octet.project.repository import Project, load_project
from octet.store import connection

log = logging.getLogger(__name__)

# A command to a hanging store must end before the hook's own deadline does.
ANSWER_S = 1.2
# After a failure the store counts as down for this long, so that two hundred hooks do not wait for
# it one after the other.
PAUSE_S = 1.0

ProjectKey = tuple[str, str]


@dataclass
class ProjectSession:
    """One project as this daemon knows it."""

    # The main checkout.
    root: Path
    # The store's URL that the client's environment names; None for the repository's own.
    url: str | None
    # The repository with its settings.
    repository: Project
    # What this machine's person approved of it.
    trusted: trust.Trust
    # Changes when the settings or their approval change.
    stamp: tuple[float, ...]
    # None until the store has answered once.
    octet: Octet | None = None
    # When the store is asked again, by `time.monotonic`, and why it counts as down until then.
    down_until: float = 0.0
    down_why: str = ""
    # Held while the connection is made.
    lock: threading.Lock = field(default_factory=threading.Lock)
    # Writes that the guard allowed, by agent: whether an agent did anything since its last turn.
    # A new daemon starts at 0, which once looks as if it had.
    writes: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return self.repository.name

    @property
    def config(self) -> Config:
        return self.repository.config

    @property
    def key(self) -> ProjectKey:
        """Names this project among all of the machine: agent ids are unique within it, and only
        there. Two checkouts with the same name and store are one project.
        """
        return self.name, self.url or self.config.redis_url or ""

    def connected(self) -> Octet:
        """The project's `Octet`; connects on first use.

        Raises:
            StoreUnreachable: the store does not answer, or did not within the last second.
            NotTrusted: the repository's server URL is not the approved one.
        """
        if self.octet and time.monotonic() >= self.down_until:
            return self.octet
        with self.lock:
            if time.monotonic() < self.down_until:
                raise StoreUnreachable(self.down_why)
            if self.octet is None:
                self.octet = self._connect()
            return self.octet

    def mark_down(self, error: StoreUnreachable) -> None:
        """Treat the store as down for `PAUSE_S`."""
        # A refusal during the pause does not prolong it: under steady hooks it would never end.
        if time.monotonic() >= self.down_until:
            self.down_why = str(error)
            self.down_until = time.monotonic() + PAUSE_S

    def _connect(self) -> Octet:
        own_url = self.config.redis_url
        if not self.url and own_url and (refusal := self.trusted.store_refusal):
            raise NotTrusted(refusal)
        try:
            client = connection.connect(
                self.url or own_url or None, answer_s=ANSWER_S, name="octet-daemon"
            )
        except StoreUnreachable as error:
            self.mark_down(error)
            raise
        return Octet(client, self.name, self.repository)


class Projects:
    """All projects served, by root and by the store URL that the client's environment names."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], ProjectSession] = {}
        self._lock = threading.Lock()

    def find(self, root: str, url: str = "") -> ProjectSession:
        """The project at `root`, with its current settings.

        Raises:
            ConfigError, NoProject: its `octet.toml` cannot be read, or is gone.
        """
        place = (root, url)
        stamp = _stamp(root)
        known = self._sessions.get(place)
        if known and known.stamp == stamp:
            return known
        repository = load_project(root)
        fresh = ProjectSession(Path(root), url or None, repository, trust.check(repository), stamp)
        with self._lock:
            before = self._sessions.get(place)
            if before and before.octet and _same_store(before, fresh):
                fresh.octet = Octet(before.octet.store.client, repository.name, repository)
            self._sessions[place] = fresh
        return fresh

    def all(self) -> list[ProjectSession]:
        """Every project known now."""
        with self._lock:
            return list(self._sessions.values())

    def remember(self, projects: list[ProjectSession]) -> None:
        """Record which projects have agents here."""
        rows = [{"root": str(project.root), "url": project.url or ""} for project in projects]
        path = _record()
        text = json.dumps(rows)
        try:
            if path.exists() and path.read_text(encoding="utf-8") == text:
                return
            write_file(path, text.encode(), 0o600)  # a URL may hold a password
        except OSError as error:
            log.warning("cannot write %s: %s", path, error)

    def recall(self) -> None:
        """Load the projects that an earlier daemon recorded; one that is gone is left out."""
        try:
            rows = json.loads(_record().read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("cannot read %s: %s", _record(), error)
            return
        for row in rows if isinstance(rows, list) else []:
            try:
                self.find(str(row["root"]), str(row["url"]))
            except (OctetError, KeyError, TypeError) as error:
                log.warning("left out a project of %s: %s", _record(), error)


def _same_store(before: ProjectSession, after: ProjectSession) -> bool:
    """Whether changed settings allow the connection to be kept: the same server, still approved."""
    same = before.name == after.name and before.config.redis_url == after.config.redis_url
    return same and bool(after.url or not after.trusted.store_refusal)


def _record() -> Path:
    return state_dir() / "projects.json"


def _stamp(root: str) -> tuple[float, ...]:
    """Changes when the settings or their approval change."""
    parts: list[float] = []
    for path in (Path(root) / FILE, trust.record_path(Path(root))):
        try:
            status = path.stat()
        except OSError:
            parts += [0, 0, 0]
        else:
            parts += [status.st_mtime_ns, status.st_size, status.st_ino]
    return (*parts, os.path.exists(Path(root, ".git")))  # noqa: PTH110 - `git init` may come later
