"""Snapshots of real worktrees: byte for byte, nothing touched, nothing overwritten."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from octet.base.errors import Refused
from octet.git.program import REDIRECTIONS, Git
from octet.git.snapshot import (
    Snapshot,
    has_unlanded_work,
    is_snapshot,
    list_snapshots,
    take_snapshot,
)
from octet.worktree.rescue import apply_rescue


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A worktree of one commit, on a branch of its own, beside the main checkout."""
    for name in REDIRECTIONS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    root = tmp_path / "a repo"
    root.mkdir()
    main = Git(root)
    main.out("init", "--quiet", "--initial-branch=main")
    main.out("config", "user.name", "Somebody")
    main.out("config", "user.email", "somebody@example.org")
    for name in ("changed", "gone", "becomes-a-directory", "tool", "hidden"):
        (root / name).write_text(f"{name}\n")
    (root / ".gitattributes").write_text("* text=auto eol=lf\n")
    (root / ".gitignore").write_text("*.log\n")
    main.out("add", "--all")
    main.out("commit", "--quiet", "-m", "base")
    main.out("worktree", "add", "--quiet", "-b", "octet/t", str(tmp_path / "tree"))
    return Git(tmp_path / "tree")


def mess(root: Path) -> None:
    """Every kind of change that a person can leave behind."""
    (root / "changed").write_bytes(b"dos\r\nline ends\r\n")
    (root / "gone").unlink()
    (root / "becomes-a-directory").unlink()
    (root / "becomes-a-directory").mkdir()
    (root / "becomes-a-directory" / "new\nline and  spaces ").write_bytes(os.urandom(4096))
    (root / "tool").chmod(0o755)
    (root / os.fsdecode(b"latin-\xe9")).write_text("no UTF-8 name")
    (root / "-option").write_text("looks like an option")
    (root / '"quoted"\t').write_text("quotes")
    (root / "link").symlink_to("/nowhere/at all")
    (root / "empty").touch()


def files(root: Path) -> Mapping[str, object]:
    """Every file below with mode and content, git's own left out."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        if path.name == ".git" or path.suffix == ".log":
            continue
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[str(path.relative_to(root))] = path.readlink()
        elif stat.S_ISREG(mode):
            found[str(path.relative_to(root))] = (
                bool(mode & 0o100),
                hashlib.sha256(path.read_bytes()).hexdigest(),
            )
    return found


def unpack(git: Git, commit: str, target: Path) -> Mapping[str, object]:
    """What a commit's tree holds, written out without any filter."""
    target.mkdir()
    for entry in filter(None, git.out("ls-tree", "-r", "-z", commit).split("\0")):
        facts, _, name = entry.partition("\t")
        mode, _, blob = facts.split()
        with git.converse("cat-file", "blob", blob) as process:
            content, _ = process.communicate()
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode == "120000":
            path.symlink_to(os.fsdecode(content))
        else:
            path.write_bytes(content)
            path.chmod(int(mode[-3:], 8))
    return files(target)


def keep(git: Git, name: str = "t", attempt: str = "1") -> Snapshot:
    found = take_snapshot(git, name, attempt, base="main")
    assert found is not None
    return found


def test_every_file_is_kept_byte_for_byte_and_nothing_is_touched(git: Git, tmp_path: Path) -> None:
    """Binary, line ends that git would change, modes, links, deletions, hostile names; the index is
    the same file as before.
    """
    mess(git.directory)
    (git.directory / "noise.log").write_text("ignored")
    index = git.path("index")
    before = (files(git.directory), index.read_bytes(), index.stat().st_mtime_ns)
    kept = keep(git)
    assert kept.ref == "refs/octet/rescue/t/1"
    assert kept.skipped == ()
    assert unpack(git, kept.commit, tmp_path / "out") == before[0]
    assert (files(git.directory), index.read_bytes(), index.stat().st_mtime_ns) == before
    assert git.commit("HEAD") == git.commit("main")


def test_what_was_staged_and_then_changed_again_is_kept_too(git: Git) -> None:
    """The index has a content that no file has: it is the second parent."""
    (git.directory / "changed").write_text("staged\n")
    git.out("add", "changed")
    (git.directory / "changed").write_text("later\n")
    kept = keep(git)
    assert git.out("show", f"{kept.commit}:changed") == "later"
    assert git.out("show", f"{kept.commit}^2:changed") == "staged"


