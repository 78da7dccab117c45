"""The loop of a role: what an agent is told when its turn ends, so that it goes on without being
asked.

next_step(project, agent, event)     # Stop, SubagentStop: the next task, claimed for it; or that it
still holds one; "" lets it idle has_work(octet, agent)            # whether an idle agent should be
woken heard(project, agent, event)         # UserPromptSubmit: a person comes first woken(project, agent,
event)         # UserPromptSubmit that nobody typed: what it was woken for, claimed for it

What follows the end of a turn is `turns.decide`'s to say; nothing here waits. What is remembered
from turn to turn is the agent's `Standing` in the store. A claim whose hand-out is lost on the way
(Esc, a killed hook) is the agent's all the same: it is told at the next prompt and the next Stop,
and `give_back_untouched` takes it from one that idles over it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from octet.base.errors import (
    AgentGone,
    NotFound,
    NothingToClaim,
    OctetError,
    Refused,
    StoreUnreachable,
)
from octet.base.text import plain
from octet.base.vocabulary import GATES, MERGE, ORCHESTRATOR, TEST, WORK_STAGES, stage_of_role
from octet.client.api import Octet
from octet.core.agents.election import STANDBY
from octet.core.agents.registry import Agent
from octet.core.agents.work_state import CLEAN_SLATE, CREW_DOWN, Standing, packed
from octet.core.tasks.record import Task, TaskState
from octet.daemon.projects.sessions import ProjectSession
from octet.daemon.turns import handout, rules
from octet.daemon.turns.rules import AT_WORK, IDLE, Step, Turn, decide
from octet.guard.payload import SubagentStop, TurnEnd, UserPromptSubmit
from octet.project.config import Config
from octet.project.repository import find_worktree

log = logging.getLogger("octet.loop")

# A claim that an idle agent never touched is given back after this long.
UNTOUCHED_MS = 30 * 60 * 1000
# Work that stays where it is (a merge that waits for a person) is offered again after a minute,
# then two, four, …, an hour at most.
OFFER_AGAIN_MS = 60_000
OFFER_AT_LEAST_MS = 3_600_000
# Who holds a task and was cut off by an error of the API is woken for it after so long.
CUT_AGAIN_MS = 60_000
# The stages whose command claims for itself.
OFFERED = (TEST, MERGE)
# A prompt that begins like this was typed by nobody: the client's own words for what ended or
# arrived while the session was idle.
NOT_A_PERSON = (
    "<task-notification>",
    "<system-reminder>",
    "<cross-session-message",
    "<teammate-message",
    "Another Claude session sent",
)

Keep = Callable[[Octet, Agent], None]


def next_step(
    project: ProjectSession, agent: Agent, event: TurnEnd, keep: Keep | None = None
) -> str:
    """What an agent is told whose turn ends; "" where it may end. `keep` saves the work of one that
    is parked, before its task goes back.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    octet, config = project.connected(), project.config
    if not config.crew_loop or not stage_of_role(agent.role):
        return ""
    try:
        turn = _look(project, agent, event)
        step = decide(turn, config)
        if step.kind == "hand":
            return _hand(octet, agent, turn.standing, step.changes)
        if step.kind == "park":
            _park(octet, agent, turn, step, keep)
            return ""
        octet.standings.note(agent, step.changes)
        return (
            handout.reminded(turn.held[0], rules.answers(turn.standing))
            if step.kind == "remind"
            else ""
        )
    except AgentGone:
        return ""


