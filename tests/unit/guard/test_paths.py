"""Where a write really goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octet.core.locks.names import PATTERN, canonical, is_wide
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
    spoken_resource,
    tool_targets,
    worktree_resource,
    write_resources,
)
from octet.guard.payload import PreToolUse
from octet.project import trust
from octet.project.repository import Project

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
    "path",
    [
        ".git",
        ".git/HEAD",
        ".git/hooks/x",
        ".git/worktrees/dev-1/HEAD",
        ".claude/worktrees/dev-1/.git",
        "../far/.git",
    ],
)
def test_gits_own_files_are_told_apart(shop: Project, path: str) -> None:
    """Those of the project, in whichever of its checkouts."""
    assert isinstance(classify(shop, f"{shop.root}/{path}"), GitInternal)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/", "../other/src/a.py", "..", "../my shop2/a", "../other/.git/HEAD"]
)
def test_what_lies_outside_is_none_of_our_business(shop: Project, path: str) -> None:
    """Another repository, its neighbour by name, and the rest of the disk."""
    assert isinstance(classify(shop, path if path[0] == "/" else f"{shop.root}/{path}"), Outside)


def test_octets_own_state_is_told_apart(shop: Project) -> None:
    """Approvals and sockets are not written by tools, even before they exist."""
    assert isinstance(classify(shop, str(trust.record_path(shop.root))), OctetInternal)


def test_a_state_directory_above_the_project_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the project's files are still the project's."""
    monkeypatch.setenv("OCTET_HOME", str(tmp_path))
    project = opt_in(make_repository(tmp_path / "shop"))
    assert classify(project, f"{project.root}/a.py") == SharedCheckout("a.py")


def test_links_lead_to_what_they_point_to(tmp_path: Path) -> None:
    """In and out of the project, at the end and in the middle, to what exists and what does not."""
    project = opt_in(make_repository(tmp_path.resolve() / "shop"))
    place = add_worktree(project.root, tmp_path.resolve() / "dev-2", "feature")
    links = {
        "in": "src/a.py",
        "out": "/etc/passwd",
        "new": "src/none",
        "tree": str(place),
        "loop": "loop",
        "git": ".git",
    }
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
    ("tool", "field"),
    [
        ("Write", "file_path"),
        ("Edit", "file_path"),
        ("MultiEdit", "file_path"),
        ("NotebookEdit", "notebook_path"),
    ],
)
def test_each_file_tool_has_its_field(
    shop: Project, tool_use: Build, tool: str, field: str
) -> None:
    """The path is found where the tool keeps it, and its absence is no free pass."""
    assert tool_targets(tool_use(tool, {field: f"{shop.root}/a.py"}), shop) == (
        SharedCheckout("a.py"),
    )
    for broken in ({}, {"path": "a.py"}, {field: None}, {field: 3}, {field: ""}, {field: ["a.py"]}):
        assert [type(target) for target in tool_targets(tool_use(tool, broken), shop)] == [
            Unreadable
        ]


def test_other_tools_have_no_targets(shop: Project, tool_use: Build) -> None:
    """Reading a file is not writing it."""
    assert tool_targets(tool_use("Read", {"file_path": f"{shop.root}/a.py"}), shop) == ()