def test_files_that_the_index_is_told_not_to_look_at(git: Git) -> None:
    """assume-unchanged hides a change from `git status`, not from the snapshot."""
    git.out("update-index", "--assume-unchanged", "hidden")
    assert take_snapshot(git, "t", "1", base="main") is None
    (git.directory / "hidden").write_text("secretly changed\n")
    assert git.out("show", f"{keep(git).commit}:hidden") == "secretly changed"


def test_commits_alone_are_kept_as_they_are(git: Git) -> None:
    """Clean, with a commit that main has not: the ref is that commit."""
    git.out("commit", "--quiet", "--allow-empty", "-m", "work")
    kept = keep(git)
    assert kept.commit == git.commit("HEAD")
    assert "1 commit not in main" in kept.size
    assert not is_snapshot(git, kept.commit)


def test_nothing_to_keep(git: Git) -> None:
    """Clean and merged: no ref."""
    assert take_snapshot(git, "t", "1", base="main") is None
    assert not has_unlanded_work(git, "main")
    assert list_snapshots(git, "t") == []


def test_an_earlier_snapshot_is_never_overwritten_and_the_same_work_not_kept_twice(
    git: Git,
) -> None:
    """Other work gets another name, the same work the one it has."""
    (git.directory / "changed").write_text("one")
    first = keep(git)
    assert keep(git).ref == first.ref
    (git.directory / "changed").write_text("two")
    second = keep(git)
    assert second.ref == "refs/octet/rescue/t/1-2"
    assert git.commit(first.ref) == first.commit
    assert set(list_snapshots(git, "t")) == {first.ref, second.ref}


def test_in_the_middle_of_a_conflict(git: Git) -> None:
    """Conflict markers are work like any other; the unmerged index is left as it is."""
    (git.directory / "changed").write_text("ours\n")
    git.out("commit", "--quiet", "-a", "-m", "ours")
    git.out("branch", "theirs", "main")
    git.out("checkout", "--quiet", "--detach", "theirs")
    (git.directory / "changed").write_text("theirs\n")
    git.out("commit", "--quiet", "-a", "-m", "theirs")
    assert git.run("merge", "octet/t").status != 0
    kept = keep(git)
    assert "<<<<<<<" in git.out("show", f"{kept.commit}:changed")
    assert git.out("ls-files", "--unmerged")


def test_what_git_cannot_hold_is_named_and_does_not_lose_the_rest(git: Git) -> None:
    """A repository inside is left out by name."""
    (git.directory / "changed").write_text("kept")
    inner = git.directory / "inner"
    inner.mkdir()
    Git(inner).out("init", "--quiet")
    (inner / "file").write_text("x")
    kept = keep(git)
    assert kept.skipped == ("inner/",)
    assert git.out("show", f"{kept.commit}:changed") == "kept"


def test_a_broken_hook_of_the_repository_does_not_stop_it(git: Git) -> None:
    """reference-transaction hooks that refuse everything are not asked."""
    hook = git.common_dir() / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (git.directory / "changed").write_text("kept")
    assert git.commit(keep(git).ref)


def test_kept_work_is_applied_in_another_worktree(git: Git, tmp_path: Path) -> None:
    """Commits are merged, the rest lies there as staged changes, equal to what was lost."""
    (git.directory / "committed").write_text("c\n")
    git.out("add", "committed")
    git.out("commit", "--quiet", "-m", "half of it")
    mess(git.directory)
    (git.directory / ".gitattributes").write_text("* -text\n")
    wanted, kept = files(git.directory), keep(git)
    git.out("worktree", "add", "--quiet", "-b", "octet/t-2", str(tmp_path / "next"), "main")
    following = git.at(tmp_path / "next")
    assert "staged" in apply_rescue(following, kept.ref)
    assert files(following.directory) == wanted
    assert following.contains("HEAD", git.commit("HEAD"))
    with pytest.raises(Refused, match="changes of its own"):
        apply_rescue(following, kept.ref)
