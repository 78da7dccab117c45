"""Plain git in a fenced repository, with none of Octet's other guards: who may move a protected
branch, and who may not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from octet.daemon.process import control
from octet.daemon.protocol import wire
from octet.guard.paths import worktree_resource
from octet.project.repository import find_worktree

from .field import Ended, Field, Session, shows

# Each would move main, or another protected branch; from the main checkout or from a worktree.
MOVES = {
    "commit": (["commit", "--allow-empty", "-m", "x"], "root"),
    "commit without hooks": (["commit", "--no-verify", "--allow-empty", "-m", "x"], "root"),
    "amend": (["commit", "--amend", "-m", "Other", "--allow-empty"], "root"),
    "merge": (["merge", "--no-edit", "octet/t1"], "root"),
    "merge --ff-only": (["merge", "--ff-only", "octet/t1"], "root"),
    "reset": (["reset", "-q", "--hard", "HEAD~1"], "root"),
    "revert": (["revert", "--no-edit", "HEAD"], "root"),
    "cherry-pick": (["cherry-pick", "--allow-empty", "octet/t1"], "root"),
    "rebase": (["rebase", "-q", "--onto", "HEAD~2", "HEAD~1"], "root"),
    "update-ref": (["update-ref", "refs/heads/main", "octet/t1"], "tree"),
    "update-ref of HEAD": (["update-ref", "HEAD", "octet/t1"], "root"),
    "branch -f": (["branch", "-f", "release/1", "octet/t1"], "tree"),
    "branch -D": (["branch", "-D", "release/1"], "tree"),
    "branch -m": (["branch", "-m", "release/1", "other"], "tree"),
    "update-ref -d": (["update-ref", "-d", "refs/heads/main"], "tree"),
    "a new protected branch": (["branch", "release/2"], "tree"),
    "fetch": (["fetch", "-q", ".", "octet/t1:main"], "tree"),
    "push": (["push", "-q", ".", "octet/t1:main"], "tree"),
    "push --no-verify": (["push", "-q", "--no-verify", ".", "octet/t1:release/1"], "tree"),
    "git-dir": (
        ["--git-dir=../a shop/.git", "--work-tree=.", "update-ref", "refs/heads/main", "octet/t1"],
        "tree",
    ),
}
DELETES = {"branch -D", "branch -m", "update-ref -d"}


def try_all(field: Field, run: Session | None, **environment: str) -> dict[str, Ended]:
    """How each of `MOVES` ends, from the same beginning each time."""
    before, ended = field.tips(), {}
    for name, (words, where) in MOVES.items():
        at = field.root if where == "root" else field.tree
        if where == "tree":
            field.person(
                "checkout", "-q", "--detach"
            )  # what a fetch or push may not move while it is checked out
        ended[name] = (run.git if run else _by_person(field))(*words, at=at, **environment)
        if field.tips() != before:
            ended[name] = Ended(0, "moved", ended[name].err)
            restore(field, before)
        elif ended[name].code == 0:
            ended[name] = Ended(99, "", f"{name} moved nothing: {ended[name].err}")
        for state in ("rebase", "merge", "cherry-pick", "revert"):
            field.person(state, "--abort", code=None)
        field.person("checkout", "-qf", "main")
        field.person("reset", "-q", "--hard")
    return ended


def _by_person(field: Field) -> Callable[..., Ended]:
    return lambda *words, at, **environment: field.person(*words, at=at, code=None, **environment)


def restore(field: Field, tips: str) -> None:
    known = {line.split("\t")[1]: line.split()[0] for line in tips.splitlines()}
    now = {line.split("\t")[1] for line in field.tips().splitlines()}
    for ref in now - known.keys():
        field.person("update-ref", "-d", ref)
    for ref, commit in known.items():
        field.person("update-ref", ref, commit)
    assert field.tips() == tips


def test_a_developer_moves_no_protected_branch(fenced: Field) -> None:
    """Whichever way, with nothing in its environment: git refuses, in one line that says whose
    business it is.
    """
    developer = fenced.session("developer")
    fenced.serve(developer)
    for name, ended in try_all(fenced, developer).items():
        assert ended.code not in (0, 99), (name, ended)
        assert "repository-guardian" in ended.said or name in DELETES, (name, ended)


@pytest.mark.parametrize("role", ["guest", "repository-guardian"])
def test_who_may_move_it_takes_the_lock_by_it(fenced: Field, role: str) -> None:
    """As at a tool call: a guest or the guardian, and no other agent meanwhile. A protected branch
    is never deleted.
    """
    agent, other = fenced.session(role), fenced.session("guest")
    fenced.serve(agent, other)
    for name, ended in try_all(fenced, agent).items():
        assert (ended.code == 0) == (name not in DELETES), (name, ended)
        assert bool(ended.said) == (name in DELETES), (name, ended)
    assert fenced.octet.locks.get("repository:main").holder == agent.agent.id
    refused = other.git("commit", "--allow-empty", "-m", "x")
    assert refused.code
    assert f"held by {agent.agent.id}" in refused.said


def test_a_developer_with_the_lock_moves_it(fenced: Field) -> None:
    """Taken by its own command, as the guard of tool calls has it; after its release no more."""
    developer = fenced.session("developer")
    fenced.serve(developer)
    token = fenced.lock(developer.agent)
    assert developer.git("commit", "--allow-empty", "-m", "x").code == 0
    assert developer.git("commit", "--allow-empty", "-m", "x", **shows(token)).code == 0
    fenced.octet.locks.release("repository:main", token)
    assert developer.git("commit", "--allow-empty", "-m", "x").code
    assert "is lost" in developer.git("commit", "--allow-empty", "-m", "x", **shows(token)).said


def test_a_stale_token_is_refused_whoever_shows_it(fenced: Field) -> None:
    """An agent that lost its lock and does not know; also one that was buried since, or a program
    of a person's.
    """
    old, new = fenced.session("repository-guardian"), fenced.session("repository-guardian")
    fenced.serve(old, new)
    stale = fenced.lock(old.agent)
    fenced.octet.locks.release("repository:main", stale)
    current = fenced.lock(new.agent)
    before = fenced.tips()
    for words in (
        ["update-ref", "refs/heads/main", "octet/t1"],
        ["merge", "octet/t1"],
        ["push", "-q", ".", "octet/t1:main"],
    ):
        for ended in (
            old.git(*words, **shows(stale)),
            fenced.person(*words, code=None, **shows(stale)),
        ):
            assert ended.code
            assert f"{new.agent.id} holds it now" in ended.said or "checked out" in ended.err, ended
    assert old.git("update-ref", "refs/heads/main", "octet/t1", **shows(current)).code, (
        "another's token"
    )
    fenced.octet.agents.expire(old.agent)
    assert old.git("update-ref", "refs/heads/main", "octet/t1", **shows(stale)).code
    assert fenced.tips() == before
    assert new.git("update-ref", "refs/heads/main", "octet/t1", **shows(current)).code == 0


@pytest.mark.parametrize(
    "role", ["guest", "repository-guardian", "developer", "code-sentinel", "orchestrator"]
)
@pytest.mark.parametrize("holder", ["nobody", "itself", "another"])
def test_it_says_what_the_guard_of_tool_calls_says(fenced: Field, role: str, holder: str) -> None:
    """For each role, with the lock free, its own or another's: allowed by both, or refused by both
    for the same reason.
    """
    agent, other = fenced.session(role), fenced.session("guest")
    fenced.serve(agent, other)
    if holder != "nobody":
        fenced.lock(agent.agent if holder == "itself" else other.agent)
    said = guard(fenced, agent, "git commit -m x")
    ended = agent.git("commit", "--allow-empty", "-m", "x")
    assert bool(said) == bool(ended.code), (said, ended)
    assert without_figures(said) == without_figures(ended.said)


def guard(field: Field, session: Session, command: str) -> str:
    """Why PreToolUse denies a command; "" when it does not."""
    payload: dict[str, Any] = {
        "session_id": "s",
        "transcript_path": "/x",
        "cwd": str(field.root),
        "hook_event_name": "PreToolUse",
        "tool_name": "Bash",
    }
    payload |= {
        "tool_input": {"command": command},
        "tool_use_id": "t",
        "permission_mode": "default",
    }
    url = field.environment["OCTET_REDIS_URL"]
    request = wire.Request(
        "PreToolUse",
        str(field.root),
        payload=json.dumps(payload).encode(),
        pid=session.pid,
        redis_url=url,
    )
    reply = wire.call(control.socket_path(), request, 10)
    found = json.loads(reply.stdout or b"{}").get("hookSpecificOutput", {})
    reason = (
        found.get("permissionDecisionReason", "")
        if found.get("permissionDecision") == "deny"
        else ""
    )
    return re.sub(r" \(`[^`]*` moves it\)", "", reason)


def without_figures(text: str) -> str:
    return re.sub(r"\d+", "N", text)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"\0" * 8,
        b"\0" * 9,
        b"[]\0" + b"\0" * 7 + b"x",
        b"\xff" * 100,
        b"[" * 9000 + b"\0" * 9,
    ],
)
def test_a_question_that_is_none(fenced: Field, raw: bytes) -> None:
    """By hand, or garbage: an answer, nothing refused, nothing broken."""
    fenced.serve()
    request = wire.Request(
        "Fence", str(fenced.root), payload=raw, redis_url=fenced.environment["OCTET_REDIS_URL"]
    )
    assert wire.call(control.socket_path(), request, 10).exit_code == 0


def test_a_person_is_never_stopped(fenced: Field) -> None:
    """Nor told anything, while the branch is unlocked."""
    developer = fenced.session("developer")
    fenced.serve(developer)
    for name, ended in try_all(fenced, None).items():
        assert ended.code == 0, (name, ended)
        assert not ended.said, (name, ended)


def test_a_person_is_told_once_who_is_at_it(fenced: Field) -> None:
    """One line for all refs of a push; what it does goes ahead."""
    guardian = fenced.session("repository-guardian")
    for branch in ("main", "release/1"):
        fenced.lock(guardian.agent, branch)
    fenced.serve(guardian)
    ended = fenced.person(
        "push",
        "-q",
        "--atomic",
        "--no-verify",
        ".",
        "octet/t1:release/1",
        "octet/t1:refs/heads/main",
        code=None,
    )
    assert guardian.agent.id in fenced.person("update-ref", "refs/heads/main", "octet/t1").said
    assert ended.code == 0 or "checked out" in ended.err


def test_an_agent_without_a_trace_above_it_is_known_by_its_environment(fenced: Field) -> None:
    """A background process that outlived its shell: CLAUDE_PID, or OCTET_AGENT. A pid that is no
    agent's is a person's.
    """
    developer = fenced.session("developer")
    fenced.serve(developer)
    commit = ["commit", "--allow-empty", "-m", "x"]
    assert (
        "repository-guardian"
        in fenced.person(*commit, code=128, CLAUDE_PID=str(developer.pid)).said
    )
    assert (
        "not a developer"
        in fenced.person(*commit, code=128, OCTET_AGENT="dev-x", OCTET_ROLE="developer").said
    )
    fenced.person(*commit, CLAUDE_PID="4194305")
    fenced.person(*commit, CLAUDE_PID="; rm -rf /")


def test_no_other_name_helps_an_agent(fenced: Field) -> None:
    """What an agent says of itself does not outweigh whose child it is."""
    developer, guardian = fenced.session("developer"), fenced.session("repository-guardian")
    fenced.serve(developer, guardian)
    lies: list[dict[str, Any]] = [
        {"CLAUDE_PID": str(guardian.pid)},
        {"OCTET_AGENT": guardian.agent.id},
        {"CLAUDE_PID": "1"},
        {"OCTET_HOME": "/tmp/x"},
    ]
    for lie in lies:
        assert developer.git("commit", "--allow-empty", "-m", "x", **lie).code, lie


def test_task_branches_and_other_refs_are_free(fenced: Field) -> None:
    """Also names that look like a protected one's."""
    developer = fenced.session("developer")
    fenced.serve(developer)
    tree = fenced.tree
    (tree / "new").write_text("x\n")
    for words in (
        ["add", "-A"],
        ["commit", "-m", "x"],
        ["branch", "mainly"],
        ["branch", "x/main"],
        ["tag", "main"],
        ["fetch", "-q", "."],
    ):
        assert developer.git(*words, at=tree).code == 0, words
    assert developer.git("update-ref", "refs/octet/rescue/t1/1", "HEAD", at=tree).code == 0
    assert developer.git("update-ref", "refs/remotes/origin/main", "HEAD", at=tree).code == 0


