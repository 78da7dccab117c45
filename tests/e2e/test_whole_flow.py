"""From a plan to merged main by sessions alone: each role does what its instructions say, and git
and the records prove the order.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

from tests.support.claude import ClaudeHeadless
from tests.support.sandbox import Sandbox, git
from tests.support.scripted_model import (
    Block,
    Conversation,
    Gate,
    Model,
    Result,
    Text,
    Tool,
    Turn,
    marker,
)
from tests.support.waiting import poll

TESTS = "python3 -B -m unittest discover -q -s tests"
CALL_LIMIT_MS = 600_000
FLOW_DEADLINE_S = 90.0
GATES_OF_A_MERGE = ["review", "test", "merge"]

PLAN = """\
# The bill
- [price] A price is read from text
  paths: shop/price.py, tests/test_price.py
  accept: tests/test_price.py passes
- [tax] Tax is added to an amount
  paths: shop/tax.py, tests/test_tax.py
  accept: tests/test_tax.py passes
- [bill] The bill sums prices and adds tax
  after: price, tax
  paths: shop/bill.py, tests/test_bill.py
  accept: tests/test_bill.py passes
"""
CODE = {
    "price": "def read(text):\n    return int(text)\n",
    "tax": "def add(amount):\n    return amount + amount // 10\n",
    "bill": "from shop import price, tax\n\n\ndef total(texts):\n    return "
    "tax.add(sum(map(price.read, texts)))\n",
}
CHECKS = {
    "price": "price.read('7') == 7",
    "tax": "tax.add(100) == 110",
    "bill": "bill.total(['40', '60']) == 110",
}
TEST = """\
from unittest import TestCase

from shop import {task}


class Test(TestCase):
    def test(self):
        assert {check}
