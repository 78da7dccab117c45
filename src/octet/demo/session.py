"""A process that stands for a Claude Code session: it fires the hooks, makes the tool calls, and
follows a role's behaviour.

    python -m octet.demo.session        the part (a JSON object) is the first line of standard
    input; what happens goes to standard output

It ends with its standard input, that is, with the demo, however that ends.
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
from octet.client.api import connect
from octet.demo.acts import Act, Answer, Bash, Edit, EndTurn, Linger, Read, Tool, Write
from octet.demo.crew import Part
from octet.demo.hooks import HookAnswer, Hooks, session_environment
from octet.demo.lookout import Lookout
from octet.demo.roles import BEHAVIOURS, Scene, Unexpected
from octet.demo.sample import load_sample
from octet.install.plugin import plugin_root

# The client ends a turn after so many in a row, whatever hooks say.
MOST_STOPS = 9
COMMAND_LIMIT_S = 180.0
# Of a hook's environment, what the shell of a Bash call does not get.
HOOKS_ONLY = ("CLAUDE_PROJECT_DIR", "CLAUDE_ENV_FILE")


class Session:
    """One session in the role of `role`; its directory is the shared checkout, as when a person
    starts `claude` there.
    """

    def __init__(self, role: str, scene: Scene) -> None:
        self._role = role
        self._scene = scene
        self._id = str(uuid.uuid4())
        self._prompts = 0
        self._calls = 0
        self._env_file = scene.root.parent / f"{scene.name}.env"
        self._environment = session_environment(os.environ, self._id, scene.root, self._env_file)
        self._hooks = Hooks(plugin_root(), self._environment)

    def play(self) -> None:
        """From SessionStart to SessionEnd."""
        with connect(self._scene.root) as octet:
            self._fire("SessionStart", source="startup")
            me = octet.agents.find(str(identify(os.getpid())))
            if me is None:
                raise Unexpected("SessionStart has registered nobody: see daemon.log")
            self._scene = replace(self._scene, name=me.id)
            say("joined", agent=me.id)
            self._prompt(f"Work as {self._role}.")
            lookout = Lookout(octet, len(self._scene.sample.jobs))
            behaviour = BEHAVIOURS[self._role](self._scene)
            act = next(behaviour, None)
            while act is not None:
                answer = self._do(act, lookout)
                try:
                    act = behaviour.send(answer)
                except StopIteration:
                    act = None
            self._fire("SessionEnd", reason="prompt_input_exit")

    def _do(self, act: Act, lookout: Lookout) -> Answer:
        if isinstance(act, EndTurn):
            told = self._fire(
                "Stop",
                stop_hook_active=False,
                last_assistant_message=act.text,
                background_tasks=[],
                session_crons=[],
            )
            if told.feedback:  # the turn goes on, with what the behaviour would look for anyway
                return Answer()
            if act.until:
                say("rests", agent=self._scene.name)
            woken = lookout.wait(act.until) if act.until else Answer()
            if woken.ok:
                self._prompt("Go on.")
            return woken
        if isinstance(act, Linger):
            say("lingers", agent=self._scene.name)
            threading.Event().wait()
        assert isinstance(act, (Bash, Read, Write, Edit))
        return self._call(act)

    def _call(self, act: Tool) -> Answer:
        if isinstance(act, Read):
            return read_file(act.path)
        name, given = as_tool_call(act)
        self._calls += 1
        guard = self._fire(
            "PreToolUse", tool_name=name, tool_input=given, tool_use_id=f"toolu_{self._calls:024d}"
        )
        if guard.denied:
            say("denied", agent=self._scene.name, tool=name, reason=guard.reason)
            return Answer(guard.reason, ok=False, denied=True)
        if isinstance(act, Bash):
            return self._run(str((guard.input or given)["command"]))
        return change_file(act)

    def _run(self, command: str) -> Answer:
        environment = {
            name: value for name, value in self._environment.items() if name not in HOOKS_ONLY
        }
        if self._env_file.exists():  # what SessionStart left there
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
        return Answer(done.stdout.decode(errors="replace"), ok=done.returncode == 0)

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
            **(
                {"permission_mode": "default", "prompt_id": f"prompt-{self._prompts}"}
                if self._prompts
                else {}
            ),
            **fields,
        }
        return self._hooks.fire(payload, self._scene.root)


def scene_of(part: Part) -> Scene:
    """What a part of the crew sees of the world."""
    return Scene(
        Path(part.root), load_sample(), part.python, part.name, part.careless, part.lingers_at
    )


def as_tool_call(act: Bash | Write | Edit) -> tuple[str, dict[str, Any]]:
    """An act as the tool call that Claude Code would make: name and input."""
    if isinstance(act, Bash):
        return "Bash", {"command": act.command, "description": "Work on the task"}
    if isinstance(act, Write):
        return "Write", {"file_path": str(act.path), "content": act.text}
    return "Edit", {"file_path": str(act.path), "old_string": act.old, "new_string": act.new}


def read_file(path: Path) -> Answer:
    """Look at a file as the tool would; there is no hook in front of it."""
    try:
        return Answer(path.read_text(encoding="utf-8"))
    except OSError as error:
        return Answer(f"{path}: {error.strerror}", ok=False)


def change_file(act: Write | Edit) -> Answer:
    """Write or edit a file as the tool would."""
    if isinstance(act, Write):
        act.path.parent.mkdir(parents=True, exist_ok=True)
        act.path.write_text(act.text, encoding="utf-8")
        return Answer()
    text = act.path.read_text(encoding="utf-8")
    if text.count(act.old) != 1:
        return Answer(
            f"the text to replace stands in {act.path} {text.count(act.old)} times", ok=False
        )
    act.path.write_text(text.replace(act.old, act.new), encoding="utf-8")
    return Answer()


def say(kind: str, **fields: str) -> None:
    """One line to the demo."""
    print(json.dumps({"kind": kind, **fields}), flush=True)


def main() -> None:
    """Play the part that standard input gives."""
    part = Part(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_the_demo, daemon=True).start()
    try:
        Session(part.role, scene_of(part)).play()
    except Exception as error:  # noqa: BLE001 - the process's edge: the demo shows it and ends
        detail = str(error) if isinstance(error, Unexpected) else f"{type(error).__name__}: {error}"
        say("failed", agent=part.name, reason=detail)
        sys.exit(1)
    say("finished", agent=part.name)


def _end_with_the_demo() -> None:
    # Not the buffered sys.stdin: its lock would be held in this read for ever, and the interpreter
    # could not end.
    while os.read(0, 4096):
        pass  # the demo says nothing after the first line
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with the commands that it runs
    os._exit(1)


if __name__ == "__main__":
    main()