def test_to_pack_refs_is_no_move(fenced: Field) -> None:
    """`git gc`, which a commit may start, works for every caller; a packed branch can still not be
    deleted.
    """
    developer = fenced.session("developer")
    fenced.serve(developer)
    tip = fenced.tips().split()[0]
    refused = [["update-ref", "-d", "refs/heads/main", *old] for old in ([tip], [])] + [
        ["update-ref", "refs/heads/main", "octet/t1"]
    ]
    for words in (["pack-refs", "--all", "--prune"], ["gc", "-q"], ["gc", "-q"]):
        ended = developer.git(*words, at=fenced.tree)
        assert (ended.code, ended.err) == (0, ""), words
        for refusal in refused:
            assert developer.git(*refusal, at=fenced.tree).code, refusal
        fenced.person("commit", "--allow-empty", "-m", "x")
        tip = fenced.person("rev-parse", "main").out.strip()
        refused[0][-1] = tip
        for refusal in refused:
            assert developer.git(*refusal, at=fenced.tree).code, refusal
        assert fenced.person("rev-parse", "main").out.strip() == tip


def test_a_push_elsewhere_is_refused_before_it_leaves(fenced: Field) -> None:
    """To a protected branch of a remote: an agent without the lock; a task's branch goes, and a
    person's push.
    """
    remote = fenced.directory / "remote.git"
    fenced.person("clone", "-q", "--bare", str(fenced.root), str(remote))
    fenced.person("remote", "add", "origin", str(remote))
    developer = fenced.session("developer")
    fenced.serve(developer)
    assert (
        "repository-guardian"
        in developer.git("push", "-q", "origin", "octet/t1:main", at=fenced.tree).said
    )
    assert developer.git("push", "-q", "origin", "octet/t1", at=fenced.tree).code == 0
    assert developer.git("push", "-q", "origin", ":release/1", at=fenced.tree).code
    fenced.person("push", "-q", "origin", "octet/t1:main")


