"""Which repository, which worktree, which branch: read by hand, checked against git itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.base.errors import ConfigError, NoProject
from octet.project import config
from octet.project.repository import (
    UnusablePath,
    branch_exists,
    current_branch,
    find_root,
    find_worktree,
    load_project,
    main_checkout,
    repository_path,
)

SETTINGS = (
    "user.name=Ann",
    "user.email=ann@example.org",
    "protocol.file.allow=always",
    "init.defaultBranch=main",
)


def git(directory: Path, *arguments: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "GIT_CONFIG_NOSYSTEM": "1",
        "LC_ALL": "C",
    }
    command = ["git", *(part for setting in SETTINGS for part in ("-c", setting)), *arguments]
    return subprocess.run(
        command, cwd=directory, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def opt_in(directory: Path) -> None:
    (directory / ".claude").mkdir(exist_ok=True)
    (directory / config.FILE).write_text('project = "shop"\n')


def repository(directory: Path) -> Path:
    directory.mkdir(parents=True)
    git(directory, "init", "-q")
    (directory / "src").mkdir()
    (directory / "src" / "a.py").write_text("")
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "-m", "Begin")
    return directory


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = repository(tmp_path.resolve() / "my shop")
    opt_in(root)
    return root


def test_the_root_is_found_from_anywhere_below(shop: Path) -> None:
    """A file, a directory, a path not there yet and the root itself all lead to the root."""
    for below in (
        shop,
        shop / "src",
        shop / "src/a.py",
        shop / "new/deep/file.py",
        shop / "src/../src/a.py",
    ):
        assert find_root(below) == shop
    assert find_root(shop.parent) is None


def test_linked_worktrees_belong_to_the_main_checkout(shop: Path) -> None:
    """A worktree inside or outside of the root, with its own octet.toml or without, has the main
    checkout as root.
    """
    git(shop, "add", "-A", "-f")
    git(shop, "commit", "-q", "-m", "Opt in")
    for place in (shop / ".claude/worktrees/dev-1", shop.parent / "outside ü"):
        git(shop, "worktree", "add", "-q", "-b", f"b{len(place.name)}", str(place))
        worktree = find_worktree(place / "src/a.py")
        assert worktree is not None
        assert (worktree.path, worktree.is_main, worktree.common_dir) == (
            place,
            False,
            shop / ".git",
        )
        assert Path(git(place, "rev-parse", "--absolute-git-dir")) == worktree.git_dir
        assert find_root(place / "src") == shop
        assert main_checkout(worktree) == shop
        assert current_branch(worktree) == git(place, "branch", "--show-current") != ""
        assert repository_path(load_project(shop), place / "src/a.py") == "src/a.py"
    assert repository_path(load_project(shop), shop / "src/a.py") == "src/a.py"


def test_a_worktree_of_a_repository_that_did_not_opt_in_is_not_in_the_project(
    tmp_path: Path,
) -> None:
    """An octet.toml that only a linked worktree has does not opt the repository in."""
    root = repository(tmp_path.resolve() / "shop")
    git(root, "worktree", "add", "-q", "../other")
    opt_in(root.parent / "other")
    assert find_root(root.parent / "other") is None


def test_a_submodule_is_a_repository_of_its_own_in_the_projects_tree(
    shop: Path, tmp_path: Path
) -> None:
    """Its git directory is not the project's, and its files are guarded as the project's."""
    library = repository(tmp_path.resolve() / "library")
    git(shop, "submodule", "add", "-q", str(library), "vendor/library")
    worktree = find_worktree(shop / "vendor/library/src/a.py")
    assert worktree is not None
    assert (worktree.is_main, worktree.path) == (True, shop / "vendor/library")
    assert worktree.git_dir == shop / ".git/modules/vendor/library"
    assert find_root(shop / "vendor/library/src") == shop
    assert (
        repository_path(load_project(shop), shop / "vendor/library/src/a.py")
        == "vendor/library/src/a.py"
    )
    git(
        shop / "vendor/library",
        "worktree",
        "add",
        "-q",
        "-b",
        "other",
        str(tmp_path / "of library"),
    )
    linked = find_worktree(tmp_path / "of library")
    assert linked is not None
    assert main_checkout(linked) == shop / "vendor/library"
    assert find_root(tmp_path / "of library") is None


def test_a_directory_without_git_can_opt_in(tmp_path: Path) -> None:
    """The settings file alone makes a project."""
    opt_in(tmp_path)
    project = load_project(tmp_path)
    assert find_root(tmp_path / "a/b") == tmp_path.resolve()
    assert project.common_dir is None
    assert repository_path(project, tmp_path / "a/b") == "a/b"


def test_a_bare_repository_has_no_checkout(tmp_path: Path) -> None:
    """Neither the bare repository itself nor a linked worktree of it has a main checkout."""
    git(tmp_path, "clone", "-q", "--bare", str(repository(tmp_path.resolve() / "shop")), "shop.git")
    assert find_worktree(tmp_path / "shop.git/refs") is None
    git(tmp_path / "shop.git", "worktree", "add", "-q", str(tmp_path / "tree"), "main")
    linked = find_worktree(tmp_path / "tree")
    assert linked is not None
    assert main_checkout(linked) is None
    assert find_root(tmp_path / "tree") is None
    opt_in(tmp_path / "tree")
    assert find_root(tmp_path / "tree/src") == tmp_path.resolve() / "tree"


def test_a_bare_directory_beside_a_git_file_is_found(tmp_path: Path) -> None:
    """The layout of `.bare` and a `.git` file that points to it has its root where that file is."""
    top = tmp_path.resolve() / "top"
    top.mkdir()
    git(
        tmp_path, "clone", "-q", "--bare", str(repository(tmp_path.resolve() / "shop")), "top/.bare"
    )
    (top / ".git").write_text("gitdir: ./.bare\n")
    git(top, "worktree", "add", "-q", "main", "main")
    opt_in(top)
    assert find_root(top / "main/src") == top


def test_a_separate_git_directory_is_followed(tmp_path: Path) -> None:
    """`git init --separate-git-dir` gives a main checkout like any other."""
    root = tmp_path.resolve() / "shop"
    root.mkdir()
    git(root, "init", "-q", "--separate-git-dir", str(tmp_path / "elsewhere.git"))
    opt_in(root)
    worktree = find_worktree(root)
    assert worktree is not None
    assert (worktree.is_main, worktree.git_dir) == (True, tmp_path.resolve() / "elsewhere.git")
    assert find_root(root / "src") == root


@pytest.mark.parametrize(
    "content",
    [b"", b"gitdir: ", b"gitdir: /nowhere\n", b"\0\xff", b"gitdir: \0", b"gitdir: " + b"x" * 9000],
)
def test_a_git_file_of_garbage_is_no_repository(shop: Path, content: bytes) -> None:
    """A broken `.git` file does not take a directory out of the project's guard."""
    (shop / "src/.git").write_bytes(content)
    assert find_root(shop / "src/a.py") == shop
    found = find_worktree(shop / "src/a.py")
    assert found is not None
    assert found.path == shop