def has_work(octet: Octet, agent: Agent) -> bool:
    """Whether an idle agent should be woken, because its next Stop would hand it something; cheap,
    and claims nothing.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    stage, config = (
        stage_of_role(agent.role),
        octet.project.config if octet.project else Config(octet.name),
    )
    if not stage or not config.crew_loop:
        return False
    picture = octet.tasks.picture(
        stage
    )  # first: what is added after it was paused, or took a task, is not for it
    standing = octet.standings.get(agent.id)
    if standing.stopped or _parent_stopped(octet, agent):
        return False
    now_ms = octet.now_ms()
    if octet.tasks.held_by(agent.id):
        return standing.cut and now_ms - standing.idle_ms >= CUT_AGAIN_MS
    if octet.election.standing(agent) == STANDBY:
        return False
    talks = standing.asked or now_ms - standing.talked_ms < config.crew_quiet_s * 1000
    if not picture or (standing.begun and talks):
        return False
    return not _in_vain(standing, picture, now_ms)


def is_stopped(octet: Octet, agent: Agent) -> bool:
    """Whether the agent, or the session that it is a sub-agent of, is paused or parked."""
    return bool(octet.standings.get(agent.id).stopped) or _parent_stopped(octet, agent)


def heard(project: ProjectSession, agent: Agent, event: UserPromptSubmit) -> str:
    """Note that a person talks with the agent; what it holds, in a line, because an answer must not
    make it forget that.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    octet, config = project.connected(), project.config
    if not config.crew_loop or not stage_of_role(agent.role) or not is_person(event.prompt):
        return ""
    standing = octet.standings.get(agent.id)
    fresh = CLEAN_SLATE if standing.parked else {}
    try:
        octet.standings.note(
            agent, {**fresh, "asked": "1", "told": "", "reminders": "", "idle_ms": "", "cut": ""}
        )
    except AgentGone:
        return ""
    held = octet.tasks.held_by(agent.id)
    return handout.held(held[0]) if held else ""


