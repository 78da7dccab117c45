"""Whom `octet up` starts: from the settings, what was asked for, who runs already and what the
machine has left. Pure.

plan = plan_crew(machine, roles_of(config), 2, running=()) plan.new                        #
(Member("orchestrator-1", "orchestrator"), Member("developer-1", "developer"), …) plan.notices
# ("this machine has room for 1 developer of 2 (…)",)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from octet.base.errors import Refused
from octet.base.vocabulary import DEVELOPER, GATES, ORCHESTRATOR, ROLE_OF_STAGE, SECURITY
from octet.crew.capacity import Machine
from octet.project.config import Config

# A session of Claude Code 2.1 takes about 250 MB when it idles, and what it runs (tests, compilers)
# comes on top.
SESSION_MB = 400
RESERVE_MB = 768
# A session waits for its model most of the time; its hooks, git and tests are what takes the
# processor.
SESSIONS_PER_CORE = 4
# Even on a machine that is busy with something else, this part of it is counted on: the load may be
# a passing one.
LEAST_SHARE = 0.25


@dataclass(frozen=True)
class Member:
    """A place in the crew. `tries` grows when a person asks again for one that was given up."""

    name: str
    role: str
    tries: int = 0


@dataclass(frozen=True)
class CrewPlan:
    """All members, those of them that do not run yet, and what is to be said about it."""

    members: tuple[Member, ...]
    new: tuple[Member, ...]
    notices: tuple[str, ...] = ()


def roles_of(config: Config) -> tuple[str, ...]:
    """The roles that the repository's crew has: those set, else who plans, who builds, and who
    serves its gates.
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
    """The crew, in the order in which it is started: who plans first. Who runs stays.

    Raises:
        Refused: the machine has not even room for one session of each role.
    """
    there = {member.name for member in running}
    asked = [name for role in roles for name in _places(role, developers)]
    missing = [member for member in asked if member.name not in there]
    builders = [member for member in missing if member.role == DEVELOPER]
    others = len(missing) - len(builders)
    running_builders = sum(member.role == DEVELOPER for member in running)
    least = others + (1 if builders and not running_builders else 0)
    if not force and least > (room := _room_in_memory(machine)):
        raise Refused(
            f"this machine has {machine.memory_mb} MB to spare, room for {room} more "
            f"sessions, and the crew needs {least}:"
            " end something, name fewer roles with --role, or --force it"
        )
    most = len(builders) if force else max(least - others, _room(machine, len(running)) - others)
    kept = builders[: max(0, most)]
    new = tuple(member for member in missing if member.role != DEVELOPER or member in kept)
    return CrewPlan(
        (*running, *new), new, _notices(machine, builders, kept, running_builders, developers)
    )


def _places(role: str, developers: int) -> list[Member]:
    return [
        Member(f"{role}-{number}", role)
        for number in range(1, developers + 1 if role == DEVELOPER else 2)
    ]


def _room(machine: Machine, running: int) -> int:
    """How many sessions more the machine can take."""
    free = max(machine.cores - machine.load, machine.cores * LEAST_SHARE)
    return max(0, min(_room_in_memory(machine), int(free * SESSIONS_PER_CORE) - running))


def _room_in_memory(machine: Machine) -> int:
    return (
        1000
        if machine.memory_mb is None
        else max(0, (machine.memory_mb - RESERVE_MB) // SESSION_MB)
    )


def _notices(
    machine: Machine,
    builders: Sequence[Member],
    kept: Sequence[Member],
    running_builders: int,
    developers: int,
) -> tuple[str, ...]:
    if len(kept) < len(builders):
        memory = "" if machine.memory_mb is None else f", {machine.memory_mb} MB to spare"
        has = f"{machine.cores:g} cores, load {machine.load:.1f}{memory}"
        count = len(kept) + running_builders
        return (
            f"{count} developer{'s' if count != 1 else ''} in place of {developers}: more "
            f"would drown this machine ({has}); --force",
        )
    if running_builders > developers:
        return (
            f"{running_builders} developers run already, and go on: `octet down`, then "
            "`octet up` for fewer",
        )
    return ()
