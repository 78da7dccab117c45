"""Where a write really goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octet import trust
from octet.guard.paths import (
    GitInternal,
    LinkedWorktree,
    OctetInternal,
    Outside,
    SharedCheckout,
    Target,
    Unreadable,
    classify,
    path_resource,
    repository_resource,
    tool_targets,
    worktree_resource,
)
from octet.guard.payload import PreToolUse
from octet.locks import RESOURCE_PATTERN
from octet.project import Project

from .conftest import add_worktree, make_repository, opt_in, write

Build = Callable[..., PreToolUse]


def where(target: Target) -> tuple[str, str]:
    """Kind and path of a target, a worktree's with its name."""
    if isinstance(target, LinkedWorktree):
        return target.worktree.name, target.path
    return type(target).__name__, "" if isinstance(target, Unreadable) else target.path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("README.md", ("SharedCheckout", "README.md")),
        ("src/a.py", ("SharedCheckout", "src/a.py")),
        ("new/deep/file", ("SharedCheckout", "new/deep/file")),
        ("src/../README.md", ("SharedCheckout", "README.md")),
        ("src/./a.py", ("SharedCheckout", "src/a.py")),
        (".", ("SharedCheckout", ".")),
        (".claude/octet.toml", ("SharedCheckout", ".claude/octet.toml")),
        (".gitignore", ("SharedCheckout", ".gitignore")),
        ("vendor/lib/src/a.py", ("SharedCheckout", "vendor/lib/src/a.py")),
        ("vendor/lib/.git/config", ("SharedCheckout", "vendor/lib/.git/config")),
        (".claude/worktrees/dev-1/src/a.py", ("dev-1", "src/a.py")),
        (".claude/worktrees/dev-1/new", ("dev-1", "new")),
        (".claude/worktrees/dev-1", ("dev-1", ".")),
        (".claude/worktrees/gone/a.py", ("SharedCheckout", ".claude/worktrees/gone/a.py")),
        ("../far/src/a.py", ("far", "src/a.py")),
    ],
)
def test_paths_of_the_project(shop: Project, path: str, expected: tuple[str, str]) -> None:
    """A path is named as seen from the checkout that it lies in."""
    assert where(classify(shop, f"{shop.root}/{path}")) == expected


@pytest.mark.parametrize(
    "path", [".git", ".git/HEAD", ".git/hooks/x", ".git/worktrees/dev-1/HEAD", ".claude/worktrees/dev-1/.git", "../far/.git"]
)
def test_gits_own_files_are_told_apart(shop: Project, path: str) -> None:
    """Those of the project, in whichever of its checkouts."""
    assert isinstance(classify(shop, f"{shop.root}/{path}"), GitInternal)


@pytest.mark.parametrize("path", ["/etc/passwd", "/", "../other/src/a.py", "..", "../my shop2/a", "../other/.git/HEAD"])
def test_what_lies_outside_is_none_of_our_business(shop: Project, path: str) -> None:
    """Another repository, its neighbour by name, and the rest of the disk."""
    assert isinstance(classify(shop, path if path[0] == "/" else f"{shop.root}/{path}"), Outside)


def test_octets_own_state_is_told_apart(shop: Project) -> None:
    """Approvals and sockets are not written by tools, even before they exist."""
    assert isinstance(classify(shop, str(trust.record_path(shop.root))), OctetInternal)


