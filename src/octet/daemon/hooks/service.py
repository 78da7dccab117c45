"""One function an event: what the guard needs, one library call, what the guard says of the answer.

Whatever the store does, a reply comes: a guarded tool follows the repository's `on_store_down`, any
other event goes on and says in one line what is wrong.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from octet.base.errors import AgentGone, NotTrusted, OctetError, StoreUnreachable
from octet.base.text import plain
from octet.base.vocabulary import GUEST
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.daemon.hooks import fence
from octet.daemon.hooks.dedupe import HookDedupe
from octet.daemon.hooks.failure import failure_reply
from octet.daemon.hooks.guarding import Guarding
from octet.daemon.hooks.sessions import Sessions
from octet.daemon.liveness.fenced_out import FencedOut
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.liveness.rescuer import LEAVE_S
from octet.daemon.projects.sessions import Projects, ProjectSession
from octet.daemon.protocol.wire import SERVE, WAKE, Reply, Request
from octet.daemon.turns import loop, mail
from octet.daemon.turns.briefing import brief
from octet.daemon.turns.token_accounting import TokenAccounting, paused_by_budget
from octet.daemon.turns.transcripts import transcript_of
from octet.daemon.turns.wakes import Wakes
from octet.guard import payload, policy
from octet.guard.payload import (
    Event,
    Notification,
    PostToolBatch,
    PreToolUse,
    SessionEnd,
    SessionStart,
    Stop,
    SubagentStart,
    SubagentStop,
    TurnEnd,
    UserPromptSubmit,
)
from octet.guard.reply import TEXT_LIMIT, render_context, render_verdict
from octet.guard.reply import Reply as Answer

log = logging.getLogger("octet.hooks")

# One notice of the same trouble in this time for each session: a line at every prompt would be
# noise.
NOTICE_EVERY_S = 60.0
# The client ends a turn all the same after hooks have let it go on eight times in a row without a
# tool call.
MOST_IN_A_ROW = 7


class HookService:
    """Answers every hook of every project on this machine; thread-safe."""

    def __init__(self, projects: Projects, heartbeat: Heartbeat) -> None:
        self._projects = projects
        self._heartbeat = heartbeat
        self._sessions = Sessions(heartbeat)
        self._fenced_out = FencedOut(heartbeat.rescuer)
        self._dedupe = HookDedupe()
        self._guarding = Guarding(self._sessions, self._fenced_out)
        self.token_accounting = TokenAccounting(projects)
        self._gone_on: dict[str, int] = {}
        self.wakes = Wakes(projects)
        self._notices: dict[tuple[int, str], float] = {}
        self._handlers: dict[type[Event], Callable[[ProjectSession, Any, int, str], Answer]] = {
            SessionStart: self._session_start,
            SubagentStart: self._subagent_start,
            UserPromptSubmit: self._user_prompt_submit,
            PreToolUse: self._guarding.before,
            payload.PostToolUse: self._guarding.after,
            payload.PostToolUseFailure: self._guarding.after,
            PostToolBatch: self._post_tool_batch,
            Stop: self._stop,
            SubagentStop: self._subagent_stop,
            payload.StopFailure: self._stop_failure,
            Notification: self._notification,
            SessionEnd: self._session_end,
        }

    def handle(self, request: Request) -> Reply:
        """The reply to one hook; never raises for anything that a payload or a store can do."""
        if request.event == SERVE:
            return self._serve(request)
        if request.event == fence.EVENT:
            return fence.answer(self._projects, request)
        if request.event == WAKE:
            return self.wakes.answer(request)
        if self._dedupe.is_duplicate(request.source, request.pid, request.payload):
            return Reply()
        try:
            event = payload.parse(
                request.payload,
                {"event": request.event, "source": request.source, "pid": str(request.pid)},
            )
            project = self._projects.find(request.root, request.redis_url)
        except OctetError as error:
            return failure_reply(request, f"Octet: {error}")
        if not project.trusted.approved:
            return Reply()  # `octet init --undo` since the session began
        if begins_turn(event):
            self.wakes.begins(request.pid)
        answer = self._answer(project, event, request)
        if ends_turn(event, answer):
            self.wakes.ends(request.pid)
        return Reply(*answer)

    def _answer(self, project: ProjectSession, event: Event, request: Request) -> Answer:
        try:
            return self._handlers[type(event)](project, event, request.pid, request.source)
        except (StoreUnreachable, NotTrusted) as error:
            if isinstance(error, StoreUnreachable):
                project.mark_down(error)
            return self._without_store(project, event, request, error)

    def _serve(self, request: Request) -> Reply:
        try:
            self._projects.find(request.root, request.redis_url)
        except OctetError as error:
            return Reply(2, b"", f"{error}\n".encode("utf-8", "replace"))
        self._heartbeat.hasten()
        return Reply()

    def _without_store(
        self, project: ProjectSession, event: Event, request: Request, error: OctetError
    ) -> Answer:
        log.warning("%s %s: %s", project.name, request.event, error)
        if isinstance(event, PreToolUse):
            needs = policy.find_needs(event, project.repository)
            return render_verdict(
                policy.judge(needs, policy.StoreDown(str(error)), project.repository), event
            )
        return self._notice(request.pid, f"Octet: {error}")

    def _notice(self, pid: int, text: str, event: str = "", context: str = "") -> Answer:
        return render_context(event or None, context, notice=self._new(pid, text) if text else "")

    def _new(self, pid: int, text: str) -> str:
        """The text, "" when the same was said to this session a moment ago."""
        now = time.monotonic()
        if self._notices.get((pid, text), -NOTICE_EVERY_S) + NOTICE_EVERY_S > now:
            return ""
        if len(self._notices) > 1000:
            self._notices.clear()
        self._notices[(pid, text)] = now
        return text

    # Sessions

    def _session_start(
        self, project: ProjectSession, event: SessionStart, pid: int, source: str
    ) -> Answer:
        agent = self._sessions.register(project, event, pid).agent
        self.token_accounting.begin(project, agent, event.transcript_path)
        loop.began(project.connected(), agent, event.source)
        return render_context("SessionStart", self._welcome(project, agent, event, pid, source))

    def _subagent_start(
        self, project: ProjectSession, event: SubagentStart, pid: int, source: str
    ) -> Answer:
        agent = self._sessions.register(project, event, pid).agent
        return render_context("SubagentStart", self._welcome(project, agent, event, pid, source))

    def _welcome(
        self, project: ProjectSession, agent: Agent, event: Event, pid: int, source: str
    ) -> str:
        lost = self._fenced_out.tell(project, agent, type(event).__name__)
        told = "\n".join(
            filter(None, [brief(project.connected(), agent, _claim_command(source)), lost])
        )
        room = min(mail.ROOM, TEXT_LIMIT - 1000 - len(told))
        news = self._mail(project, agent, event, pid, room)
        if (
            news and isinstance(event, SessionStart) and agent.role != GUEST
        ):  # nobody may be there to begin the turn that would read it
            self.wakes.left_unread(pid)
        return "\n".join(filter(None, [told, news]))

    def _user_prompt_submit(
        self, project: ProjectSession, event: UserPromptSubmit, pid: int, _: str
    ) -> Answer:
        agent = self._sessions.agent(project, event, pid)
        news = self._mail(project, agent, event, pid)
        if news:
            self.wakes.progresses(pid)
        told = [
            self._fenced_out.tell(project, agent, "UserPromptSubmit"),
            loop.heard(project, agent, event),
            news or loop.woken(project, agent, event),
        ]
        return self._notice(
            pid, _over_budget(project, agent), "UserPromptSubmit", "\n".join(filter(None, told))
        )

    def _post_tool_batch(
        self, project: ProjectSession, event: PostToolBatch, pid: int, _: str
    ) -> Answer:
        agent = self._sessions.cached(project, event, pid)
        self._gone_on.pop(agent.id, None)  # the client begins to count anew, too
        return render_context("PostToolBatch", self._mail(project, agent, event, pid))

    def _mail(
        self, project: ProjectSession, agent: Agent, event: Event, pid: int, room: int = mail.ROOM
    ) -> str:
        try:
            return mail.deliver(project, agent, event, room)
        except (
            AgentGone
        ):  # it took another role, and with it another name, or was buried by mistake
            self._sessions.forget(agent)
        with suppress(AgentGone):
            return mail.deliver(project, self._sessions.agent(project, event, pid), event, room)
        return ""

    def _session_end(self, project: ProjectSession, event: SessionEnd, pid: int, _: str) -> Answer:
        agent = self._sessions.agent(project, event, pid)
        self.token_accounting.account(project, agent, event.transcript_path)
        if event.reason in {"clear", "resume"}:  # the process goes on with another session
            project.connected().locks.end_turn(agent)
        else:
            self._sessions.leave(project, agent)
        return Answer()

    # Turns

    def _stop(self, project: ProjectSession, event: Stop, pid: int, _: str) -> Answer:
        agent = self._sessions.agent(project, event, pid)
        self.token_accounting.account(project, agent, event.transcript_path)
        self._retire_ended_subagents(project, agent, event)
        if more := self._go_on(project, agent, event, pid):
            return render_context("Stop", more)
        if over := _over_budget(project, agent):
            return self._notice(pid, over)
        return render_context(None, notice=loop.notice(project.connected(), agent))

    def _subagent_stop(
        self, project: ProjectSession, event: SubagentStop, pid: int, _: str
    ) -> Answer:
        agent = self._sessions.registered(project, event, pid)
        if agent is None:  # compaction ends sub-agents that never began
            return Answer()
        transcript = event.agent_transcript_path or transcript_of(
            event.transcript_path, event.agent_id
        )
        self.token_accounting.account(project, agent, transcript, subagent=True)
        if more := self._go_on(project, agent, event, pid):
            return render_context("SubagentStop", more)
        self._sessions.leave(project, agent)
        return Answer()

    def _go_on(self, project: ProjectSession, agent: Agent, event: TurnEnd, pid: int) -> str:
        """Why the turn does not end: what its agent has lost, mail, else the next task of its role;
        "" where it ends.
        """
        in_a_row = self._gone_on.get(agent.id, 0) if event.stop_hook_active else 0
        may = in_a_row < MOST_IN_A_ROW
        more = self._news(project, agent, event, pid) if may else ""
        if not more:
            self._end_turn(project, agent, event)
            more = loop.next_step(project, agent, event, self._keep) if may else ""
        if more:
            self._gone_on[agent.id] = in_a_row + 1
        else:
            self._gone_on.pop(agent.id, None)
        return more

    def _news(self, project: ProjectSession, agent: Agent, event: TurnEnd, pid: int) -> str:
        lost = (
            ""
            if event.stop_hook_active
            else self._fenced_out.tell(project, agent, type(event).__name__)
        )
        news = (
            ""
            if loop.is_stopped(project.connected(), agent)
            else self._mail(project, agent, event, pid)
        )
        return "\n".join(filter(None, [lost, news]))

    @staticmethod
    def _end_turn(project: ProjectSession, agent: Agent, event: TurnEnd) -> None:
        if isinstance(event, Stop):  # a sub-agent that ends leaves
            project.connected().locks.end_turn(agent)
        _publish_turn(project.connected(), agent, "turn_completed", event.last_assistant_message)

    def _keep(self, octet: Octet, agent: Agent) -> None:
        self._heartbeat.rescuer.save(octet, agent, LEAVE_S)

    def _stop_failure(
        self, project: ProjectSession, event: payload.StopFailure, pid: int, _: str
    ) -> Answer:
        agent = self._sessions.agent(project, event, pid)
        octet = project.connected()
        octet.locks.end_turn(agent)
        loop.went_idle(octet, agent, cut=True)
        _publish_turn(octet, agent, "turn_failed", event.last_assistant_message or event.error)
        return Answer()

    def _notification(
        self, project: ProjectSession, event: Notification, pid: int, _: str
    ) -> Answer:
        # Esc ends a turn without a Stop. A session that has been idle for a while is in no turn.
        if event.kind == "idle_prompt":
            agent = self._sessions.agent(project, event, pid)
            project.connected().locks.end_turn(agent)
            loop.went_idle(project.connected(), agent)
        return Answer()

    def _retire_ended_subagents(self, project: ProjectSession, agent: Agent, event: Stop) -> None:
        """SubagentStop does not come for one that is stopped by TaskStop; the list of what still
        runs tells.
        """
        running = {task.task_id for task in event.background_tasks}
        for other in project.connected().agents.list():
            if other.parent == agent.id and other.process.partition("#")[2] not in running:
                self._sessions.leave(project, other)


def begins_turn(event: Event) -> bool:
    """Whether the session is in a turn from now on, or about to be told what it must not be woken
    for besides.
    """
    match event:
        case SessionStart():
            return event.source != "compact"  # which comes in the middle of a turn, too
        case SessionEnd():
            return event.reason in {"clear", "resume"}
    return isinstance(event, UserPromptSubmit)


def ends_turn(event: Event, answer: Answer) -> bool:
    """Whether the session is idle from now on; feedback at its Stop lets the turn go on."""
    match event:
        case SessionStart():
            return event.source != "compact"
        case Stop():
            return answer.exit_code == 0 and b'"additionalContext"' not in answer.stdout
        case Notification():
            return event.kind == "idle_prompt"
    return isinstance(event, payload.StopFailure)


def _publish_turn(octet: Octet, agent: Agent, kind: str, message: str) -> None:
    """Tell watchers that a turn has ended: who, on which task, and the first line of its last
    message.
    """
    tasks = octet.tasks.held_by(agent.id)
    first_line = next((line for line in message.splitlines() if line.strip()), "")
    fields = {
        "agent": agent.id,
        "role": agent.role,
        "task": tasks[0].id if tasks else "",
        "message": plain(first_line, 500),
    }
    octet.events.publish(kind, fields)


def _over_budget(project: ProjectSession, agent: Agent) -> str:
    reason = paused_by_budget(project, agent)
    return f"Octet: {agent.id} is paused: {reason}." if reason else ""


def _claim_command(source: str) -> str:
    return "/claim-task" if source == "dropin" else "/octet:claim-task"