def test_a_path_is_read_as_the_client_reads_it(
    shop: Project, tool_use: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blanks around it, `~`, a relative path and `..` behind a link: what the client may open is
    among the targets.
    """
    monkeypatch.setenv("HOME", str(shop.root))

    def targets(path: str) -> set[tuple[str, str]]:
        return {
            where(target)
            for target in tool_targets(
                tool_use("Write", {"file_path": path}, shop.root / "src"), shop
            )
        }

    assert targets("a.py") == {("SharedCheckout", "src/a.py")}
    assert targets("../a.py") == {("SharedCheckout", "a.py")}
    assert targets("~/a.py") == {("SharedCheckout", "a.py")}
    assert ("SharedCheckout", "a.py") in targets(f" {shop.root}/a.py\n")
    assert ("SharedCheckout", "a.py") in targets(f"\u3000\ufeff{shop.root}/a.py")
    assert targets("e\u0301.py") == {
        ("SharedCheckout", "src/e\u0301.py"),
        ("SharedCheckout", "src/\u00e9.py"),
    }
    write(shop.root / "elsewhere/x/y")
    link = shop.root / "link"
    link.symlink_to("elsewhere/x")
    assert targets(f"{shop.root}/link/../y") == {
        ("SharedCheckout", "y"),
        ("SharedCheckout", "elsewhere/y"),
    }


def test_resources_are_names_that_locks_take(shop: Project) -> None:
    """One line of valid text each, however odd the path; different paths stay different."""
    paths = [
        "src/a.py",
        "a\nb",
        "a\x7fb",
        "ü \u2028x",
        "x" * 3900 + "1",
        "x" * 3900 + "2",
        "a:b",
        "%0A",
    ]
    found = [path_resource(path) for path in paths]
    assert len(set(found)) == len(paths)
    assert all(PATTERN.fullmatch(resource) for resource in found)
    assert found[0] == "path:src/a.py"
    assert repository_resource("main") == "repository:main"
    worktree = classify(shop, f"{shop.root}/.claude/worktrees/dev-1/x")
    other = classify(shop, f"{shop.root}/../far/x")
    assert isinstance(worktree, LinkedWorktree)
    assert isinstance(other, LinkedWorktree)
    assert worktree_resource(worktree.worktree).endswith("/dev-1")
    assert worktree_resource(worktree.worktree) != worktree_resource(other.worktree)
    assert PATTERN.fullmatch(worktree_resource(worktree.worktree))


@pytest.fixture
def ignoring(tmp_path: Path) -> Project:
    """A repository that git made where case is ignored; this file system need not be one."""
    root = make_repository(tmp_path.resolve() / "Shop")
    write(root / ".git/config", "[core]\n\tignorecase = true\n")
    write(root / "docs/Caf\u00e9.md")
    return opt_in(root)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("SRC/A.py", SharedCheckout("src/a.py")),
        ("src/a.py", SharedCheckout("src/a.py")),
        ("readme.MD", SharedCheckout("README.md")),
        ("DOCS/cafe\u0301.md", SharedCheckout("docs/Caf\u00e9.md")),
        ("SRC/New/X.py", SharedCheckout("src/New/X.py")),
        ("../SHOP/SRC/a.py", SharedCheckout("src/a.py")),
        ("README.md/x", SharedCheckout("README.md/x")),
    ],
)
def test_where_case_is_ignored_a_path_is_written_as_on_the_disk(
    ignoring: Project, path: str, expected: Target
) -> None:
    """Whatever its letters, as far as it exists; the repository's own name too."""
    assert classify(ignoring, f"{ignoring.root}/{path}") == expected


def test_where_case_is_ignored_gits_own_files_are_known(ignoring: Project, shop: Project) -> None:
    """`.GIT` is `.git` there; elsewhere it is a directory like any other."""
    assert isinstance(classify(ignoring, f"{ignoring.root}/.GIT/HEAD"), GitInternal)
    assert classify(shop, f"{shop.root}/.GIT/HEAD") == SharedCheckout(".GIT/HEAD")
    assert not shop.ignores_case


def test_two_spellings_of_a_new_file_share_a_lock(ignoring: Project, shop: Project) -> None:
    """Before and after one of them exists; where case counts they are two files."""
    new, other = (set(write_resources(ignoring, path)) for path in ("src/New.py", "src/new.py"))
    assert new == {"path:src/New.py", "path:src/new.py"}
    assert new & other
    write(ignoring.root / "src/New.py")
    target = classify(ignoring, f"{ignoring.root}/src/NEW.py")
    assert isinstance(target, SharedCheckout)
    assert set(write_resources(ignoring, target.path)) < new
    assert write_resources(shop, "src/New.py") == ("path:src/New.py",)


def test_what_takes_a_directory_away_needs_all_of_it(shop: Project) -> None:
    """A directory's lock covers its content; a file, and a write into a directory, need a path."""
    assert write_resources(shop, "src", removes=True) == ("path:src/",)
    assert write_resources(shop, ".", removes=True) == ("path:**",)
    assert write_resources(shop, "src") == ("path:src",)
    assert write_resources(shop, "src/a.py", removes=True) == ("path:src/a.py",)


@pytest.mark.parametrize(
    ("spoken", "expected"),
    [
        ("path:src/a.py", "path:src/a.py"),
        ("path:src", "path:src/"),
        ("path:none/", "path:none/"),
        ("path:src/*.py", "path:src/*.py"),
        ("path:./src/../src/**", "path:src/**"),
        ("path:*.md", "path:*.md"),
        ("path:/*.md", "path:/*.md"),
        ("name:src", "name:src"),
    ],
)
def test_a_resource_as_people_write_it(shop: Project, spoken: str, expected: str) -> None:
    """Directories, globs and the way there; the same by an absolute path."""
    assert spoken_resource(shop, spoken) == expected
    if spoken.startswith("path:") and not spoken.startswith(("path:/", "path:*")):
        assert spoken_resource(shop, f"path:{shop.root}/{spoken.removeprefix('path:')}") == expected


def test_a_resource_is_spelled_as_on_the_disk(ignoring: Project) -> None:
    """Where case is ignored."""
    assert spoken_resource(ignoring, "path:SRC/*.py") == "path:src/*.py"
    assert spoken_resource(ignoring, "path:readme.md") == "path:README.md"


def test_odd_file_names_cover_nothing() -> None:
    """A file's name with a star in it is no glob; the lock's own name is that of the path."""
    resources = [path_resource(path) for path in ("*.py", "a?", "app/[id]/page.tsx", "src/a.py")]
    assert not any(map(is_wide, resources))
    assert [canonical(resource) for resource in resources] == resources


def test_worktrees_of_one_name_in_two_clones_are_two(tmp_path: Path) -> None:
    """Two clones of a project on one machine share its locks, and each has its own worktrees."""
    resources = set()
    for name in ("one", "two"):
        project = opt_in(make_repository(tmp_path.resolve() / name))
        target = classify(
            project, str(add_worktree(project.root, project.root / "trees/dev-1", "feature"))
        )
        assert isinstance(target, LinkedWorktree)
        resources.add(worktree_resource(target.worktree))
    assert len(resources) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(path=st.text(st.characters(codec=None), max_size=40), absolute=st.booleans())
def test_no_path_raises(shop: Project, tool_use: Build, path: str, absolute: bool) -> None:
    """Any text has a place, and a resource that locks take."""
    for target in tool_targets(
        tool_use("Write", {"file_path": f"{shop.root}/{path}" if absolute else path}, shop.root),
        shop,
    ):
        if isinstance(target, SharedCheckout):
            assert PATTERN.fullmatch(path_resource(target.path))
