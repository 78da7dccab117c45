"""Stop, SubagentStop and StopFailure: a turn ends, or goes on with mail or the next task."""

from __future__ import annotations

from octet.base.text import plain
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.daemon.hooks.delivery import deliver_mail
from octet.daemon.liveness.rescuer import LEAVE_S
from octet.daemon.turns import loop
from octet.daemon.turns.token_accounting import budget_notice
from octet.daemon.turns.transcripts import transcript_of
from octet.guard.payload import Stop, StopFailure, SubagentStop, TurnEnd
from octet.guard.reply import Reply as Answer
from octet.guard.reply import render_context


def answer_stop(context: HookContext, call: HookCall[Stop]) -> Answer:
    """A session's turn ends."""
    agent = context.agents.find_or_register(call)
    context.token_accounting.account(call.project, agent, call.event.transcript_path)
    _remove_ended_subagents(context, call, agent)
    if more := _go_on(context, call, agent):
        return render_context("Stop", more)
    if over := budget_notice(call.project, agent):
        return render_context(None, notice=context.notices.once(call.pid, over))
    return render_context(None, notice=loop.notice(call.octet, agent))


def answer_subagent_stop(context: HookContext, call: HookCall[SubagentStop]) -> Answer:
    """A sub-agent ends: it leaves, unless there is more for it."""
    event = call.event
    agent = context.agents.find(call)
    if agent is None:  # compaction ends sub-agents that never began
        return Answer()
    transcript = event.agent_transcript_path or transcript_of(event.transcript_path, event.agent_id)
    context.token_accounting.account(call.project, agent, transcript, subagent=True)
    if more := _go_on(context, call, agent):
        return render_context("SubagentStop", more)
    context.agents.leave(call.project, agent)
    return Answer()


def answer_stop_failure(context: HookContext, call: HookCall[StopFailure]) -> Answer:
    """A turn ended in an error of the API."""
    event, octet = call.event, call.octet
    agent = context.agents.find_or_register(call)
    octet.locks.end_turn(agent)
    loop.went_idle(octet, agent, cut=True)
    _publish_turn(octet, agent, "turn_failed", event.last_assistant_message or event.error)
    return Answer()


def _go_on(context: HookContext, call: HookCall[TurnEnd], agent: Agent) -> str:
    """Why the turn goes on: lost work, mail, else the next task of the agent's role; "" where it
    ends.
    """
    project, event = call.project, call.event
    more = ""
    may = context.continuations.may_go_on(project, agent, continued=event.stop_hook_active)
    if may:
        more = _news(context, call, agent)
    if not more:
        _end_turn(call, agent)
        if may:
            more = loop.next_step(
                project, agent, event, lambda octet, one: context.rescuer.save(octet, one, LEAVE_S)
            )
    if more:
        context.continuations.count(project, agent)
    else:
        context.continuations.reset(project, agent)
    return more


def _news(context: HookContext, call: HookCall[TurnEnd], agent: Agent) -> str:
    """What the agent has lost, and its mail; a paused or parked agent's mail waits."""
    lost = mail = ""
    if not call.event.stop_hook_active:
        lost = context.fenced_out.tell(call.project, agent, call.event_name)
    if not loop.is_stopped(call.octet, agent):
        mail = deliver_mail(context, call, agent)
    return "\n".join(filter(None, [lost, mail]))


def _end_turn(call: HookCall[TurnEnd], agent: Agent) -> None:
    if isinstance(call.event, Stop):  # a sub-agent that ends leaves, and its locks with it
        call.octet.locks.end_turn(agent)
    _publish_turn(call.octet, agent, "turn_completed", call.event.last_assistant_message)


def _publish_turn(octet: Octet, agent: Agent, kind: str, message: str) -> None:
    """Tell watchers that a turn has ended: whose, on which task, and its last message's first line."""
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
