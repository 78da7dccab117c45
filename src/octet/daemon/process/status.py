"""What a daemon says of itself: on its socket, and in `daemon.json` for when it does not answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from octet.base.files import write_file
from octet.base.process import ProcessIdentity, identify, is_alive
from octet.daemon.process.build import Build

RECORD = "daemon.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """One reading; a default stands for "it did not say"."""

    pid: int = 0  # of the worker
    supervisor: int = 0  # the supervisor's pid
    version: str = ""
    fingerprint: str = ""  # a hash of its code
    modified_ns: int = 0  # when its newest file changed, ns since 1970
    started: float = 0.0  # seconds since 1970
    uptime_s: float = 0.0
    agents: int = 0  # live ones of this machine
    requests: int = 0  # hooks answered
    in_flight: int = 0  # hooks being answered now
    memory_kb: int = 0  # held now

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Status:
        """From a daemon of any version: what it does not say gets its default, what we do not know
        is left out.
        """
        known = {field.name: type(field.default) for field in fields(cls)}
        return cls(
            **{name: data[name] for name, kind in known.items() if isinstance(data.get(name), kind)}
        )

    @property
    def build(self) -> Build:
        """The code that it runs."""
        return Build(self.version, self.fingerprint, self.modified_ns)


def write_record(state: Path, status: Status) -> None:
    """Write `daemon.json`, with the identities of both processes; a full disk costs the record and
    nothing else.
    """
    processes = [
        str(identity) for pid in (status.supervisor, status.pid) if (identity := identify(pid))
    ]
    text = json.dumps({**asdict(status), "processes": processes}, indent=1)
    try:
        write_file(state / RECORD, f"{text}\n".encode("ascii"))
    except OSError as error:
        _log.warning("cannot write %s: %s", state / RECORD, error)


def recorded_processes(state: Path) -> list[ProcessIdentity]:
    """Those of the record's processes that still run: the supervisor, then the worker."""
    try:
        identities = [
            ProcessIdentity.parse(text)
            for text in json.loads((state / RECORD).read_text(encoding="ascii"))["processes"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []  # half-written by a crash, or another version's
    return [identity for identity in identities if is_alive(identity)]
