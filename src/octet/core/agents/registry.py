"""The registry of agents: registration, heartbeats, and the release of an ended agent's work.

An agent is a Claude Code session, a sub-agent in it, or anything else that registers. Its
*incarnation* is the token of its registration: an agent that expired and came back has another one,
and scripts answer the old one with `GONE`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from redis.exceptions import NoScriptError

from octet.base.errors import AgentGone, NotFound, Refused, UsageError
from octet.base.vocabulary import AGENT_NAME, GUEST, ROLES
from octet.store.script_files import load_script
from octet.store.scripts import Reply, Store, from_json, to_json

LEASE_MS = 30_000
LOCK_TTL_MS = 60_000
SESSION_MEMORY_MS = 30 * 24 * 3600 * 1000


@dataclass(frozen=True)
class Agent:
    """A registered agent."""

    id: str  # its name: `developer-2`
    role: str
    incarnation: str  # the token of its registration
    kind: str = "session"  # session, subagent, person or external
    process: str = ""  # `host:pid:start`, with `#agent_id` for a sub-agent; "" without a process
    session: str = ""  # Claude Code's session id
    parent: str = ""  # of a sub-agent: its session's agent
    status: str = "active"
    capabilities: tuple[str, ...] = ()  # what tasks may need: `frontend`
    host: str = ""
    pid: int = 0
    cwd: str = ""
    worktree: str = ""  # the checkout it works in
    branch: str = ""
    formerly: str = ""  # its names in other roles, separated by spaces: it reads their inboxes
    joined_ms: int = 0  # server time

    @classmethod
    def from_json(cls, text: str) -> Agent:
        """An agent from its registry entry.

        Raises:
            ValueError: the entry is not one that Octet wrote.
        """
        record = from_json(text)
        if not isinstance(record, dict):
            raise ValueError("a registry entry is a JSON object")
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        capabilities = known.setdefault("capabilities", [])
        numbers = [known.get(name, 0) for name in ("pid", "joined_ms")]
        texts = [known.get(name) for name in ("id", "role", "incarnation")]
        texts += [
            value
            for name, value in known.items()
            if name not in {"pid", "joined_ms", "capabilities"}
        ]
        if not (
            isinstance(capabilities, list)
            and all(isinstance(text, str) for text in [*texts, *capabilities])
        ):
            raise ValueError("a field of the registry entry that should be text is not")
        if not all(isinstance(number, int) for number in numbers):
            raise ValueError("pid and joined_ms are whole numbers")
        return cls(**{**known, "capabilities": tuple(capabilities)})


@dataclass(frozen=True)
class Registration:
    """What an agent says of itself when it registers; fields as in `Agent`."""

    role: str = GUEST
    kind: str = "external"
    name: str = ""  # the name to register under; "": the role and the next number
    process: str = ""
    session: str = ""
    parent: str = ""
    capabilities: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0
    cwd: str = ""
    worktree: str = ""
    branch: str = ""
    formerly: str = ""
    lease_ms: int = LEASE_MS  # until its first heartbeat
    replaces: Agent | None = field(default=None, compare=False)  # retired in the same step


@dataclass(frozen=True)
class Joined:
    """A registration's outcome; `how`: known (registered before), back (same session) or new."""

    agent: Agent
    how: str


@dataclass(frozen=True)
class Released:
    """What an ended agent's work became: the tasks requeued and the resources freed."""

    agent: str
    tasks: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True)
