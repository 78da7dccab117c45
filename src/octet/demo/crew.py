"""The crew as processes that stand for Claude Code sessions: started, listened to, killed, and gone
at the end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from octet.runtime.environment import module_command

Listener = Callable[[str, Mapping[str, str]], None]


@dataclass(frozen=True)
class Part:
    """What one member of the crew is told at its start; see `roles.Scene`."""

    name: str
    role: str
    root: str
    python: str
    careless: bool = False
    lingers_at: int = 0


class ProcessCrew:
    """Each member a process. `listen(name, record)` is called, from a thread of its own, for every
    line that a member writes.
    """

    def __init__(self, listen: Listener) -> None:
        self._listen = listen
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._readers: list[threading.Thread] = []

    def start(self, part: Part) -> None:
        """Start one member; it registers itself."""
        process = subprocess.Popen(
            module_command("octet.demo.session"),
            cwd=part.root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(part)).encode() + b"\n")
        process.stdin.flush()
        self._processes[part.name] = process
        reader = threading.Thread(target=self._read, args=(part.name, process), daemon=True)
        reader.start()
        self._readers.append(reader)

    def running(self) -> list[str]:
        """Who has not ended."""
        return [name for name, process in self._processes.items() if process.poll() is None]

    def kill(self, name: str) -> None:
        """SIGKILL to one member's process, as when a terminal is torn away."""
        self._processes[name].kill()

    def end(self) -> None:
        """End whoever still runs, with the commands that it runs."""
        for process in self._processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
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
            except ValueError:  # a traceback of Python's own start, say
                record = {
                    "kind": "failed",
                    "agent": name,
                    "reason": line.decode(errors="replace").strip(),
                }
            self._listen(name, record)
