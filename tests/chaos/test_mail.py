"""Five hundred messages to six sessions that are killed and resumed, whose hooks are killed or not
heard, through a restart of Redis.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.hooks.machine import Machine, wait_for
from tests.support.redis_fixtures import Server, find_program
from tests.support.transcripts import Transcript

from octet.base.errors import OctetError
from octet.client.api import Octet
from octet.daemon.process import control
from octet.project import trust
from octet.project.repository import load_project
from octet.store.connection import open_client

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

SESSIONS, SENDERS, MESSAGES = 6, 4, 500
QUIET_S = 40.0


class Session(threading.Thread):
    """A session's client: it fires hooks in the order of turns, and writes what they say, if it
    hears it, into its transcript.
    """

    def __init__(self, machine: Machine, number: int, seed: int) -> None:
        super().__init__(name=f"s{number}")
        self.machine, self.random = machine, random.Random(seed + number)
        self.transcript = Transcript(machine.repository.parent / f"{self.name}.jsonl")
        self.client = subprocess.Popen(["sleep", "300"])
        self.prompts, self.restarts, self.lost = 0, 0, 0
        self.faults, self.ending = threading.Event(), threading.Event()
        self.errors: list[Exception] = []
        self.faults.set()

    def run(self) -> None:
        try:
            while not self.ending.is_set():
                self.turn()
        except Exception as error:  # noqa: BLE001 - the thread's edge: the test shows it
            self.errors.append(error)

    def begin(self, source: str) -> None:
        self.fire("SessionStart", source=source)

    def turn(self) -> None:
        self.prompts += 1
        self.transcript.prompt("go on")
        self.fire("UserPromptSubmit", prompt=f"go on {self.prompts}")
        for _ in range(1 + self.random.randrange(3)):
            self.transcript.answer("a tool")
            if self.prompts == 2 or self.happens(0.15):
                return self.restart()
            self.fire("PostToolBatch", tool_calls=[])
        for again in (False, True, True):
            self.transcript.answer()
            if not self.fire("Stop", stop_hook_active=again, last_assistant_message="Done."):
                break
        return None

    def restart(self) -> None:
        """kill -9, and the same session in a new process."""
        self.restarts += 1
        self.client.kill()
        self.client.wait()
        self.client = subprocess.Popen(["sleep", "300"])
        self.begin("resume")

    def happens(self, share: float) -> bool:
        return self.faults.is_set() and self.random.random() < share

    def fire(self, event: str, **fields: Any) -> str:
        """One hook as the client runs it; what it says, "" where that was lost."""
        common = {
            "session_id": self.name,
            "transcript_path": str(self.transcript.path),
            "cwd": str(self.machine.repository),
        }
        common |= {
            "hook_event_name": event,
            "agent_type": "octet:developer",
            "prompt_id": f"p{self.prompts}",
        }  # as with --agent
        payload = json.dumps({**common, **fields, "n": time.monotonic()}).encode()
        environment = {**self.machine.environment, "CLAUDE_PID": str(self.client.pid)}
        if self.happens(0.08):
            return self.killed_hook(event, payload, environment)
        answer = self.machine.run(event, payload, environment=environment)
        told = (
            str(answer.json.get("hookSpecificOutput", {}).get("additionalContext", ""))
            if answer.out
            else ""
        )
        if told and self.happens(0.2):
            self.lost += 1
            self.transcript.output(event, answer.out.decode())
            return ""
        if told:
            self.transcript.context(event, told)
            self.transcript.request()
        return told

    def killed_hook(self, event: str, payload: bytes, environment: dict[str, str]) -> str:
        process = self.machine.begin(event, environment=environment)
        assert process.stdin
        process.stdin.write(payload)
        process.stdin.close()
        time.sleep(self.random.uniform(0, 0.05))  # somewhere on the hook's way, at no chosen point
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream
            stream.close()
        self.lost += 1
        return ""


class Sender(threading.Thread):
    """Sends its share to agents, role and everybody; notes what was stored in each inbox."""

    def __init__(self, url: str, number: int, seed: int, names: list[str]) -> None:
        super().__init__(name=f"sender-{number}")
        self.url, self.random, self.names = url, random.Random(seed + number), names
        self.stored: dict[str, list[str]] = {}

    def run(self) -> None:
        with open_client(self.url) as client, Octet(client, "shop") as octet:
            for number in range(MESSAGES // SENDERS):
                self.send(octet, f"({self.name}.{number})")
                time.sleep(self.random.uniform(0, 0.06))

    def send(self, octet: Octet, text: str) -> None:
        to = self.random.choices([self.random.choice(self.names), "developer", "all"], [70, 25, 5])[
            0
        ]
        for attempt in range(
            2000
        ):  # what was not confirmed may be stored all the same: the next attempt is another message
            try:
                body = text.replace(")", f".{attempt})")
                self.stored[body] = list(octet.messages.send(to, body, sender=self.name).refs)
                return
            except OctetError:
                time.sleep(0.02)
        raise AssertionError("the store did not come back")


@pytest.fixture
def server(short_directory: Path) -> Iterator[Server]:
    server = Server(find_program("redis"), short_directory, "--appendonly", "yes").start()
    yield server
    server.kill()


@pytest.fixture
def machine(server: Server, temporary_home: Path, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, temporary_home)
    machine.environment |= {"OCTET_REDIS_URL": server.url}
    machine.use_real_octet()
    trust.approve(load_project(machine.repository))
    yield machine
    control.stop()


def shown_in(sessions: list[Session]) -> Counter[str]:
    """How often each text stands in a context."""
    found: Counter[str] = Counter()
    for session in sessions:
        for line in session.transcript.path.read_text().splitlines():
            attachment = json.loads(line).get("attachment", {})
            if attachment.get("type") == "hook_additional_context":
                texts = "\n".join(attachment["content"]).splitlines()
                found.update(text.removeprefix("> ") for text in texts if text.startswith("> "))
    return found


def test_none_is_lost_and_none_doubled(server: Server, machine: Machine) -> None:
    """Every message whose sending was confirmed is in the context of each of its recipients exactly
    once, any other at most once.
    """
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    sessions = [Session(machine, number, seed) for number in range(SESSIONS)]
    try:
        for session in sessions:
            session.begin("startup")
        names = [f"developer-{number}" for number in range(1, SESSIONS + 1)]
        senders = [Sender(server.url, number, seed, names) for number in range(SENDERS)]
        for thread in (*sessions, *senders):
            thread.start()
        break_things(server, senders)
        settle(server, sessions)
    finally:
        for session in sessions:
            session.ending.set()
        for session in sessions:
            session.join(QUIET_S)
            session.client.kill()
            session.client.wait()
    assert [error for session in sessions for error in session.errors] == []
    check(sessions, senders)
    assert sum(session.restarts for session in sessions) > 0
    assert sum(session.lost for session in sessions) > 0


def break_things(server: Server, senders: list[Sender]) -> None:
    """kill -9 to Redis and to the daemon's worker while messages are on their way; Redis comes back
    with its data.
    """
    wait_for(
        lambda: sum(len(sender.stored) for sender in senders) > MESSAGES // 4,
        "a quarter is sent",
        QUIET_S,
    )
    server.kill()
    server.start()
    wait_for(
        lambda: sum(len(sender.stored) for sender in senders) > MESSAGES // 2,
        "half is sent",
        QUIET_S,
    )
    status = control.status()
    assert status
    os.kill(status.pid, signal.SIGKILL)
    for sender in senders:
        sender.join(QUIET_S)


def settle(server: Server, sessions: list[Session]) -> None:
    """No more faults, until every inbox is empty."""
    for session in sessions:
        session.faults.clear()
    with open_client(server.url) as client:
        inboxes = [
            f"workflow:{{shop}}:inbox:{name}"
            for name in ("developer", *(f"developer-{n}" for n in range(1, SESSIONS + 1)))
        ]
        try:
            wait_for(
                lambda: not any(client.xlen(inbox) for inbox in inboxes),
                "every inbox is empty",
                QUIET_S,
            )
        except AssertionError as error:
            left = {
                inbox: (client.xlen(inbox), client.hlen(inbox.replace("inbox", "inboxes:given")))
                for inbox in inboxes
            }
            here = client.hgetall("workflow:{shop}:agents:processes")
            raise AssertionError(
                f"left, of those given: {left}; {here}; "
                f"{[(s.name, s.client.pid, s.errors) for s in sessions]}"
            ) from error


def check(sessions: list[Session], senders: list[Sender]) -> None:
    shown = shown_in(sessions)
    # An event that outlives its killed client may register an agent for a moment; no one reads what
    # everybody is told in its place.
    real = {"developer", *(f"developer-{number}" for number in range(1, SESSIONS + 1))}
    wanted = {
        text: sum(ref.partition("/")[0] in real for ref in refs)
        for sender in senders
        for text, refs in sender.stored.items()
    }
    assert len(wanted) == MESSAGES
    assert {text: shown[text] for text in wanted if shown[text] != wanted[text]} == {}
    assert {
        text: count for text, count in shown.items() if text not in wanted and count > SESSIONS
    } == {}
