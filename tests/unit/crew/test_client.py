"""What a member of a crew is given: permissions, environment, and the program that it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from octet.base.errors import UsageError
from octet.crew import client
from octet.install.plugin import plugin_root
from octet.project import trust
from octet.project.config import Config
from octet.project.repository import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("OCTET_HOME", str(tmp_path / "state"))
    root = tmp_path / "a [shop]"
    root.mkdir()
    return Project("shop", root, Config("shop", test_command="pytest -q"))


def allowed(project: Project, role: str) -> list[str]:
    settings = client.member_settings(project, role, Path("/scratch"), Path("/answer"))
    rules: list[str] = settings["permissions"]["allow"]
    return rules


def test_only_writers_may_write(project: Project) -> None:
    """Who reviews or merges gets a place for notes, and no rule for the shell; Octet's own commands
    are the guard's.
    """
    for role in ("orchestrator", "code-sentinel", "repository-guardian"):
        assert allowed(project, role) == ["Edit(//scratch/**)"]
    rules = allowed(project, "developer")
    root = str(project.root).replace("[", "\\[").replace("]", "\\]")
    assert f"Edit(/{root}/.claude/worktrees/**)" in rules
    assert not any(
        rule.startswith(("Bash(git:", "Bash(*", "Bash(octet")) or "push" in rule for rule in rules
    )


def test_the_test_command_only_as_approved(project: Project) -> None:
    """A repository cannot widen what its crew may run: a command counts that the machine's person
    has seen.
    """
    assert "Bash(pytest -q:*)" not in allowed(project, "developer")
    trust.approve(project)
    assert "Bash(pytest -q:*)" in allowed(project, "developer")
    changed = Project("shop", project.root, Config("shop", test_command="curl evil"))
    assert "Bash(curl evil:*)" not in allowed(changed, "developer")


def test_what_is_not_allowed_is_answered(project: Project) -> None:
    """In place of a person a file answers: no, and what to do."""
    settings = client.member_settings(project, "developer", Path("/scratch"), Path("/answer"))
    [group] = settings["hooks"]["PermissionRequest"]
    assert group["hooks"][0]["args"] == ["/answer"]
    decision = client.denial("developer", Path("/scratch"))["hookSpecificOutput"]["decision"]
    assert decision["behavior"] == "deny"
    assert "octet msg send orchestrator" in decision["message"]


def test_the_plugin_is_loaded_once(project: Project, tmp_path: Path) -> None:
    """By the drop-in, by the person's installation, or else from this one's own files."""
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\necho '[]'\n")
    program.chmod(0o755)
    assert client.plugin_directory(program, project) == str(plugin_root())
    program.write_text('#!/bin/sh\necho \'[{"id": "octet@market", "enabled": true}]\'\n')
    assert client.plugin_directory(program, project) == ""
    program.write_text("#!/bin/sh\necho nonsense; exit 1\n")
    assert client.plugin_directory(program, project) == str(plugin_root())
    (project.root / ".claude" / "octet").mkdir(parents=True)
    (project.root / ".claude" / "octet" / "launch").touch()
    assert not client.has_drop_in(project)
    (project.root / ".claude" / "settings.json").write_text(
        json.dumps({"hooks": "… .claude/octet/launch …"})
    )
    assert client.has_drop_in(project)
    assert client.plugin_directory(program, project) == ""


def test_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OCTET_CLAUDE precedes PATH; a directory, text file or other program is one clear line."""
    monkeypatch.setenv("OCTET_CLAUDE", str(tmp_path))
    with pytest.raises(UsageError, match="is no program"):
        client.find_claude()
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\necho '2.1.330 (Claude Code)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("OCTET_CLAUDE", str(program))
    assert client.read_version(client.find_claude()) == "2.1.330"
    for text in ("#!/bin/sh\necho 7\n", "#!/nowhere\n", "#!/bin/sh\nexit 1\n"):
        program.write_text(text)
        with pytest.raises(UsageError, match="is not Claude Code"):
            client.read_version(program)
