"""Which sessions `octet up` starts: a pure function of the settings, the request, the running
members and the machine's room.

    plan = plan_crew(machine, roles_of(config), 2, running=())
    plan.new        # (Member("orchestrator-1", "orchestrator"), Member("developer-1", …), …)
    plan.notices    # ("1 developer in place of 2: more would overload this machine (…); …",)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from octet.base.errors import Refused
from octet.base.vocabulary import DEVELOPER, GATES, ORCHESTRATOR, ROLE_OF_STAGE, SECURITY
from octet.crew.capacity import Machine
from octet.project.config import Config

# An idle session of Claude Code 2.1 takes about 250 MB; its tests and compilers come on top.
SESSION_MB = 400
RESERVE_MB = 768
# A session mostly waits for its model; hooks, git and tests take the processor.
SESSIONS_PER_CORE = 4
# The plan counts on this share of the cores even when the load is high: it may be short.
MIN_SHARE = 0.25
UNKNOWN_ROOM = 1000


@dataclass(frozen=True)
class Member:
    """A place in the crew. `tries` grows when a person retries a member that was given up."""

    name: str
    role: str
    tries: int = 0


@dataclass(frozen=True)
class CrewPlan:
    """All members, the new ones among them, and notices for the person."""

    members: tuple[Member, ...]
    new: tuple[Member, ...]
    notices: tuple[str, ...] = ()


def roles_of(config: Config) -> tuple[str, ...]:
    """The roles of a repository's crew: those in its settings, else an orchestrator, developers and
    a role for each gate.
    """
    if config.crew_roles:
        return config.crew_roles
    gates = set(config.gates) | ({SECURITY} if config.security_paths else set())
    return (ORCHESTRATOR, DEVELOPER, *(ROLE_OF_STAGE[gate] for gate in GATES if gate in gates))


def plan_crew(
    machine: Machine,
    roles: Sequence[str],
    developers: int,
    *,
    running: Sequence[Member] = (),
    force: bool = False,
) -> CrewPlan:
    """The crew, in the order of its start: the orchestrator first. Running members stay.

    Raises:
        Refused: the machine has no room for even one session of each role.
    """
    names = {member.name for member in running}
    wanted = [member for role in roles for member in _members_of(role, developers)]
    missing = [member for member in wanted if member.name not in names]
    builders = [member for member in missing if member.role == DEVELOPER]
    others = len(missing) - len(builders)
    running_builders = sum(member.role == DEVELOPER for member in running)
    minimum = others + (1 if builders and not running_builders else 0)
    if not force and minimum > (room := _room_in_memory(machine)):
        raise Refused(
            f"this machine has {machine.memory_mb} MB of free memory, room for {room} more "
            f"sessions, and the crew needs {minimum}: end something, name fewer roles with "
            "--role, or --force it"
        )
    room = len(missing) if force else max(minimum, _room(machine, len(running)))
    kept = builders[: max(0, room - others)]
    new = tuple(member for member in missing if member.role != DEVELOPER or member in kept)
    notices = _notices(machine, len(builders), len(kept), running_builders, developers)
    return CrewPlan((*running, *new), new, notices)


def _members_of(role: str, developers: int) -> list[Member]:
    count = developers if role == DEVELOPER else 1
    return [Member(f"{role}-{number}", role) for number in range(1, count + 1)]


def _room(machine: Machine, running: int) -> int:
    """The number of sessions that the machine can take in addition."""
    free = max(machine.cores - machine.load, machine.cores * MIN_SHARE)
    return max(0, min(_room_in_memory(machine), int(free * SESSIONS_PER_CORE) - running))


def _room_in_memory(machine: Machine) -> int:
    if machine.memory_mb is None:
        return UNKNOWN_ROOM
    return max(0, (machine.memory_mb - RESERVE_MB) // SESSION_MB)


def _notices(
    machine: Machine, missing: int, kept: int, running: int, developers: int
) -> tuple[str, ...]:
    """What to tell a person about the number of developers."""
    if kept < missing:
        memory = "" if machine.memory_mb is None else f", {machine.memory_mb} MB of free memory"
        has = f"{machine.cores:g} cores, load {machine.load:.1f}{memory}"
        count = kept + running
        return (
            f"{count} developer{'s' if count != 1 else ''} in place of {developers}: more "
            f"would overload this machine ({has}); --force starts them all the same",
        )
    if running > developers:
        return (
            f"{running} developers run already and go on: for fewer, `octet down`, then `octet up`",
        )
    return ()
