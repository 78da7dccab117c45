"""The demo's crew in parts: how hooks are read, who keeps to its task, what the scripted model
answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from octet.base.processes import kill_all, processes_of
from octet.core.tasks.verdicts import Finding
from octet.demo.acts import Act, Answer, Bash, Behaviour, EndTurn, Linger, Read, Write
from octet.demo.answers import Failure, Text, ToolCall
from octet.demo.hooks import Hooks, read_answer
from octet.demo.model import ModelServer, Request, marker
from octet.demo.roles import BEHAVIOURS, GUARDIAN, REVIEWER, TESTER, Scene, Unexpected, find_faults
from octet.demo.sample import load_sample


def specific(**fields: str) -> str:
    return json.dumps({"hookSpecificOutput": {"hookEventName": "PreToolUse", **fields}})


class TestHooks:
    @pytest.mark.parametrize(
        ("event", "status", "out", "denied"),
        [
            ("PreToolUse", 0, "", False),
            ("PreToolUse", 0, specific(permissionDecision="allow"), False),
            ("PreToolUse", 0, specific(permissionDecision="deny"), True),
            ("PreToolUse", 0, specific(permissionDecision="ask"), True),
            ("PreToolUse", 2, "", True),
            ("PreToolUse", 127, "", True),
            ("Stop", 1, "", False),
        ],
    )
    def test_what_denies(self, event: str, status: int, out: str, denied: bool) -> None:
        """As in the client: a denial, a question that nobody can answer, and a guard that fails,
        block a tool.
        """
        assert read_answer(event, status, out, "").denied is denied

    def test_what_a_stop_hook_says_goes_on(self) -> None:
        """Context at Stop lets the turn go on; at another event it does not."""
        assert read_answer("Stop", 0, specific(additionalContext="next"), "").feedback == "next"
        assert (
            read_answer("Stop", 0, "", "").feedback
            == read_answer("SessionStart", 0, specific(additionalContext="x"), "").feedback
            == ""
        )

    def test_only_matching_hooks_run_with_the_plugin_filled_in(self, tmp_path: Path) -> None:
        """A matcher selects by tool, the plugin's path is put in, and the payload comes on standard
        input.
        """
        (tmp_path / "hooks").mkdir()
        hook = {
            "type": "command",
            "command": "/bin/sh",
            "args": ["-c", "cat > ${CLAUDE_PLUGIN_ROOT}/seen"],
        }
        idle = {"type": "command", "command": "/bin/false", "asyncRewake": True}
        groups = [{"matcher": "Write|Edit", "hooks": [hook, idle]}]
        (tmp_path / "hooks" / "hooks.json").write_text(
            json.dumps({"hooks": {"PreToolUse": groups}})
        )
        hooks = Hooks(tmp_path, os.environ)
        assert (
            hooks.fire({"hook_event_name": "PreToolUse", "tool_name": "Bash"}, tmp_path).denied
            is False
        )
        assert not (tmp_path / "seen").exists()
        hooks.fire({"hook_event_name": "PreToolUse", "tool_name": "Edit"}, tmp_path)
        assert json.loads((tmp_path / "seen").read_text())["tool_name"] == "Edit"


class TestRoles:
    @pytest.fixture
    def scene(self, tmp_path: Path) -> Scene:
        return Scene(tmp_path, load_sample(), sys.executable, "somebody")

    def test_a_developer_honours_a_denial(self, scene: Scene) -> None:
        """A denied note is not written in any other way: the next act is the claim."""
        behaviour = BEHAVIOURS["developer"](scene)
        next(behaviour)
        behaviour.send(Answer("the plan"))
        act = behaviour.send(Answer("held", ok=False, denied=True))
        assert isinstance(act, Bash)
        assert act.command.startswith("octet task claim")

    def test_a_developer_ends_with_the_feature(self, scene: Scene) -> None:
        """Nothing to claim: it waits, and ends when there will never be anything."""
        behaviour = BEHAVIOURS["developer"](scene)
        next(behaviour)
        behaviour.send(Answer())
        behaviour.send(Answer())
        assert isinstance(
            behaviour.send(Answer("octet: nothing waits for the build stage", ok=False)), EndTurn
        )
        with pytest.raises(StopIteration):
            behaviour.send(Answer(ok=False))

    def test_an_error_is_not_taken_for_an_empty_queue(self, scene: Scene) -> None:
        """A claim that fails for another reason stops the demo."""
        behaviour = BEHAVIOURS["developer"](scene)
        next(behaviour)
        behaviour.send(Answer())
        behaviour.send(Answer())
        with pytest.raises(Unexpected):
            behaviour.send(Answer("octet: the server does not answer", ok=False))

    def test_the_one_that_dies_stands_still_after_its_first_step(self, tmp_path: Path) -> None:
        """A developer that lingers has claimed, has written, and has told how far it is."""
        scene = Scene(tmp_path, load_sample(), sys.executable, "somebody", lingers_at=1)
        acts = play(BEHAVIOURS["developer"](scene), tmp_path, [scene.sample.jobs[0].id])
        assert any("task progress" in command for command in commands(acts))
        assert not any("submit" in command for command in commands(acts))

    def test_a_careless_developer_forgets_its_first_tests_and_adds_them(
        self, tmp_path: Path
    ) -> None:
        """Its first submission brings no test; when that task comes back, the tests alone are
        written, and it is submitted again.
        """
        scene = Scene(
            tmp_path, load_sample(), sys.executable, "somebody", careless=True, lingers_at=4
        )
        first, second, last = scene.sample.jobs[:3]
        acts = play(
            BEHAVIOURS["developer"](scene), tmp_path, [first.id, second.id, first.id, last.id]
        )
        submitted = [
            number
            for number, act in enumerate(acts)
            if isinstance(act, Bash) and "task submit" in act.command
        ]
        written = [
            {act.path.relative_to(tmp_path).as_posix() for act in part if isinstance(act, Write)}
            for part in split(acts, submitted)
        ]
        tests = [{path for path in paths if path.startswith("tests/")} for paths in written]
        assert tests[:3] == [set(), {second.tests.path}, {first.tests.path}]
        assert written[2] == tests[2]

    @pytest.mark.parametrize(
        ("changed", "findings"),
        [
            (["pocket/budget.py", "tests/test_budgets.py"], []),
            (["tests/test_budgets.py"], []),
            (["pocket/budget.py"], ["pocket/budget.py:7: major: no test shows this change"]),
            (
                ["pocket/budget.py", "pocket/money.py", "tests/test_budgets.py"],
                ["pocket/money.py:7: major: this file is not among the task's paths"],
            ),
        ],
    )
    def test_the_reviewer_wants_tests_and_the_tasks_own_files(
        self, changed: list[str], findings: list[str]
    ) -> None:
        """A change without tests, or beyond its task's paths, is found, with file and line."""
        diff = "".join(
            f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -7,2 +7,3 @@\n+x\n"
            for path in changed
        )
        found = find_faults(load_sample().job("budgets"), diff)
        assert found == findings
        assert [str(Finding.parse(text)) for text in found] == found

    def test_the_reviewer_judges_what_it_has_read(self, scene: Scene) -> None:
        """It takes a task, reads the very change that the review names, and says what it found of
        that task.
        """
        behaviour = BEHAVIOURS[REVIEWER](scene)
        next(behaviour)
        started = json.dumps({"task": {"id": "budgets"}, "change": {"command": "git diff a b"}})
        acts = [
            behaviour.send(answer)
            for answer in (
                Answer(),
                Answer(started),
                Answer("+++ b/pocket/budget.py\n@@ -0,0 +1 @@\n"),
            )
        ]
        assert commands(acts)[1] == "git diff a b"
        assert (
            commands(acts)[2]
            == "octet review reject budgets --finding 'pocket/budget.py:1: major: no test shows "
            "this change'"
        )

    @pytest.mark.parametrize(
        ("role", "command"), [(TESTER, "octet test run"), (GUARDIAN, "octet merge run")]
    )
    def test_tester_and_guardian_leave_it_to_the_queue(
        self, scene: Scene, role: str, command: str
    ) -> None:
        """They run Octet's own command when something waits for them; one that fails stops the
        demo.
        """
        behaviour = BEHAVIOURS[role](scene)
        assert isinstance(next(behaviour), EndTurn)
        act = behaviour.send(Answer())
        assert isinstance(act, Bash)
        assert act.command.startswith(command)
        with pytest.raises(Unexpected):
            behaviour.send(Answer("no", ok=False))


