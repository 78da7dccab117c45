"""A session of Claude Code as a member of a crew: its program, options, permissions, environment.

A member has no person in front of it. A hook in its settings therefore denies at once whatever the
client would ask a person, with a reason that its model can act on. This works with and without a
terminal, and all rules of the user, the project and the guard stay in force. (The client's mode
`dontAsk` denies too, but only tells the model to find another way.)
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from octet.base.errors import UsageError
from octet.base.text import plain
from octet.base.vocabulary import DEVELOPER, DOCUMENTATION_KEEPER
from octet.install.plugin import plugin_root
from octet.project import trust
from octet.project.repository import Project, real_path
from octet.runtime.bootstrap import own_command

VARIABLE = "OCTET_CLAUDE"
STREAMS = ("--input-format", "stream-json", "--output-format", "stream-json", "--verbose")
# Not bypassPermissions and not acceptEdits: rules say where a member may write.
MODE = "manual"
# The member's child processes inherit this variable; by it they are found once the member is dead.
MARK = "OCTET_CREW_MEMBER"
WRITERS = frozenset({DEVELOPER, DOCUMENTATION_KEEPER})
ANSWERS_WITHIN_S = 30.0
# The git commands of a writer in its worktree. The guard checks each call all the same.
GIT = ("add", "commit", "merge", "mv", "rm")
# The variables that identify a session: a member must not take itself for the session around
# `octet up`.
OF_A_SESSION = re.compile(
    r"CLAUDECODE|AI_AGENT|OCTET_CREW_MEMBER|OCTET_(AGENT|ROLE)"
    r"|CLAUDE_(PID|EFFORT|ENV_FILE|PROJECT_DIR|PLUGIN_ROOT|PLUGIN_DATA|PLUGIN_OPTION_\w+)"
    r"|CLAUDE_CODE_(SESSION_ID|SESSION_ATTENDED|CHILD_SESSION|ENTRYPOINT|MESSAGING_(SOCKET|TOKEN))"
)
DENIAL = (
    "Octet: the crew has no person to ask, so this is not allowed. Change directory in a call of "
    "its own (`cd DIR`), then run one plain command a call, without variables: `octet ...` as your "
    "role says it{git}. Write files in {place}. Anything else has to be allowed by the project "
    "(permissions.allow in .claude/settings.json): say so with `octet msg send orchestrator TEXT`, "
    "and release the task."
)
PROMPT = "You are in the crew of this repository, as {role}: work as your role says."
RESTARTED = (
    "Octet has restarted this session after it ended. Your tasks and locks were released: look "
    "with `octet status`, then go on as {role}."
)
BRIEF = (
    "You work in a crew without a person. A tool call that needs a person's permission is denied. "
    "Change directory in a call of its own, run one plain command a call, and write files that "
    "belong to no task below {scratch}."
)


def find_claude() -> Path:
    """Claude Code's program: `$OCTET_CLAUDE`, else `claude` on PATH.

    A repository cannot name it: a machine runs only what its person chose.

    Raises:
        UsageError: there is none.
    """
    wanted = os.environ.get(VARIABLE, "")
    found = shutil.which(wanted or "claude")
    if found is None:
        where = f"{VARIABLE}={wanted} is no program" if wanted else "there is no `claude` on PATH"
        raise UsageError(f"{where}: install Claude Code, or set {VARIABLE} to its program")
    return Path(found).absolute()


def read_version(claude: Path) -> str:
    """The version of the program.

    Raises:
        UsageError: it does not run, or is not Claude Code.
    """
    try:
        said = _ask(claude, "--version").decode(errors="replace").strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        said = getattr(error, "strerror", None) or "no answer"
    version, _, name = said.partition(" ")
    if name != "(Claude Code)":
        first_line = plain(said.partition("\n")[0], 80)
        raise UsageError(
            f"{claude} is not Claude Code (--version: {first_line!r}): set {VARIABLE} to its "
            "program"
        )
    return version


def has_drop_in(project: Project) -> bool:
    """Whether the repository itself brings Octet's hooks and roles into a session."""
    directory = project.root / ".claude"
    try:
        settings = (directory / "settings.json").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return ".claude/octet/launch" in settings and (directory / "octet" / "launch").is_file()


