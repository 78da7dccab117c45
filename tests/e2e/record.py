"""Records what the real client sends to hooks, as the payloads that the tests of the hooks and of
the guard start from.

`python -m tests.e2e.record` (with OCTET_TEST_CLAUDE set) writes tests/hooks/payloads/<name>.json
anew, and beside them tests/hooks/environment.json, the variables that a hook is run with. What
differs from run to run stands as a placeholder: @REPO@ @HOME@ @SESSION@ @AGENT@ @PROMPT@ @TOOL@
@TASK@ @PID@. Ids that a test compares stay apart by number: @AGENT2@.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.support.claude import (
    ClaudeHeadless,
    ClaudeInteractive,
    accept_first_run_questions,
    client_environment,
    find_claude,
    unfit_because,
)
from tests.support.scripted_model import Failure, Gate, Model, Text, Tool, Turn, marker
from tests.support.waiting import poll

PAYLOADS = Path(__file__).parents[1] / "hooks" / "payloads"
EVENTS = (
    "SessionStart", "SessionEnd", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PostToolBatch",
    "Stop", "StopFailure", "SubagentStart", "SubagentStop", "Notification", "PreCompact",
)  # fmt: skip
GUARDED = ("Write", "Edit", "NotebookEdit", "Bash", "Agent")
ALLOW = ("--permission-mode", "bypassPermissions")
NOTEBOOK = {
    "cells": [
        {
            "cell_type": "code",
            "id": "c1",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": ["1"],
        }
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}
RECORDER = """
    import json, os, sys, time
    stem = f"{sys.argv[1]}/{time.time_ns()}-{os.getpid()}"
    with open(stem + ".tmp", "wb") as file:
        file.write(sys.stdin.buffer.read())
    with open(stem + ".env", "w") as file:
        names = [name for name in os.environ if name.startswith(("CLAUDE", "AI_AGENT"))]
        json.dump({name: os.environ[name] for name in names}, file)
    os.rename(stem + ".tmp", stem + ".json")
"""


def make_recording_plugin(directory: Path, records: Path) -> Path:
    """A plugin whose hooks only write down what they were given; its path has a space, its agent is
    `probe:developer`.
    """
    plugin = directory / "a plugin"
    for below in (".claude-plugin", "hooks", "agents"):
        (plugin / below).mkdir(parents=True)
    (plugin / ".claude-plugin" / "plugin.json").write_text(
        json.dumps({"name": "probe", "version": "0.0.1", "description": "records"})
    )
    (plugin / "agents" / "developer.md").write_text(
        "---\nname: developer\ndescription: builds\n---\nYou build.\n"
    )
    (plugin / "hooks" / "record.py").write_text(textwrap.dedent(RECORDER))
    command = {
        "type": "command",
        "command": sys.executable,
        "args": ["-I", "-S", "${CLAUDE_PLUGIN_ROOT}/hooks/record.py", str(records)],
    }
    hooks = {event: [{"hooks": [command]}] for event in EVENTS}
    (plugin / "hooks" / "hooks.json").write_text(json.dumps({"hooks": hooks}))
    return plugin


class Recording:
    """One temporary home and repository, the recording plugin, and what it recorded."""

    def __init__(self, directory: Path, binary: Path, model: Model) -> None:
        self.home, self.repository, self.records = (
            directory / "home",
            directory / "a repo",
            directory / "records",
        )
        for made in (self.home, self.repository, self.records):
            made.mkdir()
        self.binary, self.model = binary, model
        self.arguments = ("--plugin-dir", str(make_recording_plugin(directory, self.records)))
        self.environment = client_environment(self.home, model.url)
        (self.repository / "n.ipynb").write_text(json.dumps(NOTEBOOK))
        commit = [
            "git",
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "first",
        ]
        for command in (["git", "init", "-q", "-b", "main"], commit):
            subprocess.run(command, cwd=self.repository, env=self.environment, check=True)

    def payloads(self) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
        """Every payload so far with the environment of its hook, in order."""
        for path in sorted(self.records.glob("*.json")):
            yield json.loads(path.read_bytes()), json.loads(path.with_suffix(".env").read_text())

    def run(self, prompt: str, *arguments: str) -> str:
        """One `claude -p`; returns its session's id."""
        with self.start(prompt, *arguments) as client:
            session: str = client.finish()["session_id"]
            return session

    def converse(self, *prompts: str) -> None:
        """One client for several prompts."""
        with self.start(None, *ALLOW) as client:
            for count, prompt in enumerate(prompts, 1):
                client.send(prompt)
                client.wait_for_results(count)
            client.finish()

    def start(self, prompt: str | None, *arguments: str) -> ClaudeHeadless:
        """`claude -p` with the recording plugin; close it."""
        return ClaudeHeadless(
            self.binary, self.repository, self.environment, prompt, [*self.arguments, *arguments]
        )

    def terminal(self, *arguments: str) -> ClaudeInteractive:
        accept_first_run_questions(self.home, self.repository)
        return ClaudeInteractive(
            self.binary, self.repository, self.environment, [*self.arguments, *arguments]
        )


