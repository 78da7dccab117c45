"""The launcher: nothing without an opt-in, the right repository and interpreter with one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from octet.base import dirs
from octet.install.plugin import LOADER
from octet.project import repository

from .machine import EVENTS, GUARD, HOOKS, PYTHON, Answer, Machine, opt_in, tree

SHELLS = {
    "sh": ["/bin/sh"],
    "dash": ["dash"],
    "bash": ["bash", "--posix"],
    "zsh": ["zsh", "--emulate", "sh"],
    "busybox": ["busybox", "sh"],
    "strict": ["/bin/sh", "-u"],
}
OPTIONAL = {"busybox"}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, require_program: Callable[[str], Path]) -> list[str]:
    """Each shell that may be the system's /bin/sh, and one that stops at unset variables."""
    if request.param in OPTIONAL and not shutil.which(request.param):
        pytest.skip(f"needs {request.param}")
    command = SHELLS[request.param]
    return [str(require_program(command[0])), *command[1:], str(HOOKS / "launch")]


@pytest.fixture
def recording(machine: Machine, tmp_path: Path) -> Machine:
    """A machine whose interpreter only says with which arguments it was started."""
    python = tmp_path / "python recorder"
    python.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    python.chmod(0o755)
    machine.set_interpreter(python)
    return machine


def arguments(answer: Answer) -> list[str]:
    """HOOKS EVENT ROOT SOURCE STATE, as the pipe gets them."""
    assert answer.err == b""
    return [os.fsdecode(part) for part in answer.out.split(b"\0")[-6:-1]]


def root_of(answer: Answer) -> str:
    return arguments(answer)[2]