def play(behaviour: Behaviour, tree: Path, tasks: list[str]) -> list[Act]:
    """What a developer does when it gets these tasks, one after the other, until it lingers; its
    worktree is always `tree`.
    """
    acts, left = [next(behaviour)], iter(tasks)
    while not isinstance(acts[-1], Linger):
        command = acts[-1].command if isinstance(acts[-1], Bash) else ""
        if "task claim" in command:
            answer = Answer(json.dumps({"id": next(left)}))
        elif "worktree add" in command:
            answer = Answer(json.dumps({"path": str(tree)}))
        else:
            answer = Answer(
                denied="stash" in command,
                ok=not isinstance(acts[-1], Read) or acts[-1].path.name != "PLAN.md",
            )
        acts.append(behaviour.send(answer))
    return acts


def split(acts: list[Act], ends: list[int]) -> list[list[Act]]:
    """The acts in parts, each up to one of `ends`, and what comes after the last."""
    return [acts[start:end] for start, end in zip([0, *ends], [*ends, len(acts)], strict=True)]


def commands(acts: list[Act]) -> list[str]:
    return [act.command for act in acts if isinstance(act, Bash)]


class TestModel:
    def test_it_answers_by_marker_as_a_stream(self) -> None:
        """The session is found by its marker, the tool results of the last turn are read, the
        answer is streamed.
        """
        seen: list[Request] = []

        def answer(request: Request) -> list[Text | ToolCall]:
            seen.append(request)
            return [Text("well"), ToolCall("Bash", {"command": "true"})]

        body = {
            "stream": True,
            "tools": [{"name": "Bash"}, {"name": "Read"}],
            "messages": [
                {"role": "user", "content": f"{marker('dev-1')} begin"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "1", "name": "Bash", "input": {}}],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "1",
                            "is_error": True,
                            "content": "Exit code 1",
                        }
                    ],
                },
            ],
        }
        with ModelServer(answer, unexpected) as model:
            said = post(model.url, body)
        assert seen[0].session == "dev-1"
        assert [(result.text, result.failed) for result in seen[0].results] == [
            ("Exit code 1", True)
        ]
        events = [
            json.loads(line.removeprefix("data: "))
            for line in said.splitlines()
            if line.startswith("data: ")
        ]
        assert events[0]["type"] == "message_start"
        assert events[-1]["type"] == "message_stop"
        assert any(
            event.get("delta", {}).get("partial_json") == '{"command": "true"}' for event in events
        )

    def test_a_side_call_is_told_from_the_main_loop(self) -> None:
        """A request without tools, for a title, is not the main loop's, whose marker it carries;
        its answer is one JSON object.
        """
        seen: list[Request] = []

        def answer(request: Request) -> list[Text]:
            seen.append(request)
            return [Text("a title")]

        with ModelServer(answer, unexpected) as model:
            said = json.loads(
                post(
                    model.url,
                    {"messages": [{"role": "user", "content": f"{marker('dev-1')} title?"}]},
                )
            )
        assert [(request.session, request.is_main) for request in seen] == [("dev-1", False)]
        assert (said["content"], said["stop_reason"]) == (
            [{"type": "text", "text": "a title"}],
            "end_turn",
        )

    def test_a_failure_is_answered_as_the_api_does(self) -> None:
        """A scripted failure comes with its status and kind."""
        overloaded = Failure(529, "overloaded_error", "Overloaded")
        with ModelServer(lambda _request: overloaded, unexpected) as model:
            assert refusal(model.url) == (
                529,
                {"type": "overloaded_error", "message": "Overloaded"},
            )

    def test_an_exception_is_reported_and_answered(self) -> None:
        """What goes wrong in an answer is told to its owner, and to the client as an error that it
        does not retry.
        """
        faults: list[str] = []

        def answer(_request: Request) -> list[Text]:
            raise Unexpected("nobody knows")

        with ModelServer(answer, lambda _request, error: faults.append(str(error))) as model:
            assert refusal(model.url) == (
                400,
                {"type": "invalid_request_error", "message": "nobody knows"},
            )
        assert faults == ["nobody knows"]


def unexpected(_request: Request, error: Exception) -> None:
    raise AssertionError("the answer failed") from error


def post(url: str, body: dict[str, object]) -> str:
    request = urllib.request.Request(
        f"{url}/v1/messages", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(response.read().decode())


def refusal(url: str) -> tuple[int, dict[str, str]]:
    """Status and error of a request that is refused."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(url, {"messages": []})
    with caught.value as response:
        return response.code, json.loads(response.read())["error"]


class TestProcesses:
    def test_what_names_the_directory_is_found_and_killed(self, tmp_path: Path) -> None:
        """A process is found by its environment, in whatever session it is, and no other is."""
        environment = {**os.environ, "HOME": str(tmp_path)}
        inside = subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True)
        outside = subprocess.Popen(["sleep", "60"], start_new_session=True)
        try:
            assert list(processes_of(tmp_path)) == [inside.pid]
            kill_all(tmp_path)
            assert inside.wait(10) < 0
            assert outside.poll() is None
        finally:
            for process in (inside, outside):
                process.kill()
                process.wait()