def record_tools(recording: Recording) -> None:
    """A session that uses each guarded tool, then is cleared and compacted."""
    target, notebook = str(recording.repository / "a.py"), str(recording.repository / "n.ipynb")
    recording.model.script(
        "tools",
        Tool("Write", {"file_path": target, "content": "x = 1\n"}),
        Tool("Edit", {"file_path": target, "old_string": "x = 1", "new_string": "x = 2"}),
        Tool("Bash", {"command": "git status --short", "description": "Show what changed"}),
        Tool("ToolSearch", {"query": "select:NotebookEdit"}),
        Tool("Read", {"file_path": notebook}),
        Tool("NotebookEdit", {"notebook_path": notebook, "cell_id": "c1", "new_source": "2"}),
        Text("Wrote a.py.\nIt has one line."),
    )
    recording.converse(
        marker("tools") + " write a.py", "/clear", marker("cleared") + " go on", "/compact"
    )


def record_life(recording: Recording) -> None:
    """The ways a session starts, an API error, and a role."""
    session = recording.run(marker("life") + " first")
    recording.run(marker("life") + " again", "--resume", session)
    recording.run(marker("life") + " another way", "--resume", session, "--fork-session")
    recording.run(marker("role") + " work", "--agent", "probe:developer")
    recording.model.fail_with(Failure(529, "overloaded_error", "Overloaded"))
    with recording.start(None) as client:
        client.send(marker("fails"))
        poll(
            lambda: "stop_failure" in named(recording), "StopFailure"
        )  # a client that ends does not wait for this hook
        client.finish()
    recording.model.fail_with(None)


def record_subagents(recording: Recording) -> None:
    """A background sub-agent that outlives its parent's turn, and one in a worktree of its own."""
    gate = Gate()
    background = {
        "description": "Build it",
        "prompt": marker("sub") + " build",
        "subagent_type": "probe:developer",
    }
    isolated = background | {
        "prompt": marker("isolated") + " build",
        "isolation": "worktree",
        "run_in_background": False,
    }
    write = Tool("Write", {"file_path": "s.py", "content": "x = 1\n"})
    recording.model.script("sub", Turn(write, gate=gate), Text("Built it."))
    recording.model.script("isolated", write, Text("Built it."))
    recording.model.script(
        "parent",
        Tool("Agent", isolated),
        Tool("Agent", background),
        Text("Waiting."),
        Text("All done."),
    )
    with recording.start(None, *ALLOW) as client:
        client.send(marker("parent") + " have it built")
        client.wait_for_results(1)
        gate.open()
        client.wait_for_results(2)
        client.finish()


def record_terminal(recording: Recording) -> None:
    """What only the terminal program sends; about seven seconds: it notifies only after six."""
    recording.model.script(
        "asks", Tool("Bash", {"command": "touch b", "description": "Make b"}), Text("Made b.")
    )
    with recording.terminal("--permission-mode", "default") as client:
        client.wait_until_ready()
        client.type_line(marker("asks") + " make b")
        poll(lambda: "notification_permission_prompt" in named(recording), "a notification")
        client.press(b"\r")
        client.wait_for_screen("Made b.")
        client.leave()


