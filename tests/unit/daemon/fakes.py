"""Projects, agents and events without a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from octet.core.agents.registry import Agent
from octet.daemon.hooks.call import HookCall
from octet.daemon.projects.sessions import ProjectSession
from octet.guard import payload
from octet.guard.payload import Event
from octet.project.config import Config
from octet.project.repository import Project
from octet.project.trust import Trust

SHOP = Path("/shop")


def project(
    name: str = "shop", url: str = "unix:///s", root: Path = SHOP, **settings: Any
) -> ProjectSession:
    """An approved project that was never connected."""
    config = Config(name, **settings)
    return ProjectSession(root, url or None, Project(name, root, config), Trust(True), ())


def agent(name: str = "developer-1", role: str = "developer") -> Agent:
    return Agent(name, role, "1")


def event(name: str, **fields: Any) -> Event:
    """An event as the client sends it."""
    common = {"session_id": "s", "cwd": "/shop", "hook_event_name": name}
    return payload.parse(json.dumps({**common, **fields}).encode(), {"event": name})


def call(name: str, **fields: Any) -> HookCall[Event]:
    return HookCall(project(), event(name, **fields), pid=7)