def test_a_state_directory_above_the_project_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the project's files are still the project's."""
    monkeypatch.setenv("OCTET_HOME", str(tmp_path))
    project = opt_in(make_repository(tmp_path / "shop"))
    assert classify(project, f"{project.root}/a.py") == SharedCheckout("a.py")


def test_links_lead_to_what_they_point_to(tmp_path: Path) -> None:
    """In and out of the project, at the end and in the middle, to what exists and what does not."""
    project = opt_in(make_repository(tmp_path.resolve() / "shop"))
    place = add_worktree(project.root, tmp_path.resolve() / "dev-2", "feature")
    links = {"in": "src/a.py", "out": "/etc/passwd", "new": "src/none", "tree": str(place), "loop": "loop", "git": ".git"}
    for name, target in links.items():
        (project.root / name).symlink_to(target)
    (tmp_path / "alias").symlink_to(project.root)
    assert where(classify(project, f"{project.root}/in")) == ("SharedCheckout", "src/a.py")
    assert where(classify(project, f"{project.root}/new")) == ("SharedCheckout", "src/none")
    assert where(classify(project, f"{project.root}/loop/x")) == ("SharedCheckout", "loop/x")
    assert where(classify(project, f"{tmp_path}/alias/in")) == ("SharedCheckout", "src/a.py")
    assert where(classify(project, f"{project.root}/tree/src/a.py")) == ("dev-2", "src/a.py")
    assert isinstance(classify(project, f"{project.root}/out"), Outside)
    assert isinstance(classify(project, f"{project.root}/git/HEAD"), GitInternal)


@pytest.mark.parametrize("path", ["a\0b", "a\ud800b", "\udc80", "x" * 5000, "d/" * 3000])
def test_impossible_paths_are_unreadable(shop: Project, path: str) -> None:
    """No file can have them, and the reason is one line."""
    target = classify(shop, f"{shop.root}/{path}")
    assert isinstance(target, Unreadable)
    assert "\n" not in target.why


def test_a_directory_without_git_has_paths_too(tmp_path: Path) -> None:
    """Everything below its root is its checkout."""
    project = opt_in(tmp_path.resolve() / "plain")
    assert classify(project, f"{project.root}/a/b") == SharedCheckout("a/b")


@pytest.mark.parametrize(
    ("tool", "field"), [("Write", "file_path"), ("Edit", "file_path"), ("MultiEdit", "file_path"), ("NotebookEdit", "notebook_path")]
)
def test_each_file_tool_has_its_field(shop: Project, tool_use: Build, tool: str, field: str) -> None:
    """The path is found where the tool keeps it, and its absence is no free pass."""
    assert tool_targets(tool_use(tool, {field: f"{shop.root}/a.py"}), shop) == (SharedCheckout("a.py"),)
    for broken in ({}, {"path": "a.py"}, {field: None}, {field: 3}, {field: ""}, {field: ["a.py"]}):
        assert [type(target) for target in tool_targets(tool_use(tool, broken), shop)] == [Unreadable]


def test_other_tools_have_no_targets(shop: Project, tool_use: Build) -> None:
    """Reading a file is not writing it."""
    assert tool_targets(tool_use("Read", {"file_path": f"{shop.root}/a.py"}), shop) == ()


def test_a_path_is_read_as_the_client_reads_it(shop: Project, tool_use: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks around it, `~`, a relative path and `..` behind a link: what the client may open is among the targets."""
    monkeypatch.setenv("HOME", str(shop.root))

    def targets(path: str) -> set[tuple[str, str]]:
        return {where(target) for target in tool_targets(tool_use("Write", {"file_path": path}, shop.root / "src"), shop)}

    assert targets("a.py") == {("SharedCheckout", "src/a.py")}
    assert targets("../a.py") == {("SharedCheckout", "a.py")}
    assert targets("~/a.py") == {("SharedCheckout", "a.py")}
    assert ("SharedCheckout", "a.py") in targets(f" {shop.root}/a.py\n")
    assert ("SharedCheckout", "a.py") in targets(f"\u3000\ufeff{shop.root}/a.py")
    assert targets("e\u0301.py") == {("SharedCheckout", "src/e\u0301.py"), ("SharedCheckout", "src/\u00e9.py")}
    write(shop.root / "elsewhere/x/y")
    link = shop.root / "link"
    link.symlink_to("elsewhere/x")
    assert targets(f"{shop.root}/link/../y") == {("SharedCheckout", "y"), ("SharedCheckout", "elsewhere/y")}


def test_resources_are_names_that_locks_take(shop: Project) -> None:
    """One line of valid text each, however odd the path; different paths stay different."""
    paths = ["src/a.py", "a\nb", "a\x7fb", "ü \u2028x", "x" * 3900 + "1", "x" * 3900 + "2", "a:b", "%0A"]
    found = [path_resource(path) for path in paths]
    assert len(set(found)) == len(paths)
    assert all(RESOURCE_PATTERN.fullmatch(resource) for resource in found)
    assert found[0] == "path:src/a.py"
    assert repository_resource("main") == "repository:main"
    worktree = classify(shop, f"{shop.root}/.claude/worktrees/dev-1/x")
    other = classify(shop, f"{shop.root}/../far/x")
    assert isinstance(worktree, LinkedWorktree)
    assert isinstance(other, LinkedWorktree)
    assert worktree_resource(worktree.worktree).endswith("/dev-1")
    assert worktree_resource(worktree.worktree) != worktree_resource(other.worktree)
    assert RESOURCE_PATTERN.fullmatch(worktree_resource(worktree.worktree))


def test_worktrees_of_one_name_in_two_clones_are_two(tmp_path: Path) -> None:
    """Two clones of a project on one machine share its locks, and each has its own worktrees."""
    resources = set()
    for name in ("one", "two"):
        project = opt_in(make_repository(tmp_path.resolve() / name))
        target = classify(project, str(add_worktree(project.root, project.root / "trees/dev-1", "feature")))
        assert isinstance(target, LinkedWorktree)
        resources.add(worktree_resource(target.worktree))
    assert len(resources) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.text(st.characters(codec=None), max_size=40), absolute=st.booleans())
def test_no_path_raises(shop: Project, tool_use: Build, path: str, absolute: bool) -> None:
    """Any text has a place, and a resource that locks take."""
    for target in tool_targets(tool_use("Write", {"file_path": f"{shop.root}/{path}" if absolute else path}, shop.root), shop):
        if isinstance(target, SharedCheckout):
            assert RESOURCE_PATTERN.fullmatch(path_resource(target.path))
