"""The plugin's manifests, commands and agent roles: complete, small, true to the command line."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import click
import pytest

from octet import __version__
from octet.cli import cli

ROOT = Path(__file__).resolve().parents[3]
AGENTS = sorted((ROOT / "agents").glob("*.md"))
COMMANDS = sorted((ROOT / "commands").glob("*.md"))
ROLES = {
    "orchestrator",
    "architect",
    "developer",
    "code-sentinel",
    "security-auditor",
    "test-orchestrator",
    "repository-guardian",
    "documentation-keeper",
}
SLASH_COMMANDS = {
    *("claim-task", "add-task", "status", "join", "leave", "submit", "locks", "msg", "inbox"),
    *("review", "merge", "handoff", "up", "doctor", "patterns"),
}
WRITERS = {"developer", "documentation-keeper"}
WORKERS_STEPS = (
    "task claim",
    "worktree add",
    "task submit",
    "review show",
    "task release",
    "task fail",
)
REVIEWERS_STEPS = ("review start", "review approve", "review reject", "review show", "task release")
STEPS = {
    "orchestrator": (
        "task import",
        "task graph",
        "task retry",
        "task cancel",
        "merge queue",
        "review show",
    ),
    "architect": ("task graph", "task claim", "task complete", "task release"),
    "developer": WORKERS_STEPS,
    "documentation-keeper": WORKERS_STEPS,
    "code-sentinel": REVIEWERS_STEPS,
    "security-auditor": REVIEWERS_STEPS,
    "test-orchestrator": ("test run", "review show"),
    "repository-guardian": ("merge queue", "merge run", "review show"),
}
DECIDING = {"review approve", "review reject", "test run", "merge run"}
# Characters: a role file is in a model's context for a whole session, a command file for a turn.
ROLE_BUDGET = {
    "orchestrator": 3800,
    "developer": 3300,
    "documentation-keeper": 2900,
    "security-auditor": 2900,
    "code-sentinel": 2650,
    "repository-guardian": 2350,
    "architect": 2100,
    "test-orchestrator": 2050,
}
COMMAND_BUDGET = 1600
LONGEST_CALL_MS = 600_000
LONG_CALLS = ("octet test run", "octet merge run")


def frontmatter(path: Path) -> dict[str, str]:
    _, head, _ = path.read_text().split("---\n", 2)
    return dict(line.split(": ", 1) for line in head.splitlines())


def body(path: Path) -> str:
    return path.read_text().split("---\n", 2)[2]


def octet_calls(path: Path) -> list[str]:
    """Every `octet …` that a text tells the model to run, and those that its frontmatter allows."""
    text = path.read_text()
    allowed = re.findall(r"Bash\((octet [^:)]*):\*\)", text)
    return [*re.findall(r"`(octet [^`]*)`", text), *allowed]


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and what is left of them."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0]) if words else None
        if found is None:
            raise AssertionError(f"no command {words[:1]} in {command.name}")
        command, words = found, words[1:]
    return command, words


def test_there_is_one_agent_for_each_role() -> None:
    """The files, and the names inside them, are the eight roles."""
    assert {path.stem for path in AGENTS} == ROLES
    assert {frontmatter(path)["name"] for path in AGENTS} == ROLES


def test_the_commands_of_this_release_are_there() -> None:
    """Each slash command whose ground exists has a file."""
    assert {path.stem for path in COMMANDS} == SLASH_COMMANDS


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)
def test_an_agent_is_short_and_has_the_fewest_tools(path: Path) -> None:
    """At most 60 lines, a description, and tools to write only where the role writes."""
    head = frontmatter(path)
    tools = set(head["tools"].split(", "))
    assert len(path.read_text().splitlines()) <= 60
    assert 0 < len(head["description"]) <= 200
    assert tools <= {"Bash", "Read", "Grep", "Glob"} | (
        {"Edit", "Write"} if path.stem in WRITERS else set()
    )
    assert "not proven" in body(path).lower()
    assert ("isolation" in head) == (path.stem in WRITERS)


@pytest.mark.parametrize("path", [*AGENTS, *COMMANDS], ids=lambda path: path.stem)
def test_a_text_for_models_stays_within_its_budget(path: Path) -> None:
    """A longer text costs tokens in every session: say the same in fewer words instead."""
    assert len(path.read_text()) <= ROLE_BUDGET.get(path.stem, COMMAND_BUDGET)


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)
def test_an_agent_is_taught_the_steps_of_its_stage(path: Path) -> None:
    """All of them, none that decides for another role, and no verdict by message."""
    taught = {" ".join(call.split()[1:3]) for call in octet_calls(path)}
    assert taught >= set(STEPS[path.stem])
    assert taught & DECIDING <= set(STEPS[path.stem])
    assert not [
        call
        for call in octet_calls(path)
        if call.startswith("octet msg send") and re.search(r"approve|passed|merged", call)
    ]


@pytest.mark.parametrize("path", AGENTS, ids=lambda path: path.stem)
def test_a_call_that_takes_long_is_given_the_time(path: Path) -> None:
    """Bash calls last two minutes unless told otherwise, ten at most: each role that runs tests is
    told so, and none waits in a call.
    """
    calls = octet_calls(path)
    assert any(call.startswith(LONG_CALLS) for call in calls) == (
        f"timeout of {LONGEST_CALL_MS} ms" in body(path)
    )
    assert [call for call in calls if "--wait" in call or call == "octet merge run"] == []


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_is_short_and_narrow(path: Path) -> None:
    """It may run Octet's own commands and look at git, and nothing else."""
    head = frontmatter(path)
    assert len(path.read_text().splitlines()) <= 22
    assert 0 < len(head["description"]) <= 100
    for allowed in head["allowed-tools"].split(", "):
        assert allowed == "Read" or re.fullmatch(
            r"Bash\((octet [a-z]+( [a-z]+)?|git status):\*\)", allowed
        )


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_what_the_user_typed_never_reaches_a_shell_by_itself(path: Path) -> None:
    """The client pastes arguments unquoted: none stands in code, and no command runs while the text
    is expanded.
    """
    text = body(path)
    code = re.findall(r"`[^`]*`", text)
    assert "!`" not in text
    assert not [part for part in code if re.search(r"\$(ARGUMENTS|\d)", part)]
    assert text.count("$ARGUMENTS") == ("argument-hint" in frontmatter(path))


