"""Agents: who takes part, what lives, and what happens to the work of those that end.

An agent is a Claude Code session, a sub-agent in it, or anything else that registers. Its *incarnation* is the token
of its registration: what was buried and came back has another one, and scripts answer the old one with `GONE`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from octet.errors import AgentGone, NotFound, Refused, UsageError
from octet.store.connection import translate_errors
from octet.store.scripts import Reply, Store, load_script

ROLES = (
    "orchestrator",
    "architect",
    "developer",
    "code-sentinel",
    "security-auditor",
    "test-orchestrator",
    "repository-guardian",
    "documentation-keeper",
)
GUEST = "guest"
NAME_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
LEASE_MS = 30_000
LOCK_TTL_MS = 60_000
SESSION_MEMORY_MS = 30 * 24 * 3600 * 1000


@dataclass(frozen=True)
class Agent:
    """A registered agent. `process` is `host:pid:start`, with `#agent_id` for a sub-agent; empty for one without a process."""

    id: str
    role: str
    incarnation: str
    kind: str = "session"
    process: str = ""
    session: str = ""
    parent: str = ""
    status: str = "active"
    capabilities: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0
    cwd: str = ""
    worktree: str = ""
    branch: str = ""
    joined_ms: int = 0

    @classmethod
    def from_json(cls, text: str) -> Agent:
        """An agent from its registry entry.

        Raises:
            ValueError: the entry is not one that Octet wrote.
        """
        record = json.loads(text)
        if not isinstance(record, dict):
            raise ValueError("a registry entry is a JSON object")
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        known["capabilities"] = tuple(known.get("capabilities") or ())
        try:
            return cls(**known)
        except TypeError as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True)
class Registration:
    """What an agent says of itself when it registers."""

    role: str = GUEST
    kind: str = "external"
    name: str = ""
    process: str = ""
    session: str = ""
    parent: str = ""
    capabilities: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0
    cwd: str = ""
    worktree: str = ""
    branch: str = ""
    lease_ms: int = LEASE_MS
    replaces: str = field(default="", compare=False)


@dataclass(frozen=True)
class Joined:
    """A registration's outcome; `how` is known (it was registered), back (a session that returned) or new."""

    agent: Agent
    how: str


@dataclass(frozen=True)
class Estate:
    """What an agent left: tasks given back and resources freed."""

    agent: str
    tasks: tuple[str, ...]
    resources: tuple[str, ...]