def woken(project: ProjectSession, agent: Agent, event: UserPromptSubmit) -> str:
    """The next task of an idle agent whose turn begins by itself, so that it need not ask the model
    what to claim; "" for none.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    octet = project.connected()
    if is_person(event.prompt) or not has_work(octet, agent):
        return ""
    if held := octet.tasks.held_by(agent.id):  # its last turn was cut off
        return handout.reminded(held[0], asked=False)
    try:
        return _hand(octet, agent, octet.standings.get(agent.id), {})
    except AgentGone:
        return ""


def began(octet: Octet, agent: Agent, source: str) -> None:
    """A session has begun: what it was handed in another process is not in its hands now, and its
    first turn begins the loop.
    """
    if source not in ("startup", "resume", "fork"):
        return
    names = (
        "begun",
        "asked",
        "talked_ms",
        "idle_ms",
        "task",
        "token",
        "base",
        "told",
        "reminders",
        "vain",
        "vain_until_ms",
        "offers",
    )
    if octet.standings.get(agent.id) != Standing():
        octet.standings.lift(
            agent, CREW_DOWN
        )  # that crew is down: a conversation that goes on has come back with the next one
        octet.standings.note(agent, dict.fromkeys(names, ""))


def went_idle(octet: Octet, agent: Agent, *, cut: bool = False) -> None:
    """Its turn has ended without a Stop: by its person (Esc), which the client tells later by
    saying that it is idle, or (`cut`) by an error of the API, after which it may be woken for the
    task that it holds.
    """
    standing = octet.standings.get(agent.id)
    if not stage_of_role(agent.role) or (standing.idle_ms and not cut):
        return
    talk = {"asked": "", "talked_ms": "now"} if standing.asked and not standing.task else {}
    with suppress(AgentGone):
        octet.standings.note(agent, {"idle_ms": "now", "cut": "1" if cut else "", **talk})


def give_back_untouched(octet: Octet, agents: Sequence[Agent], keep: Keep) -> None:
    """Park those that idle over a claim they were handed and never touched: the hand-out was lost,
    or its person has gone.
    """
    if not agents:
        return
    standings, now_ms = octet.standings.of([agent.id for agent in agents]), octet.now_ms()
    for agent in agents:
        standing = standings[agent.id]
        if (
            not standing.task
            or not standing.idle_ms
            or standing.stopped
            or now_ms - standing.idle_ms < UNTOUCHED_MS
        ):
            continue
        held = tuple(
            task
            for task in octet.tasks.held_by(agent.id)
            if task.token == standing.token and not _is_touched(agent, task, standing)
        )
        if held:
            turn = Turn(standing, standing.stage, agent.id, now_ms, held)
            with suppress(AgentGone):
                _park(
                    octet,
                    agent,
                    turn,
                    Step("park", {}, f"it idled over task {held[0].id} and never began it"),
                    keep,
                )


def _is_touched(agent: Agent, task: Task, standing: Standing) -> bool:
    """Whether the task was reported on, or a worktree made or committed to, since it was handed
    out.
    """
    return (
        task.updated_ms > standing.given_ms or _committed_ns(agent) // 1_000_000 > standing.given_ms
    )


def is_person(prompt: str) -> bool:
    """Whether a person typed the prompt; the client runs the same hook for each machine wake."""
    return not prompt.lstrip().startswith(NOT_A_PERSON)


def notice(octet: Octet, agent: Agent) -> str:
    """For the person at the terminal: that the agent is parked, and how it goes on; "" where it is
    not.
    """
    parked = octet.standings.get(agent.id).parked
    return (
        f"Octet: {agent.id} is parked: {plain(parked)}. Your next prompt, or `octet agent "
        "resume`, lets it go on."
        if parked
        else ""
    )


def _look(project: ProjectSession, agent: Agent, event: TurnEnd) -> Turn:
    octet = project.connected()
    standing = octet.standings.get(agent.id)
    if not standing.stopped and _parent_stopped(octet, agent):
        standing = replace(standing, paused=f"with {agent.parent}")
    held = tuple(sorted(octet.tasks.held_by(agent.id), key=lambda task: task.claimed_ms))
    ended, judged = None, False
    if standing.task and all(task.token != standing.token for task in held):
        ended = _read(octet, standing.task)
        records = (
            octet.tasks.records(standing.task)
            if ended and standing.stage not in WORK_STAGES
            else ()
        )
        judged = any(
            record.by == agent.id and record.at_ms >= standing.given_ms for record in records
        )
    subagents = isinstance(event, SubagentStop)
    return Turn(
        standing=standing,
        stage=stage_of_role(agent.role),
        agent=agent.id,
        now_ms=octet.now_ms(),
        held=held,
        ended=ended,
        judged=judged,
        mark=_mark(project, agent, held[0]) if held else "",
        waits=not subagents
        and any(task.kind == "subagent" or held for task in event.background_tasks),
    )


def _mark(project: ProjectSession, agent: Agent, task: Task) -> str:
    """What is the same as long as nobody did anything for the task: reports, commits, writes. It
    costs a stat, and no git process.
    """
    return f"{task.token}:{task.updated_ms}:{_committed_ns(agent)}:{project.writes[agent.id]}"


def _committed_ns(agent: Agent) -> int:
    """When HEAD last moved where the agent works, by the machine's clock; 0 where git keeps no such
    log.
    """
    worktree = find_worktree(agent.worktree or agent.cwd)
    try:
        return (worktree.git_dir / "logs" / "HEAD").stat().st_mtime_ns if worktree else 0
    except OSError:
        return 0


def _read(octet: Octet, task_id: str) -> Task | None:
    try:
        return octet.tasks.get(task_id)
    except NotFound:
        return None


def _parent_stopped(octet: Octet, agent: Agent) -> bool:
    return bool(agent.parent and octet.standings.get(agent.parent).stopped)


def _in_vain(standing: Standing, picture: str, now_ms: int) -> bool:
    """Whether just this was there for the agent before, and nothing came of it."""
    return standing.vain == picture and not 0 < standing.vain_until_ms <= now_ms


def _hand(octet: Octet, agent: Agent, standing: Standing, settled: Mapping[str, str]) -> str:
    """Claim the next task of the agent's stage and say what it is; "" where there is none for it."""
    stage = stage_of_role(agent.role)
    picture = octet.tasks.picture(stage)
    idle = {**settled, **IDLE, "talked_ms": "", "asked": ""}
    if not picture:
        octet.standings.note(agent, {**idle, "vain": "", "offers": ""})
        return ""
    if stage in OFFERED:
        return _offer(octet, agent, standing, settled, picture)
    try:
        task = _claim(octet, agent, stage, settled.get("returns", packed(standing.returns)))
    except NothingToClaim as nothing:
        until_ms = str(octet.now_ms() + nothing.offer_ms) if nothing.offer_ms else ""
        octet.standings.note(
            agent, {**idle, "vain": octet.tasks.picture(stage), "vain_until_ms": until_ms}
        )
        return ""
    except Refused:  # the agent itself has claimed another just now
        octet.standings.note(agent, idle)
        return ""
    if is_stopped(
        octet, agent
    ):  # by a person, at this moment: whoever has been told that it is paused must see it paused
        octet.tasks.release(task.id, task.token, "not begun: its agent was paused")
        octet.standings.note(agent, idle)
        return ""
    known = {
        "task": task.id,
        "token": task.token,
        "stage": stage,
        "base": task.commit,
        "given_ms": "now",
    }
    fresh = dict.fromkeys(("told", "reminders", "asked", "talked_ms", "vain", "vain_until_ms"), "")
    octet.standings.note(agent, {**settled, **AT_WORK, **fresh, **known})
    return handout.handed(agent, task)


