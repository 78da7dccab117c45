"""One round of the heartbeat for a project: renew the living agents of this machine, then expire
the dead ones and those whose lease ran out.

In this order, because to expire an agent takes time (its work is saved first) and may fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from octet.base.process import ProcessIdentity, host_id, is_alive
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.daemon.liveness.fence_cache import FenceEntries
from octet.daemon.liveness.rescuer import Rescuer
from octet.daemon.liveness.sweep import is_lease_only, log_release, sweep
from octet.daemon.projects.sessions import ProjectSession

# What else follows the heartbeat of a project's living agents.
AfterBeat = Callable[[Octet, Sequence[Agent]], None]


@dataclass(frozen=True)
class LiveAgents:
    """What a round found."""

    living: tuple[Agent, ...]  # with a process of this machine
    here: int  # those, and the ones of this machine that have no process
    elsewhere: bool  # whether there are agents whose leases alone can tell that they are dead


def find_live_agents(octet: Octet) -> tuple[LiveAgents, Sequence[Agent]]:
    """The live agents, and those of this machine whose process has ended.

    An agent without a process (a script in OCTET_AGENT) counts until its lease runs out.
    """
    living, dead, named, elsewhere = [], [], 0, False
    for agent in octet.agents.list():
        elsewhere = elsewhere or is_lease_only(agent)
        process = local_process(agent)
        if process is None:
            named += agent.kind == "external" and agent.host == host_id()
        elif is_alive(process):
            living.append(agent)
        else:
            dead.append(agent)
    return LiveAgents(tuple(living), len(living) + named, elsewhere), dead


def beat(
    octet: Octet,
    watch: Callable[[ProcessIdentity], None],
    rescuer: Rescuer,
    lease_ms: int,
    sweeper_ms: int,
    after_beat: Sequence[AfterBeat] = (),
) -> LiveAgents:
    """Do one round; `watch` is told the process of each living agent.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    found, dead = find_live_agents(octet)
    for process in filter(None, map(local_process, found.living)):
        watch(process)
    octet.agents.heartbeat(found.living, lease_ms)
    for act in after_beat:
        act(octet, found.living)
    for agent in dead:
        _expire(octet, agent, rescuer)
    sweep(octet, rescuer, {agent.id for agent in found.living}, sweeper_ms)
    return found


def expire_process(project: ProjectSession, process: ProcessIdentity, rescuer: Rescuer) -> None:
    """Expire every agent (a session and its sub-agents) of a process that has ended."""
    octet = project.connected()
    for agent in octet.agents.list():
        if local_process(agent) == process:
            _expire(octet, agent, rescuer)


def local_process(agent: Agent) -> ProcessIdentity | None:
    """An agent's process on this machine; None for another machine's, and without a process."""
    if agent.host != host_id() or not agent.process:
        return None
    try:
        return ProcessIdentity.parse(agent.process.partition("#")[0])
    except ValueError:
        return None


def fence_entries(project: ProjectSession) -> FenceEntries:
    """What git's hooks need to know of a project."""
    octet, entries = project.connected(), FenceEntries()
    for agent in octet.agents.list():
        entries.add(agent, local_process(agent))
    if any(lock.resource.startswith("repository:") for lock in octet.locks.list()):
        entries.held.add(str(project.root))
    return entries


def _expire(octet: Octet, agent: Agent, rescuer: Rescuer) -> None:
    rescuer.save(octet, agent)
    log_release(octet.agents.expire(agent))
