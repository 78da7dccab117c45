"""The demo's crew: a process for each member, started, listened to, killed and ended."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from octet.base.commands import kill_group
from octet.runtime.environment import module_command

OnRecord = Callable[[str, Mapping[str, str]], None]


@dataclass(frozen=True)
class MemberSpec:
    """What one member is told at its start; see `roles.Scene`."""

    name: str
    role: str
    root: str
    python: str
    careless: bool = False
    stalls_at: int = 0


class ProcessCrew:
    """The members' processes.

    Args:
        on_record: called with a member's name for each line that it writes, from a thread of the
            member's own.
    """

    def __init__(self, on_record: OnRecord) -> None:
        self._on_record = on_record
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._readers: list[threading.Thread] = []

    def start(self, member: MemberSpec) -> None:
        """Start a member; it registers itself."""
        process = subprocess.Popen(
            module_command("octet.demo.session"),
            cwd=member.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(member)).encode() + b"\n")
        process.stdin.flush()
        self._processes[member.name] = process
        reader = threading.Thread(target=self._read, args=(member.name, process), daemon=True)
        reader.start()
        self._readers.append(reader)

    def running(self) -> list[str]:
        """The members whose processes have not ended."""
        return [name for name, process in self._processes.items() if process.poll() is None]

    def kill(self, name: str) -> None:
        """Send SIGKILL to a member's process, as when a terminal is closed by force."""
        self._processes[name].kill()

    def end(self) -> None:
        """End the members that still run, and the commands that they run."""
        for process in self._processes.values():
            kill_group(process)
        for reader in self._readers:
            reader.join()
        for process in self._processes.values():
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()

    def _read(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                record = json.loads(line)
            except ValueError:  # a traceback of Python, for example
                reason = line.decode(errors="replace").strip()
                record = {"kind": "failed", "agent": name, "reason": reason}
            self._on_record(name, record)
