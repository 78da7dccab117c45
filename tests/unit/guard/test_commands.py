"""Shell commands as models write them: what each needs, what the documentation says of it, and any
mutation of them.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from octet.guard import paths, policy
from octet.guard.git import files, rules
from octet.guard.payload import Client, PreToolUse
from octet.guard.shell import script
from octet.guard.shell.programs import PROGRAMS
from octet.guard.shell.words import STEP_LIMIT
from octet.project.repository import Project

from .commands import LINKED_WORKTREE, MAIN_CHECKOUT
from .seen import seen

PAGE = Path(__file__).parents[3] / "docs" / "commands-seen.md"
ROW = re.compile(r"\| `(.+)` \| `?(.+?)`? \|$")
COMMANDS = [command for command, _ in MAIN_CHECKOUT + LINKED_WORKTREE]
# What is put between, before or in place of the characters of a command.
NOISE = [
    *"'\"`$(){}[]<>|&;\\\n\t *?~#!=,:-\0é",
    "$(",
    "${",
    "<<E\n",
    "&&",
    "||",
    ";;",
    "$'",
    "((",
    "]]",
    "esac",
    "{}",
    "../",
    "-C",
    "--",
]
Edit = tuple[int, str, int]


def needs_of(command: str, shop: Project, where: str = "main") -> policy.Needs:
    """What a command needs in the shop's main checkout, or in the worktree dev-1."""
    cwd = shop.root if where == "main" else shop.root / ".claude/worktrees" / where
    return policy.find_needs(
        PreToolUse("s", str(cwd), Client(), "", "", "", "", "", "Bash", {"command": command}, "t"),
        shop,
    )


@pytest.mark.parametrize(("command", "expected"), MAIN_CHECKOUT)
def test_in_the_main_checkout(shop: Project, command: str, expected: str) -> None:
    """Each command needs what the table says, and no more."""
    assert seen(needs_of(command, shop)) == expected


@pytest.mark.parametrize(("command", "expected"), LINKED_WORKTREE)
def test_in_a_linked_worktree(shop: Project, command: str, expected: str) -> None:
    """The same from an agent's own worktree."""
    assert seen(needs_of(command, shop, "dev-1")) == expected


def test_the_documentation_is_true(shop: Project) -> None:
    """Every example of docs/commands-seen.md is seen as the page says."""
    where, checked = "main", 0
    for line in PAGE.read_text().partition("## Examples")[2].splitlines():
        if line.startswith("###"):
            where = "dev-1" if "linked worktree" in line else "main"
        if row := ROW.match(line):
            command, said = (cell.replace("\\|", "|") for cell in row.groups())
            assert seen(needs_of(command, shop, where)) == said, command
            checked += 1
    assert checked > 250


def test_the_documentation_is_complete() -> None:
    """Each program and each git subcommand that has a rule stands in an example."""
    examples = "\n".join(line for line in PAGE.read_text().splitlines() if ROW.match(line))
    words = set(re.findall(r"[\w.-]+", examples))
    assert words >= PROGRAMS.keys()
    assert words >= rules.RULES.keys() | files.RULES.keys()


def mutated(command: str, edits: list[Edit]) -> str:
    """Each edit at its place: a piece put in (0), a character taken out (1), or replaced (2)."""
    for place, piece, kind in edits:
        at = place % (len(command) + 1)
        command = command[:at] + ("" if kind == 1 else piece) + command[at + (kind > 0) :]
    return command


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    command=st.sampled_from(COMMANDS),
    edits=st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from(NOISE), st.integers(0, 2)), max_size=6
    ),
    joint=st.sampled_from([" && ", "\n", " | ", "; "]),
    other=st.sampled_from(["", *COMMANDS]),
)
def test_no_mutation_raises(
    command: str, edits: list[Edit], joint: str, other: str, shop: Project
) -> None:
    """Pieces taken out, put in and replaced: always a verdict, and never more commands than a
    script may cost steps.
    """
    text = mutated(command, edits) + joint + other
    assert len(script.parse(text, str(shop.root), home="/h").commands) <= STEP_LIMIT
    needs = needs_of(text, shop)
    for answer in (
        policy.Granted(),
        policy.StoreDown("it is down"),
        policy.Held("path:src/a.py", "developer-2"),
    ):
        assert policy.judge(needs, answer, shop, "developer-1").decision in (
            "pass",
            "allow",
            "ask",
            "deny",
        )


@pytest.mark.parametrize("tail", [";", "?", "|x", "$(", "'", '"'])
def test_a_long_word_is_read_once(shop: Project, tail: str) -> None:
    """What no pattern takes in ends the reading at once: cut in all ways, forty characters would
    take longer than the tests may.
    """
    for command in (
        "octet" + "a" * 40_000 + tail,
        "octet " + "'a'" * 10_000 + tail,
        'octet "' + "a" * 40_000 + tail,
    ):
        needs_of(command, shop)


@pytest.mark.parametrize(
    "command",
    [
        "cd nosuch;" * 50 + "rm a;" * 400,
        "rm -rf " + " ".join(f"d{number}" for number in range(480)),
        "rm " + " ".join("*/*/*/*" for _ in range(3000)),
        "rm " + " ".join(f"src/*{number}*[a-z]*.py" for number in range(3000)),
        "echo > a$X; " * 300 + "rm " + " ".join(f"a/$X/{number}/$Y" for number in range(500)),
        "git restore " + " ".join(f"f{number}" for number in range(5000)),
        "git branch -D " + " ".join(f"octet/T{number}" for number in range(3000)),
        "".join(
            f"alias a{number}='a{number + 1} a{number + 1}; a{number + 1}'\n"
            for number in range(300)
        )
        + "a0",
        "find " + " ".join(f"d{number}" for number in range(400)) + " -exec rm {} \\; " * 200,
    ],
)
def test_looks_at_the_disk_are_bounded(
    shop: Project, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many files and patterns a command names, so many of them are resolved, and it is
    refused or read within that.
    """
    looks = 0

    def counted(project: Project, path: str) -> paths.Target:
        nonlocal looks
        looks += 1
        return paths.classify(project, path)

    monkeypatch.setattr(policy.needs, "classify", counted)
    needs_of(command, shop)
    assert looks <= 2 * policy.needs.WRITE_LIMIT
