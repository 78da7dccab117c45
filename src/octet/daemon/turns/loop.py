"""The loop of a role: what an agent is told when its turn ends, so that it goes on without being
asked.

next_step(project, agent, event)     # Stop, SubagentStop: the next task, claimed for it; or that it
still holds one; "" lets it idle has_work(octet, agent)            # whether an idle agent should be
woken heard(project, agent, event)         # UserPromptSubmit: a person comes first woken(project, agent,
event)         # UserPromptSubmit that nobody typed: what it was woken for, claimed for it

What follows the end of a turn is `turns.decide`'s to say; nothing here waits. What is remembered
from turn to turn is the agent's `WorkState` in the store. A claim whose hand-out is lost on the way
(Esc, a killed hook) is the agent's all the same: it is told at the next prompt and the next Stop,
and `give_back_untouched` takes it from one that idles over it.
"""

from __future__ import annotations

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
from octet.core.agents import work_changes as work
from octet.core.agents.election import STANDBY
from octet.core.agents.registry import Agent
from octet.core.agents.work_changes import Change
from octet.core.agents.work_state import Pause, Unclaimable, WorkState
from octet.core.agents.work_states import CREW_DOWN
from octet.core.tasks.record import Task, TaskState
from octet.daemon.projects.sessions import ProjectSession
from octet.daemon.turns import handout
from octet.daemon.turns.rules import Step, Turn, decide, in_hand
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
            return _hand(octet, agent, turn.state, step.change)
        if step.kind == "park":
            _park(octet, agent, turn, step, keep)
            return ""
        octet.work_states.change(agent, step.change, known=turn.state)
        if step.kind == "remind":
            return handout.reminded(turn.held[0], work.is_asked(turn.state))
        return ""
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
    picture = octet.tasks.fingerprint(
        stage
    )  # first: what is added after it was paused, or took a task, is not for it
    state = octet.work_states.get(agent.id)
    if state.stopped or _parent_stopped(octet, agent):
        return False
    now_ms = octet.now_ms()
    if octet.tasks.held_by(agent.id):
        return state.cut_off and now_ms - state.idle_ms >= CUT_AGAIN_MS
    if octet.election.position(agent) == STANDBY:
        return False
    talks = state.asked or now_ms - state.talked_ms < config.crew_quiet_s * 1000
    if not picture or (state.begun and talks):
        return False
    return not _in_vain(state, picture, now_ms)


def is_stopped(octet: Octet, agent: Agent) -> bool:
    """Whether the agent, or the session that it is a sub-agent of, is paused or parked."""
    return bool(octet.work_states.get(agent.id).stopped) or _parent_stopped(octet, agent)


def heard(project: ProjectSession, agent: Agent, event: UserPromptSubmit) -> str:
    """Note that a person talks with the agent; what it holds, in a line, because an answer must not
    make it forget that.

    Raises:
        StoreUnreachable: the store does not answer.
    """
    octet, config = project.connected(), project.config
    if not config.crew_loop or not stage_of_role(agent.role) or not is_person(event.prompt):
        return ""
    try:
        octet.work_states.change(agent, work.hear_person)
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
        return _hand(octet, agent, octet.work_states.get(agent.id), work.unchanged)
    except AgentGone:
        return ""


def began(octet: Octet, agent: Agent, source: str) -> None:
    """A session has begun: what it was handed in another process is not in its hands now, and its
    first turn begins the loop.
    """
    if source not in ("startup", "resume", "fork"):
        return
    state = octet.work_states.get(agent.id)
    if state != WorkState():
        octet.work_states.lift(
            agent, CREW_DOWN
        )  # that crew is down: a conversation that goes on has come back with the next one
        octet.work_states.change(agent, work.begin_session)


def went_idle(octet: Octet, agent: Agent, *, cut: bool = False) -> None:
    """Its turn has ended without a Stop: by its person (Esc), which the client tells later by
    saying that it is idle, or (`cut`) by an error of the API, after which it may be woken for the
    task that it holds.
    """
    state = octet.work_states.get(agent.id)
    if not stage_of_role(agent.role) or (state.idle_ms and not cut):
        return
    with suppress(AgentGone):
        octet.work_states.change(agent, lambda now: work.break_off(now, cut_off=cut), known=state)


def give_back_untouched(octet: Octet, agents: Sequence[Agent], keep: Keep) -> None:
    """Park those that idle over a claim they were handed and never touched: the hand-out was lost,
    or its person has gone.
    """
    if not agents:
        return
    states, now_ms = octet.work_states.of([agent.id for agent in agents]), octet.now_ms()
    for agent in agents:
        state = states[agent.id]
        if (
            not state.task
            or not state.idle_ms
            or state.stopped
            or now_ms - state.idle_ms < UNTOUCHED_MS
        ):
            continue
        handed = state.task
        held = tuple(
            task
            for task in octet.tasks.held_by(agent.id)
            if task.token == handed.token and not _is_touched(agent, task, handed.at_ms)
        )
        if held:
            turn = Turn(state, handed.stage, agent.id, now_ms, held)
            with suppress(AgentGone):
                _park(
                    octet,
                    agent,
                    turn,
                    Step("park", reason=f"it idled over task {held[0].id} and never began it"),
                    keep,
                )