@pytest.mark.parametrize("path", [*AGENTS, *COMMANDS], ids=lambda path: path.stem)
def test_every_command_that_is_taught_exists(path: Path) -> None:
    """Sub-commands and options in the texts are those of the command line; a name that changed
    fails here.
    """
    for call in octet_calls(path):
        command, rest = resolve(
            [word for word in shlex.split(call.replace("'\\''", "")) if word not in ("…", "'…'")][
                1:
            ]
        )
        options = {option for parameter in command.params for option in parameter.opts}
        for word in rest:
            assert not word.startswith("--") or word == "--" or word in options, (
                f"{call}: no option {word}"
            )


def test_the_manifests_agree_with_the_package() -> None:
    """Name and version are written once more in JSON, because the client reads them there."""
    plugin = json.loads((ROOT / ".claude-plugin" / "plugin.json").read_text())
    market = json.loads((ROOT / ".claude-plugin" / "marketplace.json").read_text())
    assert (plugin["name"], plugin["version"], plugin["license"]) == ("octet", __version__, "MIT")
    assert [(entry["name"], entry["source"]) for entry in market["plugins"]] == [("octet", "./")]


def test_the_plugin_puts_one_program_on_path() -> None:
    """Whatever lies in bin/ is on PATH in every session of every user."""
    assert [path.name for path in (ROOT / "bin").iterdir()] == ["octet"]
