"""Stop, SubagentStop and StopFailure: a turn ends, or goes on with mail or the next task."""

from __future__ import annotations

from octet.base.text import plain
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.agents.work_state import WorkState
from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.daemon.hooks.delivery import deliver_mail
from octet.daemon.turns.evidence import transcript_of
from octet.daemon.turns.next_step import NextStep, take_next_step
from octet.daemon.turns.parking import parked_notice
from octet.daemon.turns.token_accounting import budget_notice, has_budget
from octet.daemon.turns.turn_events import note_broken_turn
from octet.daemon.turns.work import read_state
from octet.guard.payload import Stop, StopFailure, SubagentStop, TurnEnd
from octet.guard.reply import Reply as Answer
from octet.guard.reply import render_context


def answer_stop(context: HookContext, call: HookCall[Stop]) -> Answer:
    """A session's turn ends."""
    agent = context.agents.find_or_register(call)
    context.token_accounting.account(call.project, agent, call.event.transcript_path)
    state = read_state(call.octet, agent)
    _remove_ended_subagents(context, call, agent)
    step = _go_on(context, call, agent, state)
    if step.text:
        return render_context("Stop", step.text)
    over = budget_notice(agent, state) if has_budget(call.project.config) else ""
    if over:
        return render_context(None, notice=context.notices.once(call.pid, over))
    parked = step.parked or state.parked
    return render_context(None, notice=parked_notice(agent, parked) if parked else "")


def answer_subagent_stop(context: HookContext, call: HookCall[SubagentStop]) -> Answer:
    """A sub-agent ends: it leaves, unless there is more for it."""
    event = call.event
    agent = context.agents.find(call)
    if agent is None:  # compaction ends sub-agents that never began
        return Answer()
    transcript = event.agent_transcript_path or transcript_of(event.transcript_path, event.agent_id)
    context.token_accounting.account(call.project, agent, transcript, subagent=True)
    if text := _go_on(context, call, agent, read_state(call.octet, agent)).text:
        return render_context("SubagentStop", text)
    context.agents.leave(call.project, agent)
    return Answer()


def answer_stop_failure(context: HookContext, call: HookCall[StopFailure]) -> Answer:
    """A turn ended in an error of the API."""
    event, octet = call.event, call.octet
    agent = context.agents.find_or_register(call)
    octet.locks.end_turn(agent)
    note_broken_turn(octet, agent, cut_off=True)
    _publish_turn(octet, agent, "turn_failed", event.last_assistant_message or event.error)
    return Answer()


def _go_on(
    context: HookContext, call: HookCall[TurnEnd], agent: Agent, state: WorkState
) -> NextStep:
    """Why the turn goes on: lost work, mail, else the next task of the agent's role."""
    project, event = call.project, call.event
    step = NextStep()
    may = context.continuations.may_go_on(project, agent, continued=event.stop_hook_active)
    if may:
        step = NextStep(_news(context, call, agent, state))
    if not step.text:
        _end_turn(call, agent)
        if may:
            step = take_next_step(project, agent, event, state, context.save_work)
    if step.text:
        context.continuations.count(project, agent)
    else:
        context.continuations.reset(project, agent)
    return step


def _news(context: HookContext, call: HookCall[TurnEnd], agent: Agent, state: WorkState) -> str:
    """What the agent has lost, and its mail; a paused or parked agent's mail waits."""
    lost = mail = ""
    if not call.event.stop_hook_active:
        lost = context.fenced_out.tell(call.project, agent, call.event_name)
    if not state.stopped:
        mail = deliver_mail(context, call, agent)
    return "\n".join(filter(None, [lost, mail]))


def _end_turn(call: HookCall[TurnEnd], agent: Agent) -> None:
    if isinstance(call.event, Stop):  # a sub-agent that ends leaves, and its locks with it
        call.octet.locks.end_turn(agent)
    _publish_turn(call.octet, agent, "turn_completed", call.event.last_assistant_message)


def _publish_turn(octet: Octet, agent: Agent, kind: str, message: str) -> None:
    """Publish the end of a turn: whose, on which task, its last message's first line."""
    tasks = octet.tasks.held_by(agent.id)
    first_line = next((line for line in message.splitlines() if line.strip()), "")
    fields = {
        "agent": agent.id,
        "role": agent.role,
        "task": tasks[0].id if tasks else "",
        "message": plain(first_line, 500),
    }
    octet.events.publish(kind, fields)


def _remove_ended_subagents(context: HookContext, call: HookCall[Stop], agent: Agent) -> None:
    """A sub-agent ended by TaskStop fires no SubagentStop; the list of what still runs tells."""
    running = {task.task_id for task in call.event.background_tasks}
    for other in call.octet.agents.list():
        if other.parent == agent.id and other.process.partition("#")[2] not in running:
            context.agents.leave(call.project, other)
