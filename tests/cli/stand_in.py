"""Stands for Claude Code as a member of a crew: registers, says what it was given, and ends as the
client does.

What it does is in the file `<member>` of the directory in CREW_PLAY: "die" ends it at once, "hold"
lets it claim a task and keep it, "stubborn" lets it ignore everything but SIGKILL, "quit" ends it
as a person's /exit does.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from octet.base.process import host_id, identify
from octet.client.api import connect
from octet.core.agents.registry import Registration


def set_at_end_of_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def play(words: list[str]) -> int:
    """One session, from its registration to its end; its exit status."""
    member = Path(os.environ["OCTET_CREW_MEMBER"].rstrip(",")).name
    stage = Path(os.environ["CREW_PLAY"])
    said = json.loads(sys.stdin.readline()) if "-p" in words else None
    with (stage / f"{member}.told").open("a") as file:
        file.write(
            json.dumps(
                {"words": words, "said": said, "environment": dict(os.environ), "pid": os.getpid()}
            )
            + "\n"
        )
    script = stage / member
    part = script.read_text() if script.exists() else ""
    if part == "die":
        print("no key: run /login", flush=True)
        return 3
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, (lambda *_: None) if part == "stubborn" else lambda *_: ended.set())
    role = words[words.index("--agent") + 1].removeprefix("octet:")
    session = next(
        word for name, word in itertools.pairwise(words) if name in ("--session-id", "--resume")
    )
    with connect(Path.cwd()) as octet:
        process = identify(os.getpid())
        mine = Registration(
            role=role,
            kind="session",
            process=str(process),
            session=session,
            host=host_id(),
            pid=os.getpid(),
        )
        agent = octet.agents.register(mine).agent
        if part == "hold":
            octet.tasks.claim(agent)
        helper = subprocess.Popen(
            ["sleep", "600"], start_new_session=True
        )  # what a shell command leaves running
        if part == "quit":
            helper.kill()
            octet.agents.leave(agent)
            return 0
        if "-p" in words and part != "stubborn":
            threading.Thread(target=set_at_end_of_input, args=(ended,), daemon=True).start()
        while not ended.wait(0.2):
            pass
        octet.agents.leave(agent)
        helper.kill()
    return 0 if "-p" in words else 143


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print("2.1.330 (Claude Code)")
    elif sys.argv[1:2] == ["plugin"]:
        print("[]")
    else:
        sys.exit(play(sys.argv[1:]))