def plugin_directory(claude: Path, project: Project) -> str:
    """The directory to load as a plugin; "" if the drop-in or an installed plugin is there."""
    return "" if has_drop_in(project) or _is_installed(claude) else str(plugin_root())


def _is_installed(claude: Path) -> bool:
    """Whether the person has the plugin installed and enabled. Where the client does not say, the
    plugin is loaded once more, which does no harm.
    """
    try:
        listed = json.loads(_ask(claude, "plugin", "list", "--json"))
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return False
    entries = listed if isinstance(listed, list) else []
    return any(
        str(entry.get("id", "")).startswith("octet@") and entry.get("enabled")
        for entry in entries
        if isinstance(entry, dict)
    )


def _ask(claude: Path, *arguments: str) -> bytes:
    """The output of the program, whatever its exit status."""
    done = subprocess.run(
        [str(claude), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=ANSWERS_WITHIN_S,
        check=False,
    )
    return done.stdout


def member_settings(project: Project, role: str, scratch: Path, answer: Path) -> dict[str, Any]:
    """The settings that a member gets in addition to those of the user and the project.

    Octet's own commands need no rule: the guard's hook allows each by its effect.
    """
    allowed = [_write_rule(scratch)]
    if role in WRITERS:
        allowed += [
            _write_rule(real_path(project.root / project.config.worktree_directory)),
            *(f"Bash(git {verb}:*)" for verb in GIT),
        ]
        command = project.config.test_command
        if command and not trust.check(project).command_refusal("test.command"):
            allowed.append(f"Bash({command}:*)")
    hook = {"type": "command", "command": "/bin/cat", "args": [str(answer)], "timeout": 10}
    return {
        "permissions": {"allow": allowed, "additionalDirectories": [str(scratch)]},
        "hooks": {"PermissionRequest": [{"hooks": [hook]}]},
    }


def denial(role: str, scratch: Path) -> dict[str, Any]:
    """The answer of that hook."""
    git, place = "", str(scratch)
    if role in WRITERS:
        git = f", `git {'`, `git '.join(GIT[:3])}`, the project's test command"
        place = f"your worktree or {scratch}"
    decision = {"behavior": "deny", "message": DENIAL.format(git=git, place=place)}
    return {"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": decision}}


def session_options(
    role: str, *, plugin: str, drop_in: bool, settings: Path, scratch: Path
) -> list[str]:
    """The client's options for a member, with or without a terminal. The caller adds the one that
    names the conversation.
    """
    options = ["--plugin-dir", plugin] if plugin else []
    options += ["--agent", role if drop_in else f"octet:{role}"]
    options += ["--permission-mode", MODE]
    options += ["--settings", str(settings)]
    return [*options, "--append-system-prompt", BRIEF.format(scratch=scratch)]


def user_message(text: str) -> bytes:
    """A prompt in the form that the client reads from its standard input with `STREAMS`."""
    message = {"type": "user", "message": {"role": "user", "content": text}}
    return json.dumps(message).encode() + b"\n"


def persons_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the person at `octet up`: without the variables of a session around that
    call, and with `octet` on PATH.
    """
    kept = {name: value for name, value in environment.items() if not OF_A_SESSION.fullmatch(name)}
    path = kept.get("PATH", os.defpath)
    if shutil.which("octet", path=path):
        return kept
    return {**kept, "PATH": f"{own_command().parent}:{path}"}


def _write_rule(directory: Path) -> str:
    """The rule that lets a session write below a directory. `//` is the root; a wildcard in the
    path is escaped, so that it stands for itself.
    """
    escaped = re.sub(r"([\[\]*?\\])", r"\\\1", str(directory))
    return f"Edit(/{escaped}/**)"
