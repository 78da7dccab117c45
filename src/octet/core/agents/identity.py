"""The agent that a command or a hook acts for.

A Claude Code session is known by its process (CLAUDE_PID and that process's start time), because
`/clear` and `/resume` change its session id and two terminals may resume one id. A sub-agent is its
session's process and its `agent_id`.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping

from octet.base.errors import UsageError
from octet.base.process import ProcessIdentity, host_id, identify
from octet.base.vocabulary import GUEST
from octet.core.agents.registry import Agent, Agents, Registration

# A person, or a script with a name of its own, has no process to watch: each command renews its
# lease.
NAMED_LEASE_MS = 15 * 60 * 1000
PERSON_LEASE_MS = 24 * 3600 * 1000
LONGEST_LEASE_S = 30 * 24 * 3600
_PID = re.compile(r"[0-9]{1,10}")


def process_key(process: ProcessIdentity, agent_id: str = "") -> str:
    """`host:pid:start`, with `#agent_id` for a sub-agent: what `Agent.process` holds."""
    return f"{process}#{agent_id}" if agent_id else str(process)


def claude_process(environ: Mapping[str, str]) -> ProcessIdentity | None:
    """The Claude Code process that an environment names, if it lives on this machine."""
    text = environ.get("CLAUDE_PID", "")
    return identify(int(text)) if _PID.fullmatch(text) else None


def current_agent(agents: Agents, environ: Mapping[str, str] | None = None) -> Agent:
    """The agent that the command line acts for, registered when it is new.

    It is the one that `OCTET_AGENT` names (hooks put that before a sub-agent's commands), else the
    Claude Code session around this process, else the person at the terminal.
    """
    env = os.environ if environ is None else environ
    if name := env.get("OCTET_AGENT"):
        return _named(agents, name, env)
    if process := claude_process(env):
        found = agents.find(process_key(process))
        return found or agents.register(_session(process, env)).agent
    person = "person-" + re.sub(r"[^A-Za-z0-9._-]", "-", _user())[:57]
    return agents.register(
        Registration(
            role="person", kind="person", name=person, cwd=_cwd(), lease_ms=PERSON_LEASE_MS
        )
    ).agent


def this_process(role: str) -> Registration:
    """A registration of the calling process. It is watched like a session's: when it is killed, its
    claims are requeued at once.
    """
    process = identify(os.getpid())
    assert process is not None, "this process lives"
    return Registration(
        role=role, process=process_key(process), host=process.host, pid=process.pid, cwd=_cwd()
    )


def _named(agents: Agents, name: str, env: Mapping[str, str]) -> Agent:
    for agent in agents.list():
        if agent.id == name and agent.process:
            return agent
    role = env.get("OCTET_ROLE") or GUEST
    return agents.register(
        Registration(
            role=role,
            kind="external",
            name=name,
            host=host_id(),
            cwd=_cwd(),
            lease_ms=_lease_ms(env),
        )
    ).agent


def _lease_ms(env: Mapping[str, str]) -> int:
    text = env.get("OCTET_LEASE_S") or str(NAMED_LEASE_MS / 1000)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 1 <= seconds <= LONGEST_LEASE_S:
        raise UsageError(
            f"OCTET_LEASE_S is a number of seconds, 1 to {LONGEST_LEASE_S}, not {text[:40]!r}"
        )
    return int(seconds * 1000)


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
