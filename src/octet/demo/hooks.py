"""Fires the plugin's hooks as Claude Code does: the commands of hooks.json, with the event's JSON
on standard input and the client's environment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIMIT_S = 30.0


@dataclass(frozen=True)
class HookAnswer:
    """What the hooks of one event answered."""

    denied: bool = False  # at PreToolUse
    reason: str = ""
    input: Mapping[str, Any] | None = None  # of the tool, where a hook changed it
    feedback: str = ""  # at Stop: why the turn goes on


class PluginHooks:
    """The hooks of the plugin in `root`, for one session."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self._root = str(root)
        self._environment = {**environment, "CLAUDE_PLUGIN_ROOT": self._root}
        text = (root / "hooks" / "hooks.json").read_text(encoding="utf-8")
        self._groups: dict[str, list[dict[str, Any]]] = json.loads(text)["hooks"]

    def fire(self, payload: Mapping[str, Any], cwd: Path) -> HookAnswer:
        """Run each matching hook, one after the other; the first denial counts."""
        answers = [self._run(hook, payload, cwd) for hook in self._matching(payload)]
        denials = [answer for answer in answers if answer.denied]
        changed = next((answer.input for answer in answers if answer.input is not None), None)
        feedback = "\n".join(answer.feedback for answer in answers if answer.feedback)
        return HookAnswer(bool(denials), denials[0].reason if denials else "", changed, feedback)

    def _matching(self, payload: Mapping[str, Any]) -> list[dict[str, Any]]:
        event = payload["hook_event_name"]
        subject = payload.get("tool_name") or payload.get("source") or payload.get("reason") or ""
        groups = [
            group
            for group in self._groups.get(event, [])
            if _matches(group.get("matcher", ""), subject)
        ]
        # The hook that wakes an idle session needs a session with a model.
        return [hook for group in groups for hook in group["hooks"] if not hook.get("asyncRewake")]

    def _run(self, hook: Mapping[str, Any], payload: Mapping[str, Any], cwd: Path) -> HookAnswer:
        words = [hook["command"], *hook.get("args", [])]
        done = subprocess.run(
            [word.replace("${CLAUDE_PLUGIN_ROOT}", self._root) for word in words],
            input=json.dumps(payload).encode() + b"\n",
            capture_output=True,
            cwd=cwd,
            env=dict(self._environment),
            timeout=LIMIT_S,
            check=False,
            start_new_session=True,
        )
        event = payload["hook_event_name"]
        return read_answer(event, done.returncode, done.stdout.decode(), done.stderr.decode())


def read_answer(event: str, status: int, out: str, err: str) -> HookAnswer:
    """The meaning of a hook's exit status and output. A guard that fails blocks the tool, as its
    `onFailure` says.

    Raises:
        ValueError: the output is neither empty nor JSON.
    """
    if status:
        reason = err.strip() or f"the hook ended with status {status}"
        return HookAnswer(denied=event == "PreToolUse", reason=reason)
    specific = json.loads(out).get("hookSpecificOutput", {}) if out.strip() else {}
    if event in {"Stop", "SubagentStop"}:
        return HookAnswer(feedback=specific.get("additionalContext", ""))
    return HookAnswer(
        # The demo has no person to ask, so `ask` is a denial.
        denied=specific.get("permissionDecision") in {"deny", "ask"},
        reason=specific.get("permissionDecisionReason", ""),
        input=specific.get("updatedInput"),
    )


def session_environment(
    environment: Mapping[str, str], session: str, project: Path, env_file: Path
) -> dict[str, str]:
    """The environment of a hook: a session's own, and what Claude Code 2.1.330 adds."""
    return {
        **environment,
        "CLAUDECODE": "1",
        "CLAUDE_PID": str(os.getpid()),
        "CLAUDE_CODE_SESSION_ID": session,
        "CLAUDE_CODE_ENTRYPOINT": "cli",
        "CLAUDE_PROJECT_DIR": str(project),
        "CLAUDE_ENV_FILE": str(env_file),
    }


def _matches(matcher: str, subject: str) -> bool:
    """Claude Code's rule: "" and `*` match all, plain names are a list, the rest is a pattern."""
    if matcher in ("", "*"):
        return True
    if re.fullmatch(r"[A-Za-z0-9_|, -]+", matcher):
        return subject in re.split(r"[|,]\s*", matcher)
    return re.search(matcher, subject) is not None
