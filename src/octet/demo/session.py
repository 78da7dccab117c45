"""A process that stands for a Claude Code session: it fires the hooks, makes the tool calls, and
follows a role's behaviour.

    python -m octet.demo.session

The first line of standard input is its `MemberSpec` as JSON; each line of standard output is a
record of what happened. It ends with its standard input, that is with the demo, however that ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from octet.base.process import identify
from octet.client.api import Octet, connect
from octet.demo.actions import (
    Action,
    ActionResult,
    EditFile,
    EndTurn,
    ReadFile,
    RunCommand,
    Stall,
    ToolCall,
    WriteFile,
)
from octet.demo.crew import MemberSpec
from octet.demo.hooks import HookAnswer, PluginHooks, session_environment
from octet.demo.roles import BEHAVIOURS, Scene, Unexpected
from octet.demo.sample import load_sample
from octet.demo.waiting import wait_for_work
from octet.install.plugin import plugin_root

COMMAND_LIMIT_S = 180.0
# The variables of a hook that the shell of a Bash call does not get.
HOOKS_ONLY = ("CLAUDE_PROJECT_DIR", "CLAUDE_ENV_FILE")


class StandInSession:
    """One session in a role. Its directory is the shared checkout, as where a person starts."""

    def __init__(self, role: str, scene: Scene) -> None:
        self._role = role
        self._scene = scene
        self._id = str(uuid.uuid4())
        self._prompts = 0
        self._calls = 0
        self._env_file = scene.root.parent / f"{scene.name}.env"
        self._environment = session_environment(os.environ, self._id, scene.root, self._env_file)
        self._hooks = PluginHooks(plugin_root(), self._environment)

    def run(self) -> None:
        """From SessionStart to SessionEnd."""
        with connect(self._scene.root) as octet:
            self._fire("SessionStart", source="startup")
            me = octet.agents.find(str(identify(os.getpid())))
            if me is None:
                raise Unexpected("SessionStart did not register this session: see daemon.log")
            self._scene = replace(self._scene, name=me.id)
            tell("joined", agent=me.id)
            self._prompt(f"Work as {self._role}.")
            behaviour = BEHAVIOURS[self._role](self._scene)
            action = next(behaviour, None)
            while action is not None:
                result = self._do(action, octet)
                try:
                    action = behaviour.send(result)
                except StopIteration:
                    action = None
            self._fire("SessionEnd", reason="prompt_input_exit")

    def _do(self, action: Action, octet: Octet) -> ActionResult:
        if isinstance(action, EndTurn):
            return self._end_turn(action, octet)
        if isinstance(action, Stall):
            tell("stalls", agent=self._scene.name)
            threading.Event().wait()
        assert not isinstance(action, Stall)
        return self._call(action)

    def _end_turn(self, action: EndTurn, octet: Octet) -> ActionResult:
        answer = self._fire(
            "Stop",
            stop_hook_active=False,
            last_assistant_message=action.text,
            background_tasks=[],
            session_crons=[],
        )
        if answer.feedback:  # the turn goes on, with work that the behaviour looks for anyway
            return ActionResult()
        if action.until:
            tell("rests", agent=self._scene.name)
            if not wait_for_work(octet, len(self._scene.sample.jobs), action.until):
                return ActionResult(ok=False)
        self._prompt("Go on.")
        return ActionResult()

    def _call(self, call: ToolCall) -> ActionResult:
        if isinstance(call, ReadFile):
            return read_path(call.path)
        tool, given = as_tool_call(call)
        self._calls += 1
        call_id = f"toolu_{self._calls:024d}"
        guard = self._fire("PreToolUse", tool_name=tool, tool_input=given, tool_use_id=call_id)
        if guard.denied:
            tell("denied", agent=self._scene.name, tool=tool, reason=guard.reason)
            return ActionResult(guard.reason, ok=False, denied=True)
        if isinstance(call, RunCommand):
            return self._run_command(str((guard.input or given)["command"]))
        return change_file(call)

    def _run_command(self, command: str) -> ActionResult:
        environment = {
            name: value for name, value in self._environment.items() if name not in HOOKS_ONLY
        }
        if self._env_file.exists():  # SessionStart wrote it
            command = f". {self._env_file}\n{command}"
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self._scene.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        return ActionResult(done.stdout.decode(errors="replace"), ok=done.returncode == 0)

    def _prompt(self, text: str) -> None:
        self._prompts += 1
        self._fire("UserPromptSubmit", prompt=text)

    def _fire(self, event: str, **fields: Any) -> HookAnswer:
        payload = {
            "session_id": self._id,
            "transcript_path": str(self._scene.root.parent / f"{self._id}.jsonl"),
            "cwd": str(self._scene.root),
            "agent_type": f"octet:{self._role}",
            "hook_event_name": event,
        }
        if self._prompts:
            payload |= {"permission_mode": "default", "prompt_id": f"prompt-{self._prompts}"}
        return self._hooks.fire({**payload, **fields}, self._scene.root)


def as_tool_call(call: RunCommand | WriteFile | EditFile) -> tuple[str, dict[str, Any]]:
    """The tool call that Claude Code would make: its name and input."""
    if isinstance(call, RunCommand):
        return "Bash", {"command": call.command, "description": "Work on the task"}
    if isinstance(call, WriteFile):
        return "Write", {"file_path": str(call.path), "content": call.text}
    return "Edit", {"file_path": str(call.path), "old_string": call.old, "new_string": call.new}


def read_path(path: Path) -> ActionResult:
    """Read a file as the tool would, which no hook guards."""
    try:
        return ActionResult(path.read_text(encoding="utf-8"))
    except OSError as error:
        return ActionResult(f"{path}: {error.strerror}", ok=False)


def change_file(call: WriteFile | EditFile) -> ActionResult:
    """Write or edit a file as the tool would."""
    if isinstance(call, WriteFile):
        call.path.parent.mkdir(parents=True, exist_ok=True)
        call.path.write_text(call.text, encoding="utf-8")
        return ActionResult()
    text = call.path.read_text(encoding="utf-8")
    if (count := text.count(call.old)) != 1:
        return ActionResult(f"the text to replace occurs {count} times in {call.path}", ok=False)
    call.path.write_text(text.replace(call.old, call.new), encoding="utf-8")
    return ActionResult()


def tell(kind: str, **fields: str) -> None:
    """Write a record for the demo."""
    print(json.dumps({"kind": kind, **fields}), flush=True)


def main() -> None:
    """Run the session that standard input describes."""
    member = MemberSpec(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_the_demo, daemon=True).start()
    scene = Scene(
        root=Path(member.root),
        sample=load_sample(),
        python=member.python,
        name=member.name,
        careless=member.careless,
        stalls_at=member.stalls_at,
    )
    try:
        StandInSession(member.role, scene).run()
    except Exception as error:  # noqa: BLE001 - the process's edge: the demo shows it and ends
        reason = str(error) if isinstance(error, Unexpected) else f"{type(error).__name__}: {error}"
        tell("failed", agent=member.name, reason=reason)
        sys.exit(1)
    tell("finished", agent=member.name)


def _end_with_the_demo() -> None:
    # os.read and not the buffered sys.stdin: this read would hold its lock for ever, and the
    # interpreter could not end.
    while os.read(0, 4096):
        pass  # nothing comes after the first line
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with the commands that it runs
    os._exit(1)


if __name__ == "__main__":
    main()