"""
FINDING = "shop/price.py:2: major: read accepts a negative price"
MENDED = (
    "def read(text):\n    value = int(text)\n    if value < 0:\n        raise ValueError(text)\n "
    "   return value\n"
)


def test_sessions_take_a_plan_of_three_tasks_to_merged_main(sandbox: Sandbox, model: Model) -> None:
    """Six sessions, no person; rejected work comes again; git and the records prove the order."""
    opt_in_with_tests(sandbox)
    begun = git(sandbox.repository, "rev-parse", "main").strip()
    plan = sandbox.directory / "plan.md"
    crew = {
        "tester": start(
            sandbox,
            "tester",
            "test-orchestrator",
            one_call("octet test run --all --wait 60s"),
            mode="default",
        ),
        "guardian": start(
            sandbox,
            "guardian",
            "repository-guardian",
            one_call("octet merge run --wait 60s"),
            mode="default",
        ),
        "sentinel": start(sandbox, "sentinel", "code-sentinel", review_all(), mode="default"),
        "ann": start(sandbox, "ann", "developer", develop(sandbox.repository)),
        "bob": start(sandbox, "bob", "developer", develop(sandbox.repository)),
        "planner": start(sandbox, "planner", "orchestrator", plan_work(plan)),
    }
    agents = {
        name: sandbox.agent_of(client)["id"] for name, client in crew.items() if name != "planner"
    }
    poll(lambda: all_merged(sandbox), "three merged tasks", FLOW_DEADLINE_S)
    end(sandbox, crew)

    tasks = {
        task: json.loads(sandbox.octet("task", "show", task, "--json").stdout) for task in CODE
    }
    merged = merges_of(sandbox, begun)
    assert sorted(merged[:2]) == ["price", "tax"]
    assert merged[2:] == ["bill"]
    assert tasks["bill"]["claimed_ms"] >= max(tasks["price"]["done_ms"], tasks["tax"]["done_ms"])
    for task in tasks.values():
        assert_proven(sandbox, task, agents)
    assert {task["author"] for task in tasks.values()} <= {agents["ann"], agents["bob"]}
    assert_sent_back_once(model, tasks, agents)
    assert_every_step_passes(sandbox, begun)
    assert_nothing_is_left(sandbox)
    for session in ("tester", "guardian", "sentinel"):
        assert not refusals(model, session), "Octet's own commands need no permission"
    for session in crew:
        assert_as_instructed(model, session)


def test_slash_commands_review_and_merge(sandbox: Sandbox, model: Model) -> None:
    """What a person typed and built is reviewed and merged by sessions in the default mode: nothing
    that they need is asked for.
    """
    opt_in_with_tests(sandbox)
    task = sandbox.add_task("Parse")
    commit = build_by_hand(sandbox, task)
    model.play("R", review_one(task))
    sandbox.start(f"/{sandbox.name('review')} {task} {marker('R')}", mode="default").finish()
    sandbox.octet("test", "run", task)
    model.script("D", shell("octet merge run --once"))
    sandbox.start(
        marker("D") + " merge", "--agent", sandbox.name("developer"), mode="default"
    ).finish()
    assert "is no repository-guardian" in model.tool_results("D")[0]
    assert sandbox.task(task)["state"] == "submitted"
    merge = (
        shell("octet merge queue"),
        shell("octet merge run --once"),
        shell(f"octet review show {task}"),
    )
    model.script("M", *merge)
    sandbox.start(f"/{sandbox.name('merge')} {marker('M')}", mode="default").finish()

    assert sandbox.task(task)["state"] == "done", model.tool_results("M")
    assert git(sandbox.repository, "rev-parse", "main^2").strip() == commit
    assert [record["gate"] for record in records_of(sandbox, task)] == GATES_OF_A_MERGE
    assert not refusals(model, "R") + refusals(model, "M")
    assert_nothing_is_left(sandbox)


def test_slash_command_handoff(team: Sandbox, model: Model) -> None:
    """The task waits again, its unfinished work is kept, and the next claimer is told where it is
    and what the last one knew.
    """
    task, claimed = team.add_task("Parse"), Gate()
    model.script(
        "A",
        shell("octet task claim"),
        shell(f"octet worktree add {task}"),
        Turn(Text("Begun."), gate=claimed),
    )
    client = team.start(None, mode="default")
    client.send(f"/{team.name('claim-task')} {marker('A')}")
    claimed.await_arrival()
    (worktree_of(team, task) / "half.py").write_text("half = 1\n")
    claimed.open()
    client.wait_for_results(1)
    release = shell(f"octet task release {task} --note 'half is done; next: the other half'")
    model.script(
        "H",
        shell("octet task list --state claimed"),
        shell("git status --short"),
        release,
        shell(f"octet task show {task}"),
    )
    client.send(f"/{team.name('handoff')} the other half is missing {marker('H')}")
    client.wait_for_results(2)
    client.finish()

    assert not refusals(model, "A") + refusals(model, "H")
    assert team.task(task)["state"] == "pending"
    model.script("B", shell("octet task claim"))
    team.start(marker("B") + " work").finish()
    [told] = model.tool_results("B")
    assert "next: the other half" in told
    [ref] = re.findall(r"refs/octet/rescue/\S+", told)
    assert git(team.repository, "show", f"{ref}:half.py") == "half = 1\n"


# --- what the sessions do: a generator yields a tool call and gets its result ---


Step = Generator[Block, Result, str]


def run(tool: Tool) -> Step:
    """One tool call that must succeed; its output."""
    result = yield tool
    assert not result.failed, f"{tool.input}: {result.text}"
    return result.text


def shell(command: str) -> Tool:
    return Tool("Bash", {"command": command, "description": "Run it", "timeout": CALL_LIMIT_MS})


def write(path: Path, content: str) -> Tool:
    return Tool("Write", {"file_path": str(path), "content": content})


def one_call(command: str) -> Conversation:
    yield shell(command)


def plan_work(path: Path) -> Conversation:
    yield from run(shell(f"cat > {path} <<'END'\n{PLAN}END"))
    yield from run(shell(f"octet task import {path}"))
    yield from run(shell("octet task graph"))


def develop(home: Path) -> Conversation:
    while task := held(claimed := (yield shell("octet task claim --wait 60s"))):
        moved = yield from run(shell(f"octet worktree add {task}"))
        worktree = Path(re.findall(r"octet/\S+ in (.+)", moved)[0])
        yield from mend(worktree) if "to change" in claimed.text else build(task, worktree)
        yield from run(
            shell(f"cd '{worktree}' && {TESTS} && git add -A && git commit -q -m 'Build {task}'")
        )
        yield from run(
            shell(f"octet task submit {task} --note 'built; {TESTS} passed' && cd '{home}'")
        )


def build(task: str, worktree: Path) -> Step:
    test = TEST.format(task=task, check=CHECKS[task])
    yield from run(write(worktree / "tests" / f"test_{task}.py", test))
    return (yield from run(write(worktree / "shop" / f"{task}.py", CODE[task])))


def mend(worktree: Path) -> Step:
    yield from run(shell("octet review show price"))
    change = {
        "file_path": str(worktree / "shop" / "price.py"),
        "old_string": CODE["price"],
        "new_string": MENDED,
    }
    return (yield from run(Tool("Edit", change)))


def review_all() -> Conversation:
    while task := held(started := (yield shell("octet review start --wait 60s"))):
        [look] = re.findall(r"look +(git diff .*)", started.text)
        seen = yield from run(shell(look))
        if task == "price" and "raise ValueError" not in seen:
            yield from run(
                shell(f"octet review reject price --finding '{FINDING}' --note 'the rest is right'")
            )
        else:
            yield from run(shell(f"octet review approve {task} --note 'read all of it'"))


def review_one(task: str) -> Conversation:
    started = yield from run(shell(f"octet review start {task}"))
    [look] = re.findall(r"look +(git diff .*)", started)
    yield from run(shell(look))
    yield from run(shell(f"octet review approve {task} --note 'read all of it'"))


def held(result: Result) -> str:
    """The task that a claim gave, "" for none."""
    found = re.search(r"holds task (\S+) ", result.text)
    return found[1] if found and not result.failed else ""


# --- how they are started and ended ---


def opt_in_with_tests(sandbox: Sandbox) -> None:
    """A repository with a test of its own, whose command its person has approved."""
    tests = sandbox.repository / "tests"
    tests.mkdir()
    (tests / "test_begin.py").write_text(
        "import unittest\n\n\nclass Test(unittest.TestCase):\n    def test(self):\n        pass\n"
    )
    settings = sandbox.repository / ".claude" / "octet.toml"
    settings.parent.mkdir()
    settings.write_text(f'project = "flow-1"\n\n[test]\ncommand = "{TESTS}"\n')
    git(sandbox.repository, "config", "user.name", "Octet Test")
    git(sandbox.repository, "config", "user.email", "test@example.org")
    sandbox.opt_in()


def start(
    sandbox: Sandbox,
    session: str,
    role: str,
    conversation: Conversation,
    mode: str = "bypassPermissions",
) -> ClaudeHeadless:
    sandbox.model.play(session, conversation)
    return sandbox.start(marker(session) + " begin", "--agent", sandbox.name(role), mode=mode)


def end(sandbox: Sandbox, crew: dict[str, ClaudeHeadless]) -> None:
    """The person ends the sessions that wait for more."""
    crew["planner"].finish()
    for client in crew.values():
        if client.process.poll() is None:
            client.process.send_signal(signal.SIGTERM)
    poll(lambda: not sandbox.agents(), "the end of every agent")


def build_by_hand(sandbox: Sandbox, task: str) -> str:
    """A person builds the task and submits it; returns the commit."""
    sandbox.octet("task", "claim", task)
    sandbox.octet("worktree", "add", task)
    worktree = worktree_of(sandbox, task)
    (worktree / "parse.py").write_text("parse = int\n")
    git(worktree, "add", "-A")
    git(worktree, "commit", "-q", "-m", "Parse")
    sandbox.octet(
        "task", "submit", task, "--branch", f"octet/{task}"
    )  # typing a command there counts as being in it
    return git(worktree, "rev-parse", "HEAD").strip()


def worktree_of(sandbox: Sandbox, task: str) -> Path:
    return sandbox.repository / ".claude" / "worktrees" / task


# --- what is proven ---


def all_merged(sandbox: Sandbox) -> bool:
    """Whether every task is done, and the guardian through with cleaning up."""
    states = {sandbox.task(task).get("state") for task in CODE}
    return states == {"done"} and not sandbox.store.exists(sandbox.key("locks:repository:main"))


def merges_of(sandbox: Sandbox, begun: str) -> list[str]:
    """The tasks merged since `begun`, in order."""
    commits = git(
        sandbox.repository, "rev-list", "--first-parent", "--reverse", f"{begun}..main"
    ).split()
    by_commit = {sandbox.task(task)["merge_commit"]: task for task in CODE}
    return [by_commit[commit] for commit in commits]


def assert_proven(sandbox: Sandbox, task: dict[str, Any], agents: dict[str, str]) -> None:
    """Approved by a reviewer, tested and merged, in this order, all about the merged commit."""
    records = records_of(sandbox, task["id"])
    commit, merge = task["commit"], task["merge_commit"]
    assert git(sandbox.repository, "rev-parse", f"{merge}^2").strip() == commit
    fresh = [record for record in records if not record["stale"]]
    assert [record["gate"] for record in fresh] == GATES_OF_A_MERGE
    assert [record["verdict"] for record in fresh] == ["approve", "pass", "merged"]
    assert [record["by"] for record in fresh] == [
        agents["sentinel"],
        agents["tester"],
        agents["guardian"],
    ]
    assert {record["commit"] for record in fresh} == {commit}
    assert [record["at_ms"] for record in fresh] == sorted(record["at_ms"] for record in fresh)
    assert task["author"] not in [record["by"] for record in records]
    for record in fresh[1:]:
        evidence = record["evidence"]
        assert (evidence["command"], evidence["exit_code"]) == (TESTS, 0)
        assert evidence["duration_ms"] > 0
        assert "OK" in evidence["output"]
        assert (
            git(sandbox.repository, "rev-parse", f"{evidence['onto']}^{{commit}}").strip()
            == evidence["onto"]
        )
        assert commit in evidence["commits"]
    assert (
        fresh[2]["evidence"]["tree"]
        == git(sandbox.repository, "rev-parse", f"{merge}^{{tree}}").strip()
    )


def assert_sent_back_once(model: Model, tasks: dict[str, Any], agents: dict[str, str]) -> None:
    """One rejection; its finding reached the author's model, which alone built the task again."""
    rejected = [
        (task["id"], record)
        for task in tasks.values()
        for record in task["records"]
        if record["verdict"] == "changes"
    ]
    [(task, record)] = rejected
    assert (task, record["gate"], record["by"], record["stale"]) == (
        "price",
        "review",
        agents["sentinel"],
        True,
    )
    assert record["commit"] != tasks["price"]["commit"]
    finding = FINDING.split(": ", 2)[2]
    told = {session for session in ("ann", "bob") if model.requests_of(session)[-1].says(finding)}
    assert [agents[session] for session in told] == [tasks["price"]["author"]]


