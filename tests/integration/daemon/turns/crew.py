"""What the tests of turns ask of a session and its agent."""

from __future__ import annotations

import json
from pathlib import Path

from tests.integration.daemon.client import Client
from tests.support.store_fixtures import join

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.daemon.protocol.wire import Reply
from octet.project.config import FILE

DEVELOPER = "octet:developer"


WAKE = "<task-notification>\n<summary>Stop hook feedback</summary>\n</task-notification>"


def feedback(reply: Reply) -> str:
    """Why the turn goes on, "" where it ends."""
    return str(
        json.loads(reply.stdout or "{}").get("hookSpecificOutput", {}).get("additionalContext", "")
    )


def prompt(client: Client, text: str) -> str:
    return client.told(client.fire("UserPromptSubmit", prompt=text))


def me(octet: Octet, name: str = "developer-1") -> Agent:
    return octet.agents.get(name)


def held(octet: Octet, name: str = "developer-1") -> list[str]:
    return [task.id for task in octet.tasks.held_by(name)]


def submit(octet: Octet, commit: str) -> None:
    (task,) = octet.tasks.held_by("developer-1")
    octet.tasks.submit(task.id, task.token, branch=f"octet/{task.id}", commit=commit)


def quiet(repository: Path, seconds: int) -> None:
    (repository / FILE).write_text(f'project = "shop"\n[crew]\nquiet_s = {seconds}\n')


def new_guest(octet: Octet) -> Agent:
    return join(octet, "guest")


def crew_of(client: Client) -> Octet:
    return client.service.projects.find(str(client.root), client.url).connected()
