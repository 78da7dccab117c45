"""`.claude/octet.toml`: what a repository says about Octet, read into a frozen `Config`.

    config = load(Path("/home/ann/shop"))
    config.protected            # ("main", "master")
    dangerous(config)           # {"redis.url": "", "test.command": "pytest -q", …}

An unknown key is an error: if `on_store_dwon = "deny"` were ignored, the guard would be off and
say nothing.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from octet.base.errors import ConfigError
from octet.base.vocabulary import GATES, MERGE, PROJECT_NAME, REMOTE_NAME, REVIEW, ROLES, TEST

FILE = Path(".claude") / "octet.toml"

MAX_BATCH = 64
# The store does not count exactly beyond this.
MAX_TOKENS = 10**15
MAX_QUIET_S = 24 * 3600
MAX_WITHOUT_COMMIT = 100
MAX_DEVELOPERS = 16
PORT_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
MAX_PORTS = 20

OnStoreDown = Literal["deny", "allow", "ask"]
LockMode = Literal["enforce", "warn", "off"]
MergeStrategy = Literal["merge", "squash", "rebase"]


@dataclass(frozen=True)
class Config:
    """One repository's settings. Commands are lines for `sh -c`; an empty one means none."""

    # The name in every key of the store.
    project: str
    # Globs of the branches that only a merge moves.
    protected: tuple[str, ...] = ("main", "master")
    # The guard's answer when the store cannot be asked.
    on_store_down: OnStoreDown = "deny"
    # The store; empty: the embedded server.
    redis_url: str = ""
    # Whether a write takes a lock on its path.
    lock_paths: LockMode = "enforce"
    # Globs of repository-relative paths that take none.
    lock_ignore: tuple[str, ...] = ()
    # The command of the test gate.
    test_command: str = ""
    # The command that prepares a new worktree.
    worktree_setup: str = ""
    # Where worktrees lie: absolute, or relative to the root.
    worktree_directory: str = ".claude/worktrees"
    # Variables for which each worktree gets a port of its own.
    worktree_ports: tuple[str, ...] = ()
    # The gates that submitted work passes, in order, merge the last.
    gates: tuple[str, ...] = (REVIEW, TEST, MERGE)
    # Labels, and globs of touched paths, that add the security gate.
    security_labels: tuple[str, ...] = ("security",)
    security_paths: tuple[str, ...] = ()
    # How a task's commits get onto the branch.
    merge_strategy: MergeStrategy = "merge"
    # The largest number of tasks tested together.
    merge_batch: int = 8
    # The remote that protected branches are fetched from and pushed to; empty: none.
    merge_remote: str = ""
    # Tokens used for one task, or on one day, at which the crew is paused; 0: no limit.
    budget_task_tokens: int = 0
    budget_day_tokens: int = 0
    # Whether an agent with a role is handed its next task when its turn ends.
    crew_loop: bool = True
    # After a person has talked with an agent, the time in which it starts nothing new.
    crew_quiet_s: int = 120
    # The number of tasks in a row without a commit after which an agent is parked.
    crew_max_without_commit: int = 3
    # The roles for which `octet up` starts a session; empty: those that the gates need.
    crew_roles: tuple[str, ...] = ()
    # The number of developers among them.
    crew_developers: int = 2


def load(root: Path) -> Config:
    """Read the settings of the repository at `root`.

    Raises:
        ConfigError: the file cannot be read, or has an unknown key or value; one line with file,
            line and key.
    """
    path = root / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}"
        ) from error
    return parse(text, path)


