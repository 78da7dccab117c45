"""A real daemon with a fake service: it says what it was asked, or misbehaves as the payload tells
it to.

fake_daemon.py daemon start     what `octet daemon start` does, with this file as the worker
fake_daemon.py worker …         the worker, as the supervisor runs it
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from octet.base.dirs import state_dir
from octet.base.errors import OctetError
from octet.daemon.process import control
from octet.daemon.protocol.wire import Reply, Request
from octet.daemon.worker import run_worker

WORKER = [sys.executable, "-P", __file__, "worker"]


class FakeService:
    """Replies with the request as JSON, its payload as a digest."""

    def handle(self, request: Request) -> Reply:
        match instruction(request.payload):
            case "deny":
                return Reply(2, b"", b"denied\n")
            case "crash":
                raise RuntimeError("a bug")
            case "crash while outdated" if not is_up_to_date():
                raise RuntimeError("a file is gone")
            case wait if wait.startswith("wait "):
                Path(wait.removeprefix("wait ")).read_bytes()  # a FIFO: until the test closes it
            case "die once" if not (mark := state_dir() / "died").exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        digest = hashlib.sha256(request.payload).hexdigest()
        told = {
            **asdict(request),
            "payload": digest,
            "size": len(request.payload),
            "worker": os.getpid(),
        }
        return Reply(0, json.dumps(told).encode())


class FakeLiveness:
    """As many live agents as the file `agents` in the state directory says."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def close_stores(self) -> None:
        pass

    def live_agents(self) -> int:
        try:
            return int((state_dir() / "agents").read_text())
        except FileNotFoundError:
            return 0


def is_up_to_date() -> bool:
    """Whether the record says that the daemon was replaced by one of the code on the disk."""
    return bool(json.loads((state_dir() / "daemon.json").read_text())["modified_ns"] > 1)


def instruction(payload: bytes) -> str:
    try:
        data: Any = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    return str(data.get("fake", "")) if isinstance(data, dict) else ""


def start() -> int:
    try:
        control.start(worker=WORKER)
    except OctetError as error:
        print(f"octet: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        run_worker(lambda: (FakeService(), FakeLiveness()))
    sys.exit(start())
