"""The policy inside the hook's own process: bare interpreter, standard library, no exception."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octet.guard import failsafe, policy
from octet.project.repository import Project

from .conftest import make_repository, opt_in, write
from .test_payload import NOT_JSON

SOURCE = Path(failsafe.__file__).parents[2]
WHY = "Octet's daemon does not start"
# What the failure policy may cost a hook: nothing that is not in Python itself, and of Octet only
# what decides.
OWN = {
    "octet",
    "octet.base",
    "octet.project",
    "octet.guard.git",
    "octet.guard.shell",
    "octet.project.config",
    "octet.base.dirs",
    "octet.base.errors",
    "octet.project.git_config",
    "octet.base.globs",
    "octet.base.process",
    "octet.project.repository",
    "octet.base.text",
    "octet.base.vocabulary",
    "octet.guard",
    "octet.guard.failsafe",
    "octet.guard.git.script",
    "octet.guard.git.call",
    "octet.guard.git.checkout",
    "octet.guard.git.files",
    "octet.guard.git.rules",
    "octet.guard.octet_command",
    "octet.guard.paths",
    "octet.guard.payload",
    "octet.guard.policy",
    "octet.guard.policy.answers",
    "octet.guard.policy.judgement",
    "octet.guard.policy.needs",
    "octet.guard.policy.removals",
    "octet.guard.policy.wording",
    "octet.guard.reply",
    "octet.guard.shell.options",
    "octet.guard.shell.script",
    "octet.guard.shell.run",
    "octet.guard.shell.words",
    "octet.guard.shell.writes",
    "octet.guard.shell.wrappers",
    "octet.guard.shell.partial_paths",
    "octet.guard.shell.programs",
}
SLOW = {
    "asyncio",
    "subprocess",
    "socket",
    "ssl",
    "http",
    "email",
    "logging",
    "urllib.request",
    "multiprocessing",
    "concurrent.futures",
}


def event(root: Path, tool: str = "Write", **tool_input: Any) -> bytes:
    fields = {
        "session_id": "s",
        "cwd": str(root),
        "hook_event_name": "PreToolUse",
        "tool_name": tool,
        "tool_input": tool_input,
    }
    return json.dumps(fields).encode()


def decision(raw: bytes, root: Path) -> tuple[str, str]:
    """Decision and reason; "pass" where there is none."""
    reply = failsafe.decide(raw, root, WHY)
    assert (reply.exit_code, reply.stderr) == (0, b"")
    specific = json.loads(reply.stdout)["hookSpecificOutput"] if reply.stdout else {}
    return specific.get("permissionDecision", "pass"), specific.get("permissionDecisionReason", "")


def test_the_same_policy_as_ever(shop: Project) -> None:
    """Shared files are denied with the reason, worktrees and reading stay open."""
    denied, reason = decision(event(shop.root, file_path=str(shop.root / "a.py")), shop.root)
    assert (denied, WHY in reason) == ("deny", True)
    assert (
        decision(event(shop.root, "Bash", command="git push origin main"), shop.root)[0] == "deny"
    )
    assert decision(event(shop.root, "Bash", command="git status"), shop.root)[0] == "pass"
    reply = failsafe.decide(
        event(shop.root, file_path=str(shop.root / ".claude/worktrees/dev-1/a.py")), shop.root, WHY
    )
    assert list(json.loads(reply.stdout)) == ["systemMessage"]


@pytest.mark.parametrize("raw", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_cannot_be_read_is_blocked(shop: Project, raw: bytes) -> None:
    """A guarded file stays guarded."""
    assert decision(raw, shop.root)[0] == "deny"


def test_ten_megabytes_are_still_guarded(shop: Project) -> None:
    """Large content is checked like any other."""
    raw = event(shop.root, file_path=str(shop.root / "a.py"), content="x" * 10_000_000)
    assert decision(raw, shop.root)[0] == "deny"


def test_broken_settings_keep_the_guard_up(tmp_path: Path) -> None:
    """The strictest ones hold, the reason names file and line, and a person may mend them."""
    root = opt_in(make_repository(tmp_path.resolve() / "shop"), 'on_store_down = "allow"').root
    write(root / ".claude/octet.toml", 'project = "shop"\non_store_dwon = "allow"\n')
    denied, reason = decision(event(root, file_path=str(root / "a.py")), root)
    assert denied == "deny"
    assert "octet.toml:2" in reason
    assert decision(event(root, file_path=str(root / ".claude/octet.toml")), root)[0] == "ask"
    assert decision(event(root, "Bash", command="git commit -m x"), root)[0] == "deny"


def test_a_repository_that_is_not_opted_in_is_left_alone(tmp_path: Path) -> None:
    """Settings that went away between two looks mean nothing is guarded."""
    assert failsafe.decide(event(tmp_path, file_path=str(tmp_path / "a")), tmp_path, WHY) == (
        0,
        b"",
        b"",
    )


def test_from_a_linked_worktree_the_main_checkouts_settings_hold(shop: Project) -> None:
    """The root that the launcher found may be the worktree's own copy."""
    place = shop.root / ".claude/worktrees/dev-1"
    write(place / ".claude/octet.toml", 'project = "other"\non_store_down = "allow"\n')
    assert decision(event(place, file_path=str(shop.root / "a.py")), place)[0] == "deny"


@pytest.mark.parametrize("broken", [MemoryError, RecursionError, OSError, ZeroDivisionError])
def test_an_error_of_our_own_blocks(
    shop: Project, monkeypatch: pytest.MonkeyPatch, broken: type[Exception]
) -> None:
    """A guard that breaks still guards, and says that it broke."""

    def fail(*_: object) -> None:
        raise broken("no")

    monkeypatch.setattr(policy, "find_needs", fail)
    denied, reason = decision(event(shop.root, file_path="/a"), shop.root)
    assert denied == "deny"
    assert broken.__name__ in reason


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(
    tool=st.sampled_from(["Write", "Bash", "NotebookEdit", "x"]),
    value=st.none() | st.text(st.characters(codec=None)) | st.lists(st.integers()),
)
def test_nothing_raises(shop: Project, tool: str, value: Any) -> None:
    """Any value where a path or a command belongs gets a valid answer."""
    decision(event(shop.root, tool, file_path=value, notebook_path=value, command=value), shop.root)


PROBE = """
import sys
before = set(sys.modules)
sys.path.insert(0, sys.argv[1])
from octet.guard import failsafe
print(failsafe.decide(sys.stdin.buffer.read(), sys.argv[2], "why").stdout.decode())
print("\\n".join(sorted(set(sys.modules) - before)))
"""


def test_it_runs_on_the_bare_interpreter(shop: Project) -> None:
    """No site-packages, nothing slow, of Octet only the listed modules; the same answer."""
    raw = event(shop.root, "Bash", command="git push origin main; echo > a.py")
    command = [sys.executable, "-I", "-S", "-c", PROBE, str(SOURCE), str(shop.root)]
    done = subprocess.run(
        command, input=raw, capture_output=True, check=True, env={"HOME": "/nowhere"}, cwd="/"
    )
    answer, _, *imported = done.stdout.decode().splitlines()
    assert json.loads(answer)["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert {module for module in imported if module.split(".")[0] == "octet"} == OWN
    assert not SLOW & set(imported)
    assert {module.split(".")[0] for module in imported} <= {*sys.stdlib_module_names, "octet"}
