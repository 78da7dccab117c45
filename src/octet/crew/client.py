"""A session of Claude Code as a member of a crew: the program, its options, what it may do without
being asked, its environment.

Nobody sits in front of a member. So whatever the client would ask a person is denied at once, by a
hook of the member's own settings, with a reason that its model can act on. That holds for a
terminal and without one, and keeps every rule of the user's, the project's and the guard's: only
who answers the question is another. (`dontAsk` denies too, but tells the model to find another way,
and never which.)
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
# Not bypassPermissions, and not acceptEdits: where a member writes is said by rules.
MODE = "manual"
# Whatever a member starts inherits this, and is found by it when the member has been killed.
MARK = "OCTET_CREW_MEMBER"
WRITERS = frozenset({DEVELOPER, DOCUMENTATION_KEEPER})
ANSWERS_WITHIN_S = 30.0
# What a writer does in its worktree, one after the other. The guard looks at each of them all the
# same.
GIT = ("add", "commit", "merge", "mv", "rm")
# What tells a session whose it is: a member must not take itself for the session in which `octet
# up` was called.
OF_A_SESSION = re.compile(
    r"CLAUDECODE|AI_AGENT|OCTET_CREW_MEMBER|CLAUDE_(PID|EFFORT|ENV_FILE|PROJECT_DIR|PLUGIN_ROOT|PLUGIN_DATA|PLUGIN_OPTION_\w+)|OCTET_(AGENT|ROLE)"
    r"|CLAUDE_CODE_(SESSION_ID|SESSION_ATTENDED|CHILD_SESSION|ENTRYPOINT|MESSAGING_(SOCKET|TOKEN))"
)
DENIAL = (
    "Octet: nobody is here to be asked, so this is not allowed in the crew. Change directory "
    "in a call of its own (`cd DIR`), then run one"
    " plain command a call, without variables: `octet ...` as your role says it{git}. Files "
    "go into {place}. What else the task needs, the"
    " project has to allow (permissions.allow in .claude/settings.json): say so with `octet "
    "msg send orchestrator TEXT`, and release it."
)
PROMPT = "You are in the crew of this repository, as {role}: work as your role says."
RESTARTED = (
    "Octet has started this session again after it ended. What you held was given back: look "
    "with `octet status`, then go on as {role}."
)
BRIEF = (
    "You work in a crew that nobody watches. A tool call that would need a person's "
    "permission is denied. Change directory in a call of its"
    " own, run one plain command a call, and write files that belong to no task below {scratch}."
)


def find_claude() -> Path:
    """Claude Code's program: `$OCTET_CLAUDE`, else `claude` on PATH.

    A repository cannot name it: what runs on a machine is its person's choice.

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
    """The version of the program, which must be Claude Code.

    Raises:
        UsageError: it is something else, or does not run.
    """
    try:
        command = [str(claude), "--version"]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWERS_WITHIN_S,
            check=False,
        )
        said = done.stdout.decode(errors="replace").strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        said = getattr(error, "strerror", None) or "no answer"
    version, _, name = said.partition(" ")
    if name != "(Claude Code)":
        raise UsageError(
            f"{claude} is not Claude Code (--version: "
            f"{plain(said.partition(chr(10))[0], 80)!r}): set {VARIABLE} to its program"
        )
    return version


def has_drop_in(project: Project) -> bool:
    """Whether the repository itself brings Octet's hooks and roles into a session."""
    try:
        settings = (project.root / ".claude" / "settings.json").read_text(
            encoding="utf-8", errors="replace"
        )
    except OSError:
        return False
    return (
        ".claude/octet/launch" in settings
        and (project.root / ".claude" / "octet" / "launch").is_file()
    )


def plugin_directory(claude: Path, project: Project) -> str:
    """The directory to load as a plugin; "" where the drop-in or an installed plugin does it
    already.
    """
    return "" if has_drop_in(project) or _is_installed(claude) else str(plugin_root())


def _is_installed(claude: Path) -> bool:
    """Whether the person has the plugin installed and on. Where that cannot be told it is loaded
    once more, which does no harm.
    """
    try:
        command = [str(claude), "plugin", "list", "--json"]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANSWERS_WITHIN_S,
            check=False,
        )
        listed = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return False
    entries = listed if isinstance(listed, list) else []
    return any(
        str(entry.get("id", "")).startswith("octet@") and entry.get("enabled")
        for entry in entries
        if isinstance(entry, dict)
    )


def member_settings(project: Project, role: str, scratch: Path, answer: Path) -> dict[str, Any]:
    """The settings that a member is given beside the user's and the project's own.

    Octet's own commands are not among the rules: the guard's hook allows them, each by what it
    does.
    """
    allowed = [_writing(scratch)]
    if role in WRITERS:
        allowed += [
            _writing(real_path(project.root / project.config.worktree_directory)),
            *(f"Bash(git {verb}:*)" for verb in GIT),
        ]
        command = project.config.test_command
        if command and not trust.check(project).command_refusal("test.command"):
            allowed.append(f"Bash({command}:*)")
    asked = {"type": "command", "command": "/bin/cat", "args": [str(answer)], "timeout": 10}
    return {
        "permissions": {"allow": allowed, "additionalDirectories": [str(scratch)]},
        "hooks": {"PermissionRequest": [{"hooks": [asked]}]},
    }


def denial(role: str, scratch: Path) -> dict[str, Any]:
    """What that hook answers."""
    git = (
        f", `git {'`, `git '.join(GIT[:3])}`, the project's test command" if role in WRITERS else ""
    )
    place = f"your worktree or {scratch}" if role in WRITERS else str(scratch)
    message = DENIAL.format(git=git, place=place)
    return {
        "hookSpecificOutput": {
            "hookEventName": "PermissionRequest",
            "decision": {"behavior": "deny", "message": message},
        }
    }


def session_options(
    role: str, *, plugin: str, drop_in: bool, settings: Path, scratch: Path
) -> list[str]:
    """The client's options for a member, in a terminal or without one; its session is named by the
    caller.
    """
    loaded = ["--plugin-dir", plugin] if plugin else []
    agent = role if drop_in else f"octet:{role}"
    told = BRIEF.format(scratch=scratch)
    return [
        *loaded,
        "--agent",
        agent,
        "--permission-mode",
        MODE,
        "--settings",
        str(settings),
        "--append-system-prompt",
        told,
    ]


def user_message(text: str) -> bytes:
    """A prompt as the client reads it from its standard input with `STREAMS`."""
    return (
        json.dumps({"type": "user", "message": {"role": "user", "content": text}}).encode() + b"\n"
    )


def persons_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the person who called `octet up`, without what belongs to a session around
    that call; `octet` is on its PATH.
    """
    kept = {name: value for name, value in environment.items() if not OF_A_SESSION.fullmatch(name)}
    path = kept.get("PATH", os.defpath)
    return (
        kept
        if shutil.which("octet", path=path)
        else {**kept, "PATH": f"{own_command().parent}:{path}"}
    )


def _writing(directory: Path) -> str:
    """The rule that lets a session write below a directory: `//` is the root, and a wildcard in a
    name stands for itself.
    """
    plain = re.sub(r"([\[\]*?\\])", r"\\\1", str(directory))
    return f"Edit(/{plain}/**)"