def _claim(octet: Octet, agent: Agent, stage: str, returned: str) -> Task:
    """The next task of a stage. What the agent itself gave back comes last, because whatever kept
    it from that is likely still there.

    Raises:
        NothingToClaim, Refused, AgentGone: as `Tasks.claim`.
    """
    waiting = (
        []
        if not returned
        else octet.tasks.queued(stage)
        if stage in GATES
        else octet.tasks.list(TaskState.PENDING)
    )
    for task in waiting:
        if task.work == stage or stage in GATES:
            with suppress(Refused):
                if task.id not in json.loads(returned):
                    return octet.tasks.claim(agent, stage, task.id)
    return octet.tasks.claim(agent, stage)


def _offer(
    octet: Octet, agent: Agent, standing: Standing, settled: Mapping[str, str], picture: str
) -> str:
    now_ms = octet.now_ms()
    if _in_vain(standing, picture, now_ms):
        octet.standings.note(agent, {**settled, **IDLE})
        return ""
    offers = standing.offers + 1 if standing.vain == picture else 1
    again_ms = now_ms + min(OFFER_AT_LEAST_MS, OFFER_AGAIN_MS << min(offers - 1, 10))
    offer = {
        "vain": picture,
        "vain_until_ms": str(again_ms),
        "offers": str(offers),
        "asked": "",
        "talked_ms": "",
    }
    octet.standings.note(agent, {**settled, **AT_WORK, **offer})
    stage = stage_of_role(agent.role)
    return handout.offered(stage, octet.tasks.waiting(stage))


def _park(octet: Octet, agent: Agent, turn: Turn, step: Step, keep: Keep | None) -> None:
    """Give back what the agent holds, stop it, and say so: to the watchers, to the orchestrator, in
    `octet status`.
    """
    if keep and turn.held:
        keep(octet, agent)
    given = [task.id for task in turn.held if _released(octet, task, step.reason)]
    octet.standings.note(agent, step.changes)
    octet.standings.park(agent, step.reason, given)
    log.warning("%s is parked: %s", agent.id, step.reason)
    if agent.role != ORCHESTRATOR:
        back = f" Given back: {', '.join(given)}." if given else ""
        text = (
            f"{agent.id} is parked: {step.reason}.{back} It goes on after a prompt of its "
            f"person, or `octet agent resume {agent.id}`."
        )
        try:
            octet.messages.send(ORCHESTRATOR, text, sender=agent.id)
        except Refused as error:  # its inbox is full: `octet status` tells it all the same
            log.info("the orchestrator is not told: %s", error)


def _released(octet: Octet, task: Task, reason: str) -> bool:
    try:
        octet.tasks.release(task.id, task.token, f"its agent was parked: {reason}")
    except StoreUnreachable:
        raise
    except OctetError as error:  # it has passed on by itself
        log.info("task %s is not given back: %s", task.id, error)
        return False
    return True