def git(directory: Path, *words: str) -> None:
    settings = {
        "HOME": str(directory),
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    names = {
        f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    subprocess.run(
        ["git", *words], cwd=directory, env={**settings, **names}, check=True, capture_output=True
    )


@pytest.mark.parametrize("event", EVENTS)
def test_a_repository_that_has_not_opted_in_sees_nothing(
    event: str, machine: Machine, temporary_home: Path
) -> None:
    """No output, no file, no process, whatever comes on standard input."""
    shutil.rmtree(machine.state)
    before = tree(temporary_home)
    for payload in (b"", b"x" * 1_000_000, machine.recorded("pre_tool_use_write")):
        assert machine.run(event, payload, cwd=machine.elsewhere) == Answer(0, b"", b"")
    assert tree(temporary_home) == before
    assert machine.command_runs == 0


def test_every_shell_is_silent_where_nobody_opted_in(shell: list[str], machine: Machine) -> None:
    """Also with an environment that has nothing in it at all."""
    for environment in (machine.environment, {}):
        assert machine.run(
            GUARD, launch=shell, cwd=machine.elsewhere, environment=environment
        ) == Answer(0, b"", b"")


def test_an_unapproved_repository_is_mentioned_once_a_session(
    shell: list[str], machine: Machine
) -> None:
    """SessionStart says what to do; no other event says anything, and nothing is written."""
    shutil.rmtree(machine.state)
    said = machine.run("SessionStart", launch=shell)
    assert said.code == 0
    assert set(said.json) == {"systemMessage"}
    assert "octet init" in said.json["systemMessage"]
    for event in EVENTS - {"SessionStart"}:
        assert machine.run(event, launch=shell) == Answer(0, b"", b"")
    assert not machine.state.exists()


def test_an_unapproved_drop_in_speaks_only_to_whoever_has_the_command(machine: Machine) -> None:
    """It lies in the repository for everyone who opens it."""
    shutil.rmtree(machine.state)
    assert machine.run("SessionStart", source="dropin") == Answer(0, b"", b"")
    path = f"{machine.octet.parent}:{machine.environment['PATH']}"
    assert machine.run(
        "SessionStart", source="dropin", environment={**machine.environment, "PATH": path}
    ).json["systemMessage"]


def test_an_approved_repository_gets_its_pipe(shell: list[str], recording: Machine) -> None:
    """With hooks directory, event, root, source and state directory, in any characters."""
    given = arguments(recording.run("Stop", launch=shell, source="dropin"))
    assert given == [str(HOOKS), "Stop", str(recording.repository), "dropin", str(recording.state)]


def test_the_drop_in_reads_the_launcher(machine: Machine) -> None:
    """Sourced by `sh -c`, as its settings say, it does the same as when it is run."""
    python = machine.octet.with_name("recorder")
    python.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    python.chmod(0o755)
    machine.set_interpreter(python)
    given = arguments(
        machine.run(
            "Stop", source="dropin", launch=["/bin/sh", "-c", LOADER, str(HOOKS / "launch")]
        )
    )
    assert given[:4] == [str(HOOKS), "Stop", str(machine.repository), "dropin"]


NAMES = [
    "plain",
    "two words",
    "n\u00fcss\u20ac",
    "new\nline",
    "a'b\"c`d$(e)\\f",
    "-n",
    "*?[x]",
    " lead and trail ",
    "\n",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_directory_name_will_do(
    name: str, shell: list[str], recording: Machine, tmp_path: Path
) -> None:
    """The root comes through unchanged, from the top and from below."""
    root = opt_in(tmp_path / "names" / name)
    recording.approve(root)
    (root / "src" / name).mkdir(parents=True)
    for cwd in (root, root / "src" / name):
        assert root_of(recording.run(GUARD, launch=shell, cwd=cwd)) == str(root)


def test_bytes_that_are_no_text_will_do(recording: Machine, tmp_path: Path) -> None:
    """A directory's name is bytes to the system."""
    root = opt_in(tmp_path / os.fsdecode(b"latin-\xe9"))
    recording.approve(root)
    assert root_of(recording.run(GUARD, cwd=root)) == str(root)


def test_a_linked_worktree_belongs_to_its_main_checkout(
    shell: list[str], recording: Machine, tmp_path: Path
) -> None:
    """By git's absolute and relative `.git` files, beside the checkout, inside it, and where the
    branch has no settings of its own.
    """
    main = recording.repository
    git(main, "init", "-q", "-b", "main")
    git(main, "commit", "-q", "--allow-empty", "-m", "first")
    for place in (tmp_path / "besi\nde", main / ".claude" / "worktrees" / "dev 1"):
        git(main, "worktree", "add", "-q", "--detach", str(place))
        (place / "deep").mkdir()
        assert root_of(recording.run(GUARD, launch=shell, cwd=place / "deep")) == str(main)
        pointer = place / ".git"
        target = pointer.read_text().removeprefix("gitdir: ")
        pointer.write_text(f"gitdir: {os.path.relpath(target, place)}")
        assert root_of(recording.run(GUARD, launch=shell, cwd=place)) == str(main)


def test_a_bare_repository_with_its_checkout_beside_it(recording: Machine, tmp_path: Path) -> None:
    """The layout `repo/.bare`, `repo/.git` and worktrees below: the settings are in `repo`."""
    top = opt_in(tmp_path / "layout")
    recording.approve(top)
    git(top, "init", "-q", "--bare", ".bare")
    (top / ".git").write_text("gitdir: ./.bare\n")
    git(top, "worktree", "add", "-q", "--orphan", "-b", "one", "one") if git_has_orphan(
        top
    ) else make_worktree_by_hand(top)
    assert (
        root_of(recording.run(GUARD, cwd=top / "one"))
        == str(top)
        == str(repository.find_root(top / "one"))
    )


def git_has_orphan(directory: Path) -> bool:
    return (
        "--orphan"
        in subprocess.run(
            ["git", "worktree", "add", "-h"],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    )


def make_worktree_by_hand(top: Path) -> None:
    (top / "one").mkdir()
    (top / ".bare" / "worktrees" / "one").mkdir(parents=True)
    (top / ".bare" / "worktrees" / "one" / "commondir").write_text("../..\n")
    (top / ".bare" / "worktrees" / "one" / "HEAD").write_text("ref: refs/heads/one\n")
    (top / "one" / ".git").write_text(f"gitdir: {top}/.bare/worktrees/one\n")


@pytest.mark.parametrize("place", ["", "src", "vendor/lib", "worktree", "worktree/src"])
def test_launcher_and_package_find_the_same_root(place: str, recording: Machine) -> None:
    """`project.find_root` is the rule; the launcher computes it without Python."""
    main = recording.repository
    git(main, "init", "-q")
    git(main, "commit", "-q", "--allow-empty", "-m", "first")
    git(main, "worktree", "add", "-q", "--detach", "worktree")
    for below in ("src", "vendor/lib", "worktree/src"):
        (main / below).mkdir(parents=True)
    git(main / "vendor" / "lib", "init", "-q")
    assert root_of(recording.run(GUARD, cwd=main / place)) == str(
        repository.find_root(main / place)
    )


def test_settings_made_inside_an_approved_repository_do_not_switch_the_guard_off(
    recording: Machine,
) -> None:
    """An agent that makes `sub/.claude/octet.toml` and changes there is still in the approved
    repository.
    """
    inner = opt_in(recording.repository / "sub")
    assert root_of(recording.run(GUARD, cwd=inner)) == str(recording.repository)


def test_a_session_keeps_its_repository_wherever_it_changes_to(recording: Machine) -> None:
    """The project's directory counts where the current one has not opted in, is not approved, or is
    gone.
    """
    environment = {**recording.environment, "CLAUDE_PROJECT_DIR": str(recording.repository)}
    unapproved = opt_in(recording.elsewhere / "clone")
    for cwd in (recording.elsewhere, unapproved, Path("/")):
        assert root_of(recording.run(GUARD, cwd=cwd, environment=environment)) == str(
            recording.repository
        )
    assert root_of(
        recording.run(
            GUARD, cwd=recording.elsewhere, environment=environment, launch=in_deleted_directory()
        )
    ) == str(recording.repository)


def in_deleted_directory() -> list[str]:
    """The launcher in a current directory that no longer exists; the shell's own complaint at its
    start is not ours.
    """
    script = 'd=$(mktemp -d) && cd "$d" && rmdir "$d" && exec "$0" "$@" 2>/dev/null'
    return ["/bin/sh", "-c", script, str(HOOKS / "launch")]


def test_a_deleted_directory_outside_is_nobodys(machine: Machine) -> None:
    """No output, no error."""
    assert machine.run(GUARD, launch=in_deleted_directory(), cwd=machine.elsewhere) == Answer(
        0, b"", b""
    )


def test_links_to_a_repository_lead_to_it(recording: Machine, tmp_path: Path) -> None:
    """The root is the real path, as in the approval."""
    link = tmp_path / "link"
    link.symlink_to(recording.repository)
    assert root_of(recording.run(GUARD, cwd=link)) == str(recording.repository)
    environment = {**recording.environment, "CLAUDE_PROJECT_DIR": str(link)}
    assert root_of(recording.run(GUARD, cwd=recording.elsewhere, environment=environment)) == str(
        recording.repository
    )


@pytest.mark.parametrize(
    "variables",
    [{"OCTET_HOME": "own"}, {"XDG_STATE_HOME": "xdg"}, {"OCTET_HOME": "", "XDG_STATE_HOME": ""}],
)
def test_the_state_directory_follows_the_packages_rule(
    variables: dict[str, str],
    shell: list[str],
    recording: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`octet.base.dirs` and the launcher compute the same one."""
    values = {
        name: str(tmp_path / "a b" / value) if value else "" for name, value in variables.items()
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    expected = dirs.state_dir()
    if expected != recording.state:
        expected.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(recording.state, expected)
    given = arguments(
        recording.run(GUARD, launch=shell, environment={**recording.environment, **values})
    )
    assert given[4] == str(expected)


def test_without_home_the_user_database_says_where_the_state_is(
    shell: list[str], machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Python; that user's real state directory is only looked at."""
    monkeypatch.delenv("HOME")
    assert not (dirs.state_dir() / "trust" / machine.repository.relative_to("/")).exists()
    environment = {name: value for name, value in machine.environment.items() if name != "HOME"}
    assert machine.run(GUARD, launch=shell, environment=environment) == Answer(0, b"", b"")


@pytest.mark.parametrize(
    "record", [None, "", "\n", "/nowhere/python3\n", "/etc/passwd\n", "/tmp\n"]
)
def test_a_lost_interpreter_is_found_again(record: str | None, machine: Machine) -> None:
    """Whatever the record says, a Python on PATH that is new enough does the work."""
    machine.start_daemon()
    (machine.state / "interpreter").unlink() if record is None else (
        machine.state / "interpreter"
    ).write_text(record)
    path = f"{Path(PYTHON).parent}:{machine.environment['PATH']}"
    answer = machine.run(GUARD, b"{}", environment={**machine.environment, "PATH": path})
    assert (answer.code, answer.json["event"]) == (0, GUARD)


def test_shims_and_old_versions_are_passed_by(machine: Machine, tmp_path: Path) -> None:
    """A `python3` that fails is no interpreter; the next name is tried."""
    machine.start_daemon()
    (machine.state / "interpreter").unlink()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python3").write_text("#!/bin/sh\nexit 1\n")
    (programs / "python3").chmod(0o755)
    (programs / "python3.14").symlink_to(PYTHON)
    answer = machine.run(GUARD, b"{}", environment={**machine.environment, "PATH": str(programs)})
    assert answer.json["event"] == GUARD


def test_without_any_interpreter_the_guard_blocks_and_nothing_else_does(
    machine: Machine, tmp_path: Path
) -> None:
    """One line of reason; valid JSON for all other events."""
    launcher = tmp_path / "launch"
    launcher.write_text(
        (HOOKS / "launch")
        .read_text()
        .replace("/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin", "/nowhere")
    )
    machine.set_interpreter("/nowhere/python")
    environment = {**machine.environment, "PATH": "/nowhere"}
    for event in EVENTS:
        answer = machine.run(event, launch=["/bin/sh", str(launcher)], environment=environment)
        answer.assert_valid()
        assert answer.blocks == (event == GUARD)
        assert event == GUARD or "Python" in answer.json["systemMessage"]


def test_the_hooks_are_declared_safely() -> None:
    """Exec form, a time-out above our own, and the guard blocks when it cannot run."""
    hooks = json.loads((HOOKS / "hooks.json").read_text())["hooks"]
    for event, groups in hooks.items():
        for hook in (hook for group in groups for hook in group["hooks"]):
            assert hook["command"] == "${CLAUDE_PLUGIN_ROOT}/hooks/launch"
            assert hook["args"] == (
                ["Wake", "plugin"] if "asyncRewake" in hook else [event, "plugin"]
            )
            assert ("onFailure" in hook) == (event == GUARD)
    assert os.access(HOOKS / "launch", os.X_OK)
