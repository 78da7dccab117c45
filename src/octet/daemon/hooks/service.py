"""Answers every hook of every project on this machine, each event by its handler.

A reply comes whatever the store does: a guarded tool call follows the repository's `on_store_down`;
any other event goes on, and one line says what is wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from octet.base.errors import NotTrusted, OctetError, StoreUnreachable
from octet.daemon.hooks import fence
from octet.daemon.hooks.call import HookCall
from octet.daemon.hooks.context import HookContext
from octet.daemon.hooks.dedupe import HookDedupe
from octet.daemon.hooks.failure import failure_reply
from octet.daemon.hooks.notification import answer_notification
from octet.daemon.hooks.post_tool_use import answer_post_tool_batch, answer_post_tool_use
from octet.daemon.hooks.pre_tool_use import answer_pre_tool_use, judge_without_store
from octet.daemon.hooks.session_end import answer_session_end
from octet.daemon.hooks.session_start import answer_session_start, answer_subagent_start
from octet.daemon.hooks.stop import answer_stop, answer_stop_failure, answer_subagent_stop
from octet.daemon.hooks.user_prompt import answer_user_prompt
from octet.daemon.hooks.wake import begins_turn, ends_turn
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.projects.sessions import Projects
from octet.daemon.protocol.wire import SERVE, WAKE, Reply, Request
from octet.guard import payload
from octet.guard.payload import Event, PreToolUse
from octet.guard.reply import Reply as Answer
from octet.guard.reply import render_context

log = logging.getLogger(__name__)

EventHandler = Callable[[HookContext, HookCall[Any]], Answer]
HANDLERS: Mapping[type[Event], EventHandler] = {
    payload.SessionStart: answer_session_start,
    payload.SubagentStart: answer_subagent_start,
    payload.UserPromptSubmit: answer_user_prompt,
    payload.PreToolUse: answer_pre_tool_use,
    payload.PostToolUse: answer_post_tool_use,
    payload.PostToolUseFailure: answer_post_tool_use,
    payload.PostToolBatch: answer_post_tool_batch,
    payload.Stop: answer_stop,
    payload.SubagentStop: answer_subagent_stop,
    payload.StopFailure: answer_stop_failure,
    payload.Notification: answer_notification,
    payload.SessionEnd: answer_session_end,
}


class HookService:
    """The handlers with what they share; thread-safe."""

    def __init__(self, projects: Projects, heartbeat: Heartbeat) -> None:
        self.projects = projects
        self.context = HookContext(projects, heartbeat)
        self._heartbeat = heartbeat
        self._dedupe = HookDedupe()

    def handle(self, request: Request) -> Reply:
        """The reply to one hook; no payload and no state of the store makes it raise."""
        if request.event == SERVE:
            return self._serve(request)
        if request.event == WAKE:
            return self.context.wakes.answer(request)
        if request.event == fence.EVENT:
            return fence.answer_fence(self.projects, request)
        if self._dedupe.is_duplicate(request):
            return Reply()
        try:
            call = self._parse(request)
        except OctetError as error:
            return failure_reply(request, f"Octet: {error}")
        if not call.project.trusted.approved:
            return Reply()  # `octet init --undo` since the session began
        return Reply(*self._answer_in_turn(call))

    def _serve(self, request: Request) -> Reply:
        """The command line asks to have a project served from now on."""
        try:
            self.projects.find(request.root, request.redis_url)
        except OctetError as error:
            return Reply(2, b"", f"{error}\n".encode("utf-8", "replace"))
        self._heartbeat.beat_soon()
        return Reply()

    def _parse(self, request: Request) -> HookCall[Event]:
        header = {"event": request.event, "source": request.source, "pid": str(request.pid)}
        event = payload.parse(request.payload, header)
        project = self.projects.find(request.root, request.redis_url)
        return HookCall(project, event, request.pid, request.source)

    def _answer_in_turn(self, call: HookCall[Event]) -> Answer:
        """The answer, with the session's turn kept in view for waking it."""
        wakes = self.context.wakes
        if begins_turn(call.event):
            wakes.begins(call.pid)
        answer = self._answer(call)
        if ends_turn(call.event, answer):
            wakes.ends(call.pid)
        return answer

    def _answer(self, call: HookCall[Event]) -> Answer:
        try:
            return HANDLERS[type(call.event)](self.context, call)
        except (StoreUnreachable, NotTrusted) as error:
            if isinstance(error, StoreUnreachable):
                call.project.mark_down(error)
            log.warning("%s %s: %s", call.project.name, call.event_name, error)
            return self._without_store(call, str(error))

    def _without_store(self, call: HookCall[Event], why: str) -> Answer:
        if isinstance(call.event, PreToolUse):
            return judge_without_store(call.project, call.event, why)
        return render_context(None, notice=self.context.notices.once(call.pid, f"Octet: {why}"))