def test_symbolic_links_are_resolved(shop: Path, tmp_path: Path) -> None:
    """A path through a link is the file it leads to, in both directions."""
    (tmp_path / "link").symlink_to(shop)
    (shop / "away").symlink_to(tmp_path)
    (shop / "loop").symlink_to("loop")
    project = load_project(tmp_path / "link")
    assert project.root == shop
    assert repository_path(project, tmp_path / "link/src/new.py") == "src/new.py"
    assert find_root(tmp_path / "link/src") == shop
    assert find_root(shop / "away/file") is None
    assert find_root(shop / "loop/x") == shop
    with pytest.raises(NoProject):
        repository_path(project, shop / "away/file")


def test_branches_are_read_as_git_reads_them(shop: Path) -> None:
    """Attached, unborn, with slashes, detached, and in the middle of a rebase."""
    worktree = find_worktree(shop)
    assert worktree is not None
    assert current_branch(worktree) == "main"
    git(shop, "checkout", "-q", "-b", "feature/x")
    assert current_branch(worktree) == "feature/x"
    (shop / "src/a.py").write_text("one\n")
    git(shop, "commit", "-q", "-am", "One")
    git(shop, "checkout", "-q", "main")
    (shop / "src/a.py").write_text("two\n")
    git(shop, "commit", "-q", "-am", "Two")
    with pytest.raises(subprocess.CalledProcessError):
        git(shop, "rebase", "feature/x")
    assert current_branch(worktree) == "main"
    git(shop, "rebase", "--abort")
    git(shop, "checkout", "-q", "--detach")
    assert current_branch(worktree) == ""
    git(shop, "checkout", "-q", "--orphan", "fresh")
    assert current_branch(worktree) == "fresh"


def test_known_branches_are_loose_packed_or_remote(shop: Path) -> None:
    """A branch counts as known wherever git keeps it."""
    worktree = find_worktree(shop)
    assert worktree is not None
    git(shop, "branch", "packed/one")
    git(shop, "pack-refs", "--all")
    git(shop, "branch", "loose")
    git(shop, "update-ref", "refs/remotes/origin/theirs", "HEAD")
    assert all(branch_exists(worktree, name) for name in ("packed/one", "loose", "main", "theirs"))
    assert not any(branch_exists(worktree, name) for name in ("none", "one", "heads/main", "a\0b"))


def test_head_that_cannot_be_read_is_unknown(shop: Path) -> None:
    """A reftable repository's placeholder is not taken for a branch."""
    worktree = find_worktree(shop)
    assert worktree is not None
    (shop / ".git/HEAD").write_text("ref: refs/heads/.invalid\n")
    assert current_branch(worktree) is None


@pytest.mark.parametrize("path", ["a\0b", "a\ud800b", "x/" * 5000, "y" * 5000])
def test_impossible_paths_are_refused_by_type(shop: Path, path: str) -> None:
    """NUL, a lone surrogate and more characters than the system takes are one kind of error."""
    with pytest.raises(UnusablePath):
        find_root(str(shop / "src") + "/" + path)
    with pytest.raises(UnusablePath):
        repository_path(load_project(shop), path)


def test_a_path_of_unknown_components_up_to_the_limit_is_inside(shop: Path) -> None:
    """A long path that does not exist is still recognised as the project's."""
    assert find_root(shop / "/".join(["d"] * 1500)) == shop
    assert find_root(shop / ("n" * 1000)) == shop


@given(st.text(alphabet=st.characters(codec=None), max_size=60))
def test_no_path_raises_anything_else(text: str) -> None:
    """Any text is a path or an `UnusablePath`."""
    try:
        find_root("/nowhere/" + text)
        find_worktree("/nowhere/" + text)
    except UnusablePath:
        pass  # the refusal is the other valid answer


def test_a_root_without_settings_is_no_project(tmp_path: Path) -> None:
    """Loading says which command opts in, and a broken file is an error of its own."""
    with pytest.raises(NoProject, match="octet init"):
        load_project(tmp_path)
    opt_in(tmp_path)
    (tmp_path / config.FILE).write_text("nonsense")
    with pytest.raises(ConfigError):
        load_project(tmp_path)