def assert_as_instructed(model: Model, session: str) -> None:
    """Each of Octet's commands that the session ran stands in what its role had told its model."""
    instructions = json.dumps(model.requests_of(session)[-1].body["system"])
    commands = [
        block.input.get("command", "") for block in model.said(session) if isinstance(block, Tool)
    ]
    ran = {call for command in commands for call in re.findall(r"octet [a-z]+ [a-z]+", command)}
    assert ran
    assert [call for call in ran if call not in instructions] == []


def assert_every_step_passes(sandbox: Sandbox, begun: str) -> None:
    """The tests pass at each commit that main was ever at."""
    for commit in git(sandbox.repository, "rev-list", "--first-parent", f"{begun}^..main").split():
        place = sandbox.directory / "steps" / commit
        git(sandbox.repository, "worktree", "add", "-q", "--detach", str(place), commit)
        done = subprocess.run(
            ["/bin/sh", "-c", TESTS],
            cwd=place,
            env=sandbox.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        git(sandbox.repository, "worktree", "remove", "--force", str(place))


def assert_nothing_is_left(sandbox: Sandbox) -> None:
    """No worktree but the one in which merges are tested, no branch, lock or change stays behind;
    the person's checkout is at main.
    """
    assert json.loads(sandbox.octet("worktree", "list", "--json").stdout) == []
    assert git(
        sandbox.repository, "for-each-ref", "--format=%(refname)", "refs/heads", "refs/octet"
    ).split() == ["refs/heads/main"]
    assert git(sandbox.repository, "status", "--porcelain") == ""
    assert json.loads(sandbox.octet("lock", "list", "--json").stdout) == []


def records_of(sandbox: Sandbox, task: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        sandbox.octet("review", "show", task, "--json").stdout
    )["records"]
    return found


def refusals(model: Model, session: str) -> list[str]:
    """The tool calls of `session` that the client or a hook did not let through."""
    return [
        text
        for text in model.tool_results(session)
        if "requires approval" in text or text.startswith("PreToolUse:")
    ]