def test_another_agents_worktree_is_not_committed_in(fenced: Field) -> None:
    """By the lock that the guard asks for; its owner commits there without a question, a person
    always.
    """
    owner, other = fenced.session("developer"), fenced.session("developer")
    worktree = find_worktree(fenced.tree)
    assert worktree is not None
    fenced.octet.locks.acquire(owner.agent, [worktree_resource(worktree)])
    fenced.serve(owner, other)
    commit = ["commit", "--allow-empty", "-m", "x"]
    refused = other.git(*commit, at=fenced.tree, CLAUDE_PID=str(other.pid))
    assert refused.code
    assert f"held by {owner.agent.id}" in refused.said
    assert owner.git(*commit, at=fenced.tree, CLAUDE_PID=str(owner.pid)).code == 0
    fenced.person(*commit, at=fenced.tree)


@pytest.mark.parametrize(
    "branch",
    [
        "main-`touch${IFS}x`",
        "a'b",
        'a"b',
        "$(id)",
        "-x",
        "ünï",
        "a;b",
        "a|b&c",
        "release/-n",
        "%s%d",
    ],
)
def test_odd_names(fenced: Field, branch: str, tmp_path: Path) -> None:
    """Of branches and of patterns: nothing of a name is run, and the one that is protected is."""
    settings = fenced.root / ".claude" / "octet.toml"
    settings.write_text(f'project = "shop"\nprotected = ["main", {toml(branch)}]\n')
    fenced.init()
    developer = fenced.session("developer")
    fenced.serve(developer)
    ref = f"refs/heads/{branch}"
    refused = developer.git("update-ref", ref, "HEAD", at=fenced.tree)
    assert "repository-guardian" in refused.said, refused
    assert developer.git("update-ref", f"{ref}x", "HEAD", at=fenced.tree).code == 0
    assert not list(tmp_path.rglob("x"))


def toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