class Agents:
    """The registry of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def register(self, wanted: Registration) -> Joined:
        """Register an agent, as the one it was before where process or session tell.

        Raises:
            UsageError: role or name have characters that cannot stand in a key.
            Refused: the name asked for belongs to another process.
        """
        if not NAME_PATTERN.fullmatch(wanted.role) or (wanted.name and not NAME_PATTERN.fullmatch(wanted.name)):
            raise UsageError(f"agent name {wanted.name or wanted.role!r}: use letters, digits, '.', '_' and '-' (64 at most)")
        record = {
            key: value
            for key, value in asdict(wanted).items()
            if key not in {"role", "name", "lease_ms", "replaces"} and (value or key == "kind")
        }
        keys = self._keys
        session = wanted.session or wanted.process or wanted.name
        reply = self._store.run(
            "agent_register",
            [*self._retire_keys(), keys.session(session), keys.agent_seq, keys.token],
            [
                keys.channel(""),
                wanted.name,
                wanted.role,
                wanted.process,
                wanted.lease_ms,
                json.dumps({"status": "active", **record}),
                SESSION_MEMORY_MS,
                wanted.replaces,
            ],
        )
        if reply[0] == Reply.EXISTS:
            raise Refused(f"{reply[1]} is another process: choose another name, or `octet agent leave {reply[1]}` when it is no more")
        return Joined(self.get(reply[1]), reply[3])

    def join(self, agent: Agent, role: str) -> Agent:
        """Change an agent's role, and with it its name; what it held is given back. Returns the new agent.

        Raises:
            UsageError: there is no such role.
        """
        if role not in ROLES:
            raise UsageError(f"no role {role!r}: choose one of {', '.join(ROLES)}")
        if agent.role == role:
            return agent
        shared = {name: getattr(agent, name) for name in Registration.__dataclass_fields__ if hasattr(agent, name)}
        return self.register(Registration(**{**shared, "role": role, "replaces": agent.id})).agent

    def get(self, agent_id: str) -> Agent:
        """Read one agent.

        Raises:
            NotFound: nobody of that name is registered.
        """
        with translate_errors(self._store.client):
            text = self._store.client.hget(self._keys.registry, agent_id)
        if text is None:
            raise NotFound(f"no agent {agent_id}: `octet agent list` shows them")
        return Agent.from_json(text)

    def find(self, process: str) -> Agent | None:
        """The agent that a process (`host:pid:start`, with `#agent_id` for a sub-agent) is, if it is registered."""
        with translate_errors(self._store.client):
            agent_id = self._store.client.hget(self._keys.processes, process)
            text = self._store.client.hget(self._keys.registry, agent_id) if agent_id else None
        return Agent.from_json(text) if text else None

    def name_of_session(self, session: str) -> str:
        """The agent that a session is or was; "" when that was never, or long ago."""
        with translate_errors(self._store.client):
            return self._store.client.get(self._keys.session(session)) or ""

    def list(self) -> Sequence[Agent]:
        """All agents, by role and number. An entry that somebody wrote by hand and that is no agent is left out."""
        with translate_errors(self._store.client):
            texts = self._store.client.hvals(self._keys.registry)
        found = []
        for text in texts:
            try:
                found.append(Agent.from_json(text))
            except ValueError:
                continue
        return sorted(found, key=lambda agent: (agent.role, len(agent.id), agent.id))

    def update(self, agent: Agent, **changes: str) -> Agent:
        """Write changed facts (cwd, worktree, branch, status) of a registered agent.

        Raises:
            AgentGone: it was buried.
        """
        changed = replace(agent, **changes)  # type: ignore[arg-type]
        reply = self._store.run(
            "agent_update", [self._keys.incarnations, self._keys.registry], [agent.id, agent.incarnation, json.dumps(asdict(changed))]
        )
        if reply[0] == Reply.GONE:
            raise AgentGone(f"{agent.id} was declared dead and its work given back")
        return changed

    def leave(self, agent: Agent) -> Estate | None:
        """A clean end: claims go back uncounted, locks are freed. None when it was gone already."""
        return self._retire(agent, "left")

    def bury(self, agent: Agent) -> Estate | None:
        """The agent's process was seen to end: claims go back, counted as attempts. None when it was gone already."""
        return self._retire(agent, "died")

    def bury_expired(self, agent: Agent) -> Estate | None:
        """Bury the agent if it has no heartbeat. None when it has one, or was gone already."""
        return self._retire(agent, "expired")

    def beat(self, agents: Sequence[Agent], lease_ms: int = LEASE_MS) -> Sequence[bool]:
        """Renew the leases of many agents, and their locks', in one pipeline; False for those that are gone."""
        if not agents:
            return []
        keys = self._keys
        script = load_script("agent_beat")
        with translate_errors(self._store.client):
            self._store.client.script_load(script.text)
            pipe = self._store.client.pipeline(transaction=False)
            for agent in agents:
                pipe.execute_command(
                    "EVALSHA",
                    script.sha,
                    4,
                    keys.incarnations,
                    keys.heartbeat(agent.id),
                    keys.agent_locks(agent.id),
                    keys.lock(""),
                    agent.id,
                    agent.incarnation,
                    lease_ms,
                    max(LOCK_TTL_MS, lease_ms),
                )
            return [reply[0] == Reply.OK for reply in pipe.execute()]

    def without_heartbeat(self) -> Sequence[Agent]:
        """Registered agents whose lease has run out."""
        agents = self.list()
        with translate_errors(self._store.client):
            pipe = self._store.client.pipeline(transaction=False)
            for agent in agents:
                pipe.exists(self._keys.heartbeat(agent.id))
            beating = pipe.execute() if agents else []
        return [agent for agent, beats in zip(agents, beating, strict=True) if not beats]

    def _retire(self, agent: Agent, why: str) -> Estate | None:
        reply = self._store.run("agent_retire", self._retire_keys(), [self._keys.channel(""), agent.id, agent.incarnation, why])
        if reply[0] != Reply.OK:
            return None
        return Estate(agent.id, tuple(reply[1]), tuple(reply[2]))

    def _retire_keys(self) -> Sequence[str]:
        keys = self._keys
        return [
            keys.registry,
            keys.incarnations,
            keys.processes,
            keys.heartbeat(""),
            keys.claims(""),
            keys.agent_locks(""),
            keys.lock(""),
            keys.locks_index,
            keys.task(""),
            keys.priority,
            keys.stage(""),
            keys.state(""),
            keys.log,
        ]