def parse(text: str, path: Path) -> Config:
    """Settings from TOML text; `path` is for error messages.

    Raises:
        ConfigError: not TOML, an unknown key, or a value of the wrong kind.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {_one_line(str(error))}") from error
    values: dict[str, Any] = {}
    for name, value in _flatten(document):
        if name in _TABLES:
            raise ConfigError(
                f"{_where(path, text, name)}: {name} must be a table, written [{name}]"
            )
        setting = _SETTINGS.get(name)
        if setting is None:
            raise ConfigError(
                f"{_where(path, text, name)}: unknown key {_shown(name)}{_suggestion(name)}"
            )
        try:
            values[setting.field] = setting.read(value)
        except ValueError as error:
            raise ConfigError(f"{_where(path, text, name)}: {name} {error}") from error
    if "project" not in values:
        raise ConfigError(
            f"{path}: project is missing: add a line such as project = "
            f'"{path.parent.parent.name or "shop"}"'
        )
    return Config(**values)


def dangerous(config: Config) -> dict[str, str]:
    """The settings by which a repository runs commands or connects: name → value, "" when unset."""
    return {
        "redis.url": config.redis_url,
        "test.command": config.test_command,
        "worktree.setup": config.worktree_setup,
    }


def fresh_text(directory: str) -> str:
    """Text of a new `octet.toml` for a repository in a directory of this name.

    The project's name ends with six random hex digits: two people's clones named "app" must not
    share tasks on one server.
    """
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", directory).strip("-._")[:57].rstrip("-._") or "project"
    return _TEMPLATE.format(project=f"{slug}-{os.urandom(3).hex()}")


@dataclass(frozen=True)
class _Setting:
    field: str
    read: Callable[[Any], Any]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {_kind(value)}")
    if "\0" in value:
        raise ValueError("must not contain a NUL character")
    return value


def _project(value: Any) -> str:
    name = _text(value)
    if not PROJECT_NAME.fullmatch(name):
        raise ValueError(
            "must be 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit"
        )
    return name


def _directory(value: Any) -> str:
    if not _text(value).strip():
        raise ValueError("must not be empty")
    return _text(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(
        isinstance(item, str) and item.strip() for item in value
    ):
        raise ValueError('must be a list of strings such as ["one", "two"]')
    return tuple(_text(item) for item in value)


def _ports(value: Any) -> tuple[str, ...]:
    names = _texts(value)
    if (
        len(names) > MAX_PORTS
        or len(set(names)) < len(names)
        or not all(map(PORT_NAME.fullmatch, names))
    ):
        raise ValueError(
            f'must be at most {MAX_PORTS} different names of variables such as ["PORT", "DB_PORT"]'
        )
    return names


def _gates(value: Any) -> tuple[str, ...]:
    gates = _texts(value)
    if list(gates) != [name for name in GATES if name in gates] or gates[-1:] != GATES[-1:]:
        raise ValueError(f"must be of {', '.join(GATES)}, in this order, merge the last")
    return gates


def _number(minimum: int, maximum: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise ValueError(f"must be a number from {minimum} to {maximum}")
        return value

    return read


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {_kind(value)}")
    return value


def _roles(value: Any) -> tuple[str, ...]:
    roles = _texts(value)
    if len(set(roles)) < len(roles) or not set(roles) <= set(ROLES):
        raise ValueError(f"must be different roles of {', '.join(ROLES)}")
    return roles


def _tokens(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_TOKENS:
        raise ValueError(f"must be a number of tokens from 0 (no limit) to {MAX_TOKENS}")
    return value


def _remote(value: Any) -> str:
    if _text(value) and not REMOTE_NAME.fullmatch(value):
        raise ValueError('must be the name of a remote that git knows, such as "origin"')
    return _text(value)


def _choice(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return read


_SETTINGS: Mapping[str, _Setting] = {
    "project": _Setting("project", _project),
    "protected": _Setting("protected", _texts),
    "on_store_down": _Setting("on_store_down", _choice(get_args(OnStoreDown))),
    "redis.url": _Setting("redis_url", _text),
    "locks.paths": _Setting("lock_paths", _choice(get_args(LockMode))),
    "locks.ignore": _Setting("lock_ignore", _texts),
    "test.command": _Setting("test_command", _text),
    "worktree.setup": _Setting("worktree_setup", _text),
    "worktree.directory": _Setting("worktree_directory", _directory),
    "worktree.ports": _Setting("worktree_ports", _ports),
    "gates.default": _Setting("gates", _gates),
    "gates.security_labels": _Setting("security_labels", _texts),
    "gates.security_paths": _Setting("security_paths", _texts),
    "merge.strategy": _Setting("merge_strategy", _choice(get_args(MergeStrategy))),
    "merge.batch": _Setting("merge_batch", _number(1, MAX_BATCH)),
    "merge.remote": _Setting("merge_remote", _remote),
    "budget.task_tokens": _Setting("budget_task_tokens", _tokens),
    "budget.day_tokens": _Setting("budget_day_tokens", _tokens),
    "crew.loop": _Setting("crew_loop", _flag),
    "crew.quiet_s": _Setting("crew_quiet_s", _number(0, MAX_QUIET_S)),
    "crew.most_without_commit": _Setting("crew_max_without_commit", _number(1, MAX_WITHOUT_COMMIT)),
    "crew.roles": _Setting("crew_roles", _roles),
    "crew.developers": _Setting("crew_developers", _number(1, MAX_DEVELOPERS)),
}
_TABLES = frozenset(name.split(".")[0] for name in _SETTINGS if "." in name)


def _flatten(document: Mapping[str, Any]) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in document.items():
        if key in _TABLES and isinstance(value, dict):
            flat += [(f"{key}.{inner}", item) for inner, item in value.items()]
        else:
            flat.append((key, value))
    return flat


def _where(path: Path, text: str, name: str) -> str:
    """`file:line` of a key, or the file alone where this simple search does not find the key."""
    table, _, key = name.rpartition(".")
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            current = stripped.split("#")[0].strip(" []\t")
            if not table and current.split(".")[0].strip(" \"'") == key:
                return f"{path}:{number}"
        written = stripped.split("=")[0].strip().replace(" ", "").replace('"', "").replace("'", "")
        if (current, written) == (table, key) or (not current and written == name):
            return f"{path}:{number}"
    return str(path)


def _suggestion(name: str) -> str:
    import difflib  # only for a typing mistake: it is slow to import

    last = {known.rpartition(".")[2]: known for known in _SETTINGS} | {
        table: f"[{table}]" for table in _TABLES
    }
    near = difflib.get_close_matches(name, _SETTINGS, 1, 0.6)
    near = near or [
        last[key] for key in difflib.get_close_matches(name.rpartition(".")[2], last, 1, 0.75)
    ]
    return f": did you mean {near[0]}?" if near else f" (known: {', '.join(_SETTINGS)})"


def _kind(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), "a date")


def _shown(name: str) -> str:
    return _one_line(name)[:80]


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


_TEMPLATE = """\
# Octet: several Claude Code sessions on this repository, no two on the same task, file or merge.
# Commit this file; each person then runs `octet init` once on each machine.
project = "{project}"