def _is_touched(agent: Agent, task: Task, since_ms: int) -> bool:
    """Whether the task was reported on, or a worktree made or committed to, since then."""
    return task.updated_ms > since_ms or _committed_ns(agent) // 1_000_000 > since_ms


def is_person(prompt: str) -> bool:
    """Whether a person typed the prompt; the client runs the same hook for each machine wake."""
    return not prompt.lstrip().startswith(NOT_A_PERSON)


def notice(octet: Octet, agent: Agent) -> str:
    """For the person at the terminal: that the agent is parked, and how it goes on; "" where it is
    not.
    """
    parked = octet.work_states.get(agent.id).parked
    return (
        f"Octet: {agent.id} is parked: {plain(parked)}. Your next prompt, or `octet agent "
        "resume`, lets it go on."
        if parked
        else ""
    )


def _look(project: ProjectSession, agent: Agent, event: TurnEnd) -> Turn:
    octet = project.connected()
    state = octet.work_states.get(agent.id)
    if not state.stopped and _parent_stopped(octet, agent):
        state = replace(state, pause=Pause(f"with {agent.parent}"))
    held = tuple(sorted(octet.tasks.held_by(agent.id), key=lambda task: task.claimed_ms))
    ended, judged = None, False
    handed = state.task
    if handed and all(task.token != handed.token for task in held):
        ended = _read(octet, handed.id)
        records = (
            octet.tasks.records(handed.id) if ended and handed.stage not in WORK_STAGES else ()
        )
        judged = any(record.by == agent.id and record.at_ms >= handed.at_ms for record in records)
    subagents = isinstance(event, SubagentStop)
    return Turn(
        state=state,
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
    return bool(agent.parent and octet.work_states.get(agent.parent).stopped)


def _in_vain(state: WorkState, picture: str, now_ms: int) -> bool:
    """Whether just this was there for the agent before, and nothing came of it."""
    found = state.unclaimable
    return found is not None and found.fingerprint == picture and not 0 < found.until_ms <= now_ms


def _hand(octet: Octet, agent: Agent, state: WorkState, settled: Change) -> str:
    """Claim the next task of the agent's stage and say what it is; "" where there is none for it."""

    def note(change: Change) -> None:
        octet.work_states.change(agent, lambda now: change(settled(now)), known=state)

    stage = stage_of_role(agent.role)
    picture = octet.tasks.fingerprint(stage)
    if not picture:
        note(work.find_nothing)
        return ""
    if stage in OFFERED:
        return _offer(octet, agent, state, note, picture)
    try:
        task = _claim(octet, agent, stage, settled(state).returned)
    except NothingToClaim as nothing:
        until_ms = octet.now_ms() + nothing.offer_ms if nothing.offer_ms else 0
        left = octet.tasks.fingerprint(stage)
        found = Unclaimable(left, until_ms) if left else None
        note(lambda now: work.find_nothing(now, found))
        return ""
    except Refused:  # the agent itself has claimed another just now
        note(work.rest)
        return ""
    if is_stopped(
        octet, agent
    ):  # by a person, at this moment: whoever has been told that it is paused must see it paused
        octet.tasks.release(task.id, task.token, "not begun: its agent was paused")
        note(work.rest)
        return ""
    note(lambda now: work.hand_over(now, in_hand(task, stage)))
    return handout.handed(agent, task)


def _claim(octet: Octet, agent: Agent, stage: str, returned: Mapping[str, int]) -> Task:
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
        if (task.work == stage or stage in GATES) and task.id not in returned:
            with suppress(Refused):
                return octet.tasks.claim(agent, stage, task.id)
    return octet.tasks.claim(agent, stage)


def _offer(
    octet: Octet, agent: Agent, state: WorkState, note: Callable[[Change], None], picture: str
) -> str:
    now_ms = octet.now_ms()
    if _in_vain(state, picture, now_ms):
        note(work.end_turn)
        return ""
    before = state.unclaimable
    offers = before.offers + 1 if before and before.fingerprint == picture else 1
    again_ms = now_ms + min(OFFER_AT_LEAST_MS, OFFER_AGAIN_MS << min(offers - 1, 10))
    note(lambda now: work.offer(now, Unclaimable(picture, again_ms, offers)))
    stage = stage_of_role(agent.role)
    return handout.offered(stage, octet.tasks.waiting(stage))


def _park(octet: Octet, agent: Agent, turn: Turn, step: Step, keep: Keep | None) -> None:
    """Give back what the agent holds, stop it, and say so: to the watchers, to the orchestrator, in
    `octet status`.
    """
    if keep and turn.held:
        keep(octet, agent)
    given = [task.id for task in turn.held if _released(octet, task, step.reason)]
    octet.work_states.park(agent, step.reason, given, first=step.change)
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
