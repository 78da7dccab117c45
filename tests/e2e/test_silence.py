"""Octet is inert without an opt-in; a broken installation speaks only in an opted-in repository."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from tests.support.claude import ClaudeHeadless
from tests.support.sandbox import DROP_IN, PLUGIN, PROJECT, Sandbox, git, tree
from tests.support.scripted_model import Model, Request, Text, Tool, marker
from tests.support.waiting import poll

PARTICULARS = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|"
    r"toolu_\d+|cc_version=[\w.]+|cch=\w+|[0-9a-f]{64}|/tmp/claude-\d+/\S+"
)
NO_REGISTRY = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/",
    "PIP_RETRIES": "0",
    "PIP_CONFIG_FILE": "/dev/null",
    "UV_OFFLINE": "1",
}
CLIENTS_OWN = re.compile(r"\.claude/|\.cache/claude|\.local/share/claude|\.local/state/claude")


def copy_of_the_plugin(directory: Path, *, without: str) -> Path:
    """The project's plugin, copied (its package by a link), with one file or directory removed."""
    plugin = directory / "plugin"
    for part in (".claude-plugin", "hooks", "commands", "agents", "bin"):
        shutil.copytree(PROJECT / part, plugin / part)
    (plugin / "src").symlink_to(PROJECT / "src")
    removed = plugin / without
    shutil.rmtree(removed) if removed.is_dir() else removed.unlink()
    return plugin


def use_every_guarded_tool(sandbox: Sandbox, session: str) -> ClaudeHeadless:
    path = sandbox.repository / "a.py"
    sandbox.model.script(
        session,
        Tool("Write", {"file_path": str(path), "content": "a = 1\n"}),
        Tool("Edit", {"file_path": str(path), "old_string": "1", "new_string": "2"}),
        Tool("Bash", {"command": "git merge main && rm a.py", "description": "Merge"}),
        Text("Done."),
    )
    client = sandbox.start(marker(session) + " work")
    client.finish()
    return client


def bodies(requests: list[Request], session: str) -> list[str]:
    """The requests' messages, tools and system prompts, without what differs between two runs."""
    return [
        PARTICULARS.sub("ID", str(request.body)).replace(f"session:{session}", "session:X")
        for request in requests
    ]


def test_a_repository_that_has_not_opted_in_sees_no_change_at_all(
    sandbox: Sandbox, model: Model
) -> None:
    """No file, no process, no output of a hook; each request equals the one made with the plugin's
    hooks taken out.
    """
    sandbox.cache = sandbox.home / ".cache"
    before = tree(sandbox.home, lambda name: bool(CLIENTS_OWN.search(name)))
    client = use_every_guarded_tool(sandbox, "A")
    hooks = [event for event in client.events if event.get("subtype") == "hook_response"]
    assert hooks, "the plugin's hooks did run"
    assert {(hook["exit_code"], hook["stdout"], hook["stderr"]) for hook in hooks} == {(0, "", "")}
    assert tree(sandbox.home, lambda name: bool(CLIENTS_OWN.search(name))) == before
    assert git(sandbox.repository, "status", "--porcelain", "--ignored") == ""
    assert sandbox.processes() == {}

    sandbox.plugin = copy_of_the_plugin(sandbox.directory, without="hooks")
    use_every_guarded_tool(sandbox, "B")
    assert bodies(model.requests_of("A"), "A") == [
        body.replace(str(sandbox.plugin), str(PROJECT))
        for body in bodies(model.requests_of("B"), "B")
    ]


@pytest.mark.parametrize("sandbox", [DROP_IN], indirect=True)
def test_a_cloned_drop_in_is_inert_until_this_machine_opts_in(
    team: Sandbox, tmp_path: Path
) -> None:
    """A repository can bring the files; only the person's own `octet init` makes them act."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(team.repository), str(clone))
    assert (clone / ".claude" / "octet.toml").exists()
    team.model.script(
        "A", Tool("Write", {"file_path": str(clone / "a.py"), "content": "a = 1\n"}), Text("Done.")
    )
    client = team.start(marker("A") + " work", cwd=clone)
    client.finish()
    assert (clone / "a.py").exists()
    assert {hook["exit_code"] for hook in client.hook_responses("PreToolUse")} <= {0}
    assert {hook["stdout"] for hook in client.hook_responses("PreToolUse")} <= {""}
    assert team.processes() == {}


@pytest.mark.parametrize("sandbox", [PLUGIN, DROP_IN], indirect=True)
def test_undo_makes_the_repository_one_that_never_opted_in(team: Sandbox) -> None:
    """After `octet init --undo` the next session is not guarded, and no file of Octet's is left in
    the repository.
    """
    team.octet("init", "--undo")
    client = use_every_guarded_tool(team, "A")
    assert {
        (hook["exit_code"], hook["stdout"]) for hook in client.hook_responses("PreToolUse")
    } <= {(0, "")}
    assert not any(
        "octet" in name for name in tree(team.repository, lambda name: name.startswith(".git/"))
    )


@pytest.mark.parametrize("broken", ["hooks/pipe.py", "interpreter"])
def test_a_broken_installation_blocks_writes_only_where_it_was_asked_for(
    team: Sandbox, model: Model, tmp_path: Path, broken: str
) -> None:
    """Guards fail closed: a script or an interpreter gone means denied in the opted-in repository,
    and nothing elsewhere.
    """
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    team.plugin = copy_of_the_plugin(
        team.directory, without="hooks/pipe.py" if broken == "hooks/pipe.py" else "bin"
    )
    if broken == "interpreter":
        team.break_interpreter()
    for session, directory in (("A", team.repository), ("B", elsewhere)):
        model.script(
            session,
            Tool("Write", {"file_path": str(directory / "a.py"), "content": "a = 1\n"}),
            Text("Done."),
        )
        team.start(marker(session) + " write", cwd=directory).finish()
    assert not (team.repository / "a.py").exists()
    assert model.tool_results("A")[0].startswith("PreToolUse:Write hook error")
    assert (elsewhere / "a.py").read_text() == "a = 1\n"


def test_the_first_build_holds_up_no_session(team: Sandbox, model: Model) -> None:
    """Not set up yet: the session is told and goes on, its write is denied; where setting up
    failed, a later one is told why.
    """
    team.octet("daemon", "stop")
    team.extra_environment = {"XDG_CACHE_HOME": str(team.directory / "cache")} | NO_REGISTRY
    model.script(
        "A",
        Tool("Write", {"file_path": str(team.repository / "a.py"), "content": "a = 1\n"}),
        Text("Done."),
    )
    assert "setting itself up" in notice_at_start(team, "A")
    assert model.tool_results("A")[0].startswith("PreToolUse:Write hook error")
    assert not (team.repository / "a.py").exists()
    poll(lambda: "setup.log" in notice_at_start(team, "B"), "the reason why setting up failed")


def notice_at_start(sandbox: Sandbox, session: str) -> str:
    """What the person of a whole session is told at its start."""
    client = sandbox.start(marker(session) + " write")
    client.finish()
    [greeting] = [
        response for response in client.hook_responses("SessionStart") if response["stdout"]
    ]
    return str(json.loads(greeting["stdout"])["systemMessage"])