# Branches that only a merge moves, one at a time.
protected = ["main", "master"]

# When the Redis server does not answer: deny, allow or ask. An agent's own worktree stays open.
on_store_down = "deny"

# [redis]
# url = "redis://localhost:6379/0"   # without it, Octet runs a server of its own

# [locks]
# paths = "enforce"                  # or "warn", "off"
# ignore = ["*.log", "build/**"]

# [test]
# command = "pytest -q"

# [worktree]
# setup = "npm ci"                   # run once in each new worktree
# directory = ".claude/worktrees"
# ports = ["PORT", "DB_PORT"]          # each worktree gets its own, in its .env.octet

# [gates]
# default = ["review", "test", "merge"]   # what submitted work passes
# security_labels = ["security"]          # what calls for the security gate beside them
# security_paths = ["src/auth/**"]

# [merge]
# strategy = "merge"                 # or "squash", "rebase"
# batch = 8                          # tasks that are tested together at most, 1 to 64
# remote = "origin"                  # where the protected branch is fetched from and pushed to

# [budget]
# task_tokens = 5_000_000            # of all kinds, cached ones too: whoever holds a task that \
used so many is paused
# day_tokens = 100_000_000           # the whole crew is paused until tomorrow (UTC), or \
`octet agent resume --all`

# [crew]
# loop = true                        # an agent with a role is handed its next task when its turn \
ends
# quiet_s = 120                      # after a person has talked with it, it starts nothing new \
for so long
# most_without_commit = 3            # after so many tasks in a row without a commit it is parked
# developers = 2                     # how many `octet up` starts, 1 to 16
# roles = ["orchestrator", "developer", "code-sentinel", "test-orchestrator", "repository-guardian"]
"""
