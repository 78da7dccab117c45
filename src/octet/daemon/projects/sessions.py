"""The projects that this daemon serves: connected once, reloaded when their settings change, found
again by its successor.

Which projects have agents on this machine is written to `projects.json`, because agents live on
while a daemon is killed and replaced, and its successor must renew their leases before any hook
comes by.
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
from octet.client.api import Octet
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import Project, load_project
from octet.store import connection

log = logging.getLogger("octet.crews")

# A command to a store that hangs must end before the hook's own deadline does.
ANSWER_S = 1.2
# After a failure the store counts as down for this long: two hundred hooks shall not wait for it
# one after the other.
PAUSE_S = 1.0


@dataclass
class Crew:
    """One project as this daemon knows it; `octet` is None until the store has answered once."""

    root: Path
    url: str | None
    project: Project
    trusted: trust.Trust
    stamp: tuple[float, ...]
    octet: Octet | None = None
    down_until: float = 0.0
    down_why: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    # How many writes each agent was let through: whether it did anything since its last turn.
    # Forgotten with the daemon, which makes it look as if it had done something, once.
    writes: Counter[str] = field(default_factory=Counter)

    def connected(self) -> Octet:
        """The project's `Octet`, connected now if it was not.

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

    def failed(self, error: StoreUnreachable) -> None:
        """Take the store for down for a second."""
        # Who was refused for that alone does not prolong it: under steady hooks it would never end.
        if time.monotonic() >= self.down_until:
            self.down_why = str(error)
            self.down_until = time.monotonic() + PAUSE_S

    def _connect(self) -> Octet:
        if (
            not self.url
            and self.project.config.redis_url
            and (refusal := self.trusted.store_refusal)
        ):
            raise NotTrusted(refusal)
        url = self.url or self.project.config.redis_url or None
        try:
            client = connection.connect(url, answer_s=ANSWER_S, name="octet-daemon")
        except StoreUnreachable as error:
            self.failed(error)
            raise
        return Octet(client, self.project.name, self.project)


class Crews:
    """All projects served, by root and by the store URL that the client's environment names."""

    def __init__(self) -> None:
        self._crews: dict[tuple[str, str], Crew] = {}
        self._lock = threading.Lock()

    def find(self, root: str, url: str = "") -> Crew:
        """The crew of a repository, its settings as they are now.

        Raises:
            ConfigError, NoProject: its `octet.toml` cannot be read, or is gone.
        """
        key = (root, url)
        stamp = _stamp(root)
        crew = self._crews.get(key)
        if crew and crew.stamp == stamp:
            return crew
        project = load_project(root)
        fresh = Crew(Path(root), url or None, project, trust.check(project), stamp)
        with self._lock:
            before = self._crews.get(key)
            if before and before.octet and _same_store(before, fresh):
                fresh.octet = Octet(before.octet.store.client, project.name, project)
            self._crews[key] = fresh
        return fresh

    def all(self) -> list[Crew]:
        """Every crew known now."""
        with self._lock:
            return list(self._crews.values())

    def remember(self, crews: list[Crew]) -> None:
        """Write down which projects have agents here."""
        rows = [{"root": str(crew.root), "url": crew.url or ""} for crew in crews]
        path = _record()
        text = json.dumps(rows)
        try:
            if path.exists() and path.read_text(encoding="utf-8") == text:
                return
            temporary = path.with_name(f".projects.{os.getpid()}")
            temporary.touch(mode=0o600)  # a URL may hold a password
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            log.warning("cannot write %s: %s", path, error)

    def recall(self) -> None:
        """Take up the projects that an earlier daemon wrote down; one that is gone is left out."""
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


def _same_store(before: Crew, after: Crew) -> bool:
    """Whether the connection may be kept when settings have changed: the same server, and one that
    is approved.
    """
    same = (
        before.project.name == after.project.name
        and before.project.config.redis_url == after.project.config.redis_url
    )
    return same and bool(after.url or not after.trusted.store_refusal)


def _record() -> Path:
    return state_dir() / "projects.json"


def _stamp(root: str) -> tuple[float, ...]:
    """What changes when the settings or their approval do."""
    parts: list[float] = []
    for path in (Path(root) / FILE, trust.record_path(Path(root))):
        try:
            status = path.stat()
        except OSError:
            parts += [0, 0, 0]
        else:
            parts += [status.st_mtime_ns, status.st_size, status.st_ino]
    return (*parts, os.path.exists(Path(root, ".git")))  # noqa: PTH110 - `git init` may come later