def name_of(payload: Mapping[str, Any]) -> str:
    """The file name, without ending, of a payload: its event and what tells it from others of the
    event.
    """
    event = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", payload["hook_event_name"]).lower()
    details = [payload.get(key) for key in ("source", "reason", "tool_name", "notification_type")]
    if event in ("user_prompt_submit", "session_start") and "agent_type" in payload:
        details.append("role")
    if payload.get("prompt", "").startswith("<task-notification>"):
        details.append("notification")
    if event in ("stop", "subagent_stop") and payload["background_tasks"]:
        details.append("background")
    if payload.get("agent_id") and payload["agent_type"] == "":
        details.append("orphan")
    if "/.claude/worktrees/" in payload["cwd"]:
        details.append("worktree")
    elif payload.get("agent_id") and event.endswith("tool_use"):
        details.append("subagent")
    return "_".join(
        [
            event,
            *(
                str(detail).lower().replace("notebookedit", "notebook_edit")
                for detail in details
                if detail
            ),
        ]
    )


def named(recording: Recording) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    """The first payload of each name, with its hook's environment."""
    found: dict[str, tuple[dict[str, Any], dict[str, str]]] = {}
    for payload, environment in recording.payloads():
        if payload.get("tool_name", "Bash") in GUARDED:
            found.setdefault(name_of(payload), (payload, environment))
    return found


def without_particulars(text: str, recording: Recording) -> str:
    """`text` with placeholders for paths and ids; ids of one kind are numbered in order."""
    for path, placeholder in (
        (recording.repository, "@REPO@"),
        (recording.home, "@HOME@"),
        (recording.records.parent, "@TMP@"),
    ):
        text = text.replace(str(path), placeholder)
        text = text.replace(re.sub(r"[^A-Za-z0-9]", "-", str(path)), f"{placeholder}-slug")
    kinds = {
        "TOOL": r"toolu_\d+",
        "AGENT": r"\ba[0-9a-f]{16}\b",
        "UUID": r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        "TOKEN": r"\b[0-9a-f]{32}\b",
    }
    for kind, pattern in kinds.items():
        for number, value in enumerate(dict.fromkeys(re.findall(pattern, text)), 1):
            text = text.replace(value, f"@{kind}{number if number > 1 else ''}@")
    return text


def write_payloads(recording: Recording, directory: Path) -> None:
    """Write each named payload, and the environment of the first tool hook and of the first
    SessionStart.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, (payload, _) in named(recording).items():
        session, prompt = payload["session_id"], payload.get("prompt_id")
        text = json.dumps(payload, indent=1, ensure_ascii=False).replace(session, "@SESSION@")
        text = text.replace(prompt, "@PROMPT@") if prompt else text
        (directory / f"{name}.json").write_text(without_particulars(text, recording) + "\n")
    environments = {
        name: _environment(named(recording)[name][1], recording)
        for name in ("session_start_startup", "pre_tool_use_write")
    }
    (directory.parent / "environment.json").write_text(json.dumps(environments, indent=1) + "\n")


def _environment(variables: Mapping[str, str], recording: Recording) -> dict[str, str]:
    given = {
        name: value
        for name, value in variables.items()
        if name not in client_environment(recording.home, recording.model.url)
    }
    text = json.dumps(given, sort_keys=True)
    text = text.replace(given["CLAUDE_PID"], "@PID@").replace(
        given["CLAUDE_CODE_SESSION_ID"], "@SESSION@"
    )
    found: dict[str, str] = json.loads(without_particulars(text, recording))
    return found


def main() -> None:
    binary = find_claude()
    if reason := unfit_because(binary):
        sys.exit(reason)
    assert binary is not None
    with tempfile.TemporaryDirectory() as directory, Model() as model:
        recording = Recording(Path(directory).resolve(), binary, model)
        for record in (record_tools, record_life, record_subagents, record_terminal):
            record(recording)
        write_payloads(recording, PAYLOADS)


if __name__ == "__main__":
    main()
