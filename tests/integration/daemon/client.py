"""A Claude Code session as the daemon sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.daemon.hooks.service import HookService
from octet.daemon.protocol.wire import Reply, Request
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import load_project


class Client:
    """A Claude Code session as the service sees it: a process, a session id, events."""

    def __init__(self, service: HookService, root: Path, url: str, pid: int, session: str) -> None:
        self.service, self.root, self.url, self.pid, self.session = service, root, url, pid, session

    def fire(self, event: str, *, by: str = "plugin", **fields: Any) -> Reply:
        common = {
            "session_id": self.session,
            "transcript_path": "/t",
            "cwd": str(self.root),
            "hook_event_name": event,
        }
        payload = json.dumps({**common, **fields}).encode()
        return self.service.handle(
            Request(event, str(self.root), by, payload, self.pid, redis_url=self.url)
        )

    def start(self, source: str = "startup", **fields: Any) -> str:
        return self.told(self.fire("SessionStart", source=source, **fields))

    def write(self, path: str, **fields: Any) -> str:
        """The denial's text, "" when the write may go on."""
        return self.tool("Write", {"file_path": path, "content": "x"}, **fields)

    def tool(self, name: str, given: dict[str, str], **fields: Any) -> str:
        return self.told(
            self.fire("PreToolUse", tool_name=name, tool_input=given, tool_use_id="t", **fields)
        )

    def shell(self, command: str, **fields: Any) -> str:
        return self.tool("Bash", {"command": command}, **fields)

    def stop(self, message: str = "Done.", **fields: Any) -> Reply:
        told = {"stop_hook_active": False, "last_assistant_message": message}
        return self.fire("Stop", **{**told, **fields})

    @staticmethod
    def told(reply: Reply) -> str:
        assert reply.exit_code == 0
        assert reply.stderr == b""
        if not reply.stdout:
            return ""
        answer = json.loads(reply.stdout)
        specific = answer.get("hookSpecificOutput", {})
        return str(
            specific.get("permissionDecisionReason")
            or specific.get("additionalContext")
            or answer.get("systemMessage")
            or specific
        )


def agents(octet: Octet) -> list[str]:
    return [agent.id for agent in octet.agents.list()]


def agent(octet: Octet, name: str) -> Agent:
    return octet.agents.get(name)


def opted_in(root: Path, name: str) -> Path:
    """Make a directory an approved repository of that project."""
    (root / FILE).parent.mkdir()
    (root / FILE).write_text(f'project = "{name}"\n')
    trust.approve(load_project(root))
    return root
