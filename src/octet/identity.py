"""Who is asking: the agent that a command or a hook acts for.

A Claude Code session is known by its process (CLAUDE_PID and that process's start time), because `/clear` and `/resume`
change its session id and two terminals may resume one id. A sub-agent is its session's process and its `agent_id`.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping

from octet.agents import GUEST, Agent, Agents, Registration
from octet.errors import UsageError
from octet.process import ProcessIdentity, identify

# A person, or a script that named itself, has no process to watch: its lease is renewed by each command.
NAMED_LEASE_MS = 15 * 60 * 1000
PERSON_LEASE_MS = 24 * 3600 * 1000


def process_key(process: ProcessIdentity, agent_id: str = "") -> str:
    """`host:pid:start`, with `#agent_id` for a sub-agent: what `Agent.process` holds."""
    return f"{process}#{agent_id}" if agent_id else str(process)


def claude_process(environ: Mapping[str, str]) -> ProcessIdentity | None:
    """The Claude Code process that an environment names, if it lives on this machine."""
    text = environ.get("CLAUDE_PID", "")
    return identify(int(text)) if text.isdigit() else None


def current_agent(agents: Agents, environ: Mapping[str, str] | None = None) -> Agent:
    """The agent that the command line acts for; registers it when it is new.

    `OCTET_AGENT` names it outright (hooks put it before a sub-agent's commands); else the Claude Code session around
    this process; else the person at the terminal.
    """
    env = os.environ if environ is None else environ
    if name := env.get("OCTET_AGENT"):
        return _named(agents, name, env)
    if process := claude_process(env):
        found = agents.find(process_key(process))
        return found or agents.register(_session(process, env)).agent
    person = "person-" + "".join(c if c.isalnum() or c in "._-" else "-" for c in _user())
    return agents.register(Registration(role="person", kind="person", name=person, cwd=_cwd(), lease_ms=PERSON_LEASE_MS)).agent


def _named(agents: Agents, name: str, env: Mapping[str, str]) -> Agent:
    for agent in agents.list():
        if agent.id == name and agent.process:
            return agent
    role = env.get("OCTET_ROLE") or GUEST
    try:
        lease_ms = int(float(env.get("OCTET_LEASE_S", NAMED_LEASE_MS / 1000)) * 1000)
    except ValueError as error:
        raise UsageError(f"OCTET_LEASE_S is a number of seconds, not {env['OCTET_LEASE_S']!r}") from error
    return agents.register(Registration(role=role, kind="external", name=name, cwd=_cwd(), lease_ms=max(1000, lease_ms))).agent


def _session(process: ProcessIdentity, env: Mapping[str, str]) -> Registration:
    return Registration(
        kind="session",
        process=process_key(process),
        session=env.get("CLAUDE_CODE_SESSION_ID", ""),
        host=process.host,
        pid=process.pid,
        cwd=_cwd(),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in many containers
        return str(os.getuid())


def _cwd() -> str:
    try:
        return str(os.getcwd())  # noqa: PTH109 - a deleted directory is an OSError either way
    except OSError:
        return ""