class ExpiryRecord:
    """What an agent lost when its lease ran out."""

    agent: Agent  # as it was registered, without an incarnation
    at_ms: int  # server time
    tasks: tuple[tuple[str, int], ...]  # each with the number of its attempt
    locks: int  # how many

    @classmethod
    def from_json(cls, text: str) -> ExpiryRecord | None:
        """A record from its key; None for text that Octet did not write."""
        try:
            record = from_json(text)
            tasks = zip(record["tasks"].split(), map(int, record["attempts"].split()), strict=True)
            host, worktree = (str(record.get(name) or "") for name in ("host", "worktree"))
            agent = Agent(
                str(record["agent"]),
                str(record.get("role") or GUEST),
                "",
                host=host,
                worktree=worktree,
            )
            return cls(agent, int(record["at_ms"]), tuple(tasks), int(record["locks"]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


class Agents:
    """The registry of one project."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = store.keys

    def register(self, wanted: Registration) -> Joined:
        """Register an agent: as the one it was before, where its process or session is known.

        Raises:
            UsageError: role or name has characters that cannot stand in a key, or the name is a
                role's.
            Refused: the name belongs to another process.
            AgentGone: the agent that it replaces was declared dead.
        """
        _check_registration(wanted)
        record = {
            key: value
            for key, value in asdict(wanted).items()
            if key not in {"role", "name", "lease_ms", "replaces"} and (value or key == "kind")
        }
        before = wanted.replaces
        reply = self._store.run(
            "agent/register",
            session=wanted.session,
            name=wanted.name,
            role=wanted.role,
            process=wanted.process,
            lease_ms=wanted.lease_ms,
            record=to_json({"status": "active", **record}),
            memory_ms=SESSION_MEMORY_MS if wanted.session else 0,
            replaced=before.id if before else "",
            replaced_incarnation=before.incarnation if before else "",
        )
        if reply[0] == Reply.EXISTS:
            raise Refused(
                f"{reply[1]} is another process: choose another name, or `octet agent leave "
                f"{reply[1]}` when it is no more"
            )
        if reply[0] == Reply.GONE and before:
            raise AgentGone(f"{before.id} was declared dead and its work given back")
        return Joined(self.get(reply[1]), reply[3])

    def join(self, agent: Agent, role: str, capabilities: Sequence[str] = ()) -> Agent:
        """Change an agent's role, and so its name; its work is released. Returns the new agent.

        `capabilities`, where given, replace its own. An agent without a process (a person, a
        script) is known by its name only, and keeps it.

        Raises:
            UsageError: there is no such role.
            AgentGone: it was declared dead.
        """
        if role not in ROLES:
            raise UsageError(f"no role {role!r}: choose one of {', '.join(ROLES)}")
        if capabilities:
            agent = replace(agent, capabilities=tuple(sorted(set(capabilities))))
        if agent.role == role:
            return self.update(agent) if capabilities else agent
        with self._store.errors():
            left_ms: int = self._store.client.pttl(self._keys.heartbeat(agent.id))
        shared = {
            name: getattr(agent, name)
            for name in Registration.__dataclass_fields__
            if hasattr(agent, name)
        }
        name = "" if agent.process else agent.id
        formerly = f"{agent.formerly} {agent.id}".strip() if agent.process else ""
        lease_ms = max(LEASE_MS, left_ms)
        wanted = Registration(
            **{
                **shared,
                "role": role,
                "name": name,
                "formerly": formerly,
                "lease_ms": lease_ms,
                "replaces": agent,
            }
        )
        return self.register(wanted).agent

    def get(self, agent_id: str) -> Agent:
        """Read one agent.

        Raises:
            NotFound: no agent of that name is registered.
        """
        with self._store.errors():
            text = self._store.client.hget(self._keys.registry, agent_id)
        found = _entry(agent_id, text)
        if found is None:
            raise NotFound(f"no agent {agent_id}: `octet agent list` shows them")
        return found

    def find(self, process: str) -> Agent | None:
        """The registered agent of a process (`host:pid:start`; a sub-agent's has `#agent_id`)."""
        with self._store.errors():
            agent_id = self._store.client.hget(self._keys.processes, process)
            text = self._store.client.hget(self._keys.registry, agent_id) if agent_id else None
        return _entry(agent_id, text)

    def name_of_session(self, session: str) -> str:
        """The name of a session's agent, now or before; "" for none, or one of long ago."""
        with self._store.errors():
            return self._store.client.get(self._keys.session(session)) or ""

    def list(self) -> Sequence[Agent]:
        """All agents, by role and number, without entries written by hand that are no agents."""
        with self._store.errors():
            entries = self._store.client.hgetall(self._keys.registry)
        found = [
            agent
            for agent in (_entry(agent_id, text) for agent_id, text in entries.items())
            if agent
        ]
        return sorted(found, key=lambda agent: (agent.role, len(agent.id), agent.id))

    def update(self, agent: Agent, **changes: str) -> Agent:
        """Change facts (cwd, worktree, branch, status) of a registered agent.

        Raises:
            AgentGone: it was declared dead.
        """
        changed = replace(agent, **changes)  # type: ignore[arg-type]
        reply = self._store.run(
            "agent/update",
            agent=agent.id,
            incarnation=agent.incarnation,
            entry=to_json(asdict(changed)),
        )
        if reply[0] == Reply.GONE:
            raise AgentGone(f"{agent.id} was declared dead and its work given back")
        return changed

    def leave(self, agent: Agent) -> Released | None:
        """A clean end: claims are requeued uncounted, locks are freed. None when it was gone."""
        return self._retire(agent, "left")

    def expire(self, agent: Agent) -> Released | None:
        """The agent's process has ended: claims are requeued, counted as attempts, and locks are
        freed. None when it was gone.
        """
        return self._retire(agent, "died")

    def expire_silent(self, agent: Agent, epoch: str = "") -> Released | None:
        """Expire the agent if it has no heartbeat. None when it has one, was gone, or another
        sweeper has followed that of this `epoch`.
        """
        return self._retire(agent, "expired", epoch)

    def acquire_sweeper(self, daemon: str, ttl_ms: int) -> str:
        """Acquire the sweeper lease, whose holder expires silent agents of all machines. Returns
        its epoch; "" while another daemon holds it.
        """
        reply = self._store.run("agent/acquire_sweeper", daemon=daemon, ttl_ms=ttl_ms)
        return str(reply[1]) if reply[0] == Reply.OK else ""

    def expiry(self, process: str) -> ExpiryRecord | None:
        """What the agent of a process (as in `find`) lost, if its lease ran out within a week."""
        with self._store.errors():
            text = self._store.client.get(self._keys.expiry(process))
        return ExpiryRecord.from_json(text) if text else None

    def forget_expiry(self, process: str) -> None:
        """Delete the record: the process has been told."""
        with self._store.errors():
            self._store.client.delete(self._keys.expiry(process))

    def heartbeat(self, agents: Sequence[Agent], lease_ms: int = LEASE_MS) -> Sequence[bool]:
        """Renew many agents' leases and locks in one pipeline; False for one that is gone."""
        if not agents:
            return []
        with self._store.errors():
            try:
                replies = self._heartbeat(agents, lease_ms)
            except NoScriptError:  # a restarted or flushed server; a second heartbeat does no harm
                self._store.client.script_load(load_script("agent/heartbeat").text)
                replies = self._heartbeat(agents, lease_ms)
        return [self._store.checked(reply)[0] == Reply.OK for reply in replies]

    def _heartbeat(self, agents: Sequence[Agent], lease_ms: int) -> Sequence[Sequence[str]]:
        pipe = self._store.client.pipeline(transaction=False)
        for agent in agents:
            command = self._store.command(
                "agent/heartbeat",
                agent=agent.id,
                incarnation=agent.incarnation,
                lease_ms=lease_ms,
                lock_ms=max(LOCK_TTL_MS, lease_ms),
            )
            pipe.execute_command(*command)
        replies: Sequence[Sequence[str]] = pipe.execute()
        return replies

    def without_heartbeat(self) -> Sequence[Agent]:
        """Registered agents whose lease has run out."""
        agents = self.list()
        with self._store.errors():
            pipe = self._store.client.pipeline(transaction=False)
            for agent in agents:
                pipe.exists(self._keys.heartbeat(agent.id))
            beating = pipe.execute() if agents else []
        return [agent for agent, beats in zip(agents, beating, strict=True) if not beats]

    def _retire(self, agent: Agent, why: str, epoch: str = "") -> Released | None:
        reply = self._store.run(
            "agent/retire", agent=agent.id, incarnation=agent.incarnation, why=why, epoch=epoch
        )
        if reply[0] != Reply.OK:
            return None
        return Released(agent.id, tuple(reply[1]), tuple(reply[2]))


def _entry(agent_id: str, text: str | None) -> Agent | None:
    """The agent of a registry entry; None for one that is missing, or that is no agent."""
    try:
        agent = Agent.from_json(text) if text else None
    except ValueError:
        return None
    return agent if agent and agent.id == agent_id else None


def _check_registration(wanted: Registration) -> None:
    if not AGENT_NAME.fullmatch(wanted.role) or (
        wanted.name and not AGENT_NAME.fullmatch(wanted.name)
    ):
        raise UsageError(
            f"agent name {wanted.name or wanted.role!r}: use letters, digits, '.', '_' and "
            "'-' (64 at most)"
        )
    if wanted.name in (*ROLES, GUEST):
        raise UsageError(
            f"{wanted.name} is a role, and every agent of a role takes its messages: choose "
            f"another name, such as {wanted.name}-x"
        )
    if wanted.lease_ms < 1:
        raise UsageError(f"a lease lasts 1 ms or longer, not {wanted.lease_ms}")
