"""`.claude/octet.toml` → `Config`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.base.errors import ConfigError
from octet.base.vocabulary import PROJECT_NAME
from octet.project import config

FILE = Path("/home/ann/shop/.claude/octet.toml")


def test_a_project_name_is_enough() -> None:
    """Everything but the name has a default, and the usual names of the trunk are protected."""
    read = config.parse('project = "shop"', FILE)
    assert read == config.Config(project="shop")
    assert read.protected == ("main", "master")
    assert (read.gates, read.security_labels, read.security_paths) == (
        ("review", "test", "merge"),
        ("security",),
        (),
    )
    assert (read.merge_strategy, read.merge_batch, read.merge_remote) == ("merge", 8, "")
    assert (read.crew_loop, read.crew_quiet_s, read.crew_max_without_commit) == (True, 120, 3)
    assert (read.budget_task_tokens, read.budget_day_tokens) == (0, 0)
    assert (read.on_store_down, read.lock_paths, read.worktree_directory) == (
        "deny",
        "enforce",
        ".claude/worktrees",
    )


def test_every_setting_is_read() -> None:
    """Each key of the file reaches its field."""
    text = """
    project = "shop"
    protected = ["trunk", "release/*"]
    on_store_down = "ask"
    redis.url = "redis://db:6379/0"
    [locks]
    paths = "warn"
    ignore = ["*.log"]
    [test]
    command = "pytest -q"
    [worktree]
    setup = "npm ci"
    directory = "../trees"
    [gates]
    default = ["security", "merge"]
    security_labels = ["risky"]
    security_paths = ["src/auth/**"]
    [merge]
    strategy = "squash"
    batch = 64
    remote = "origin"
    [crew]
    loop = false
    quiet_s = 0
    most_without_commit = 5
    [budget]
    task_tokens = 5_000_000
    day_tokens = 0
    """
    assert config.parse(text, FILE) == config.Config(
        "shop",
        *(
            ("trunk", "release/*"),
            "ask",
            "redis://db:6379/0",
            "warn",
            ("*.log",),
            "pytest -q",
            "npm ci",
            "../trees",
        ),
        gates=("security", "merge"),
        security_labels=("risky",),
        security_paths=("src/auth/**",),
        merge_strategy="squash",
        merge_batch=64,
        merge_remote="origin",
        crew_loop=False,
        crew_quiet_s=0,
        crew_max_without_commit=5,
        budget_task_tokens=5_000_000,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'project = "a"\non_store_dwon = "deny"',
            ["octet.toml:2", "on_store_dwon", "did you mean on_store_down?"],
        ),
        ('project = "a"\n\n[locks]\npath = "warn"', ["octet.toml:4", "did you mean locks.paths?"]),
        ('project = "a"\n[lock]\npaths = "warn"', ["octet.toml:2", "did you mean [locks]?"]),
        ('project = "a"\n[zebra]', ["octet.toml:2", "known: project"]),
        ('project = "a"\nredis = "redis://x"', ["octet.toml:2", "must be a table"]),
        (
            'project = "a"\nredis.url = 6379',
            ["octet.toml:2", "redis.url", "must be a string", "a number"],
        ),
        (
            'project = "a"\n[crew]\nloop = 1',
            ["octet.toml:3", "crew.loop", "true or false, not a number"],
        ),
        ('project = "a"\n[crew]\nquiet_s = -1', ["octet.toml:3", "from 0 to 86400"]),
        ('project = "a"\n[crew]\nmost_without_commit = true', ["octet.toml:3", "from 1 to 100"]),
        ('project = "a b"', ["octet.toml:1", "project", "64 letters"]),
        ('project = "a"\non_store_down = "maybe"', ["octet.toml:2", "deny, allow, ask"]),
        ('project = "a"\nprotected = "main"', ["octet.toml:2", "list of strings"]),
        ('project = "a"\nprotected = ["main", 3]', ["octet.toml:2", "list of strings"]),
        ('project = "a"\non_store_down = ["deny"]', ["octet.toml:2", "deny, allow, ask"]),
        ('project = "a"\n[worktree]\ndirectory = ""', ["octet.toml:3", "must not be empty"]),
        ('project = "a"\n[test]\ncommand = "\\u0000"', ["octet.toml:3", "NUL"]),
        (
            'project = "a"\n[gates]\ndefault = []',
            ["octet.toml:3", "gates.default", "merge the last"],
        ),
        (
            'project = "a"\n[gates]\ndefault = ["review"]',
            ["octet.toml:3", "review, security, test, merge"],
        ),
        ('project = "a"\n[gates]\ndefault = ["test", "review", "merge"]', ["in this order"]),
        ('project = "a"\n[gates]\ndefault = ["merge", "merge"]', ["in this order"]),
        ('project = "a"\n[gates]\ndefault = ["lint", "merge"]', ["in this order"]),
        ('project = "a"\n[gates]\ndefault = "merge"', ["list of strings"]),
        ('project = "a"\n[gates]\nsecurity_path = []', ["did you mean gates.security_paths?"]),
        ('project = "a"\n[gates]\nsecurity_labels = [1]', ["list of strings"]),
        ('project = "a"\n[merge]\nstrategy = "octopus"', ["merge, squash, rebase"]),
        ('project = "a"\n[merge]\nbatch = 0', ["1 to 64"]),
        ('project = "a"\n[merge]\nbatch = true', ["1 to 64"]),
        ('project = "a"\n[merge]\nbatch = 8.0', ["1 to 64"]),
        (
            'project = "a"\n[budget]\nday_tokens = -1',
            ["octet.toml:3", "budget.day_tokens", "number of tokens"],
        ),
        ('project = "a"\n[budget]\nday_tokens = true', ["number of tokens"]),
        ('project = "a"\n[budget]\nday_tokens = "5M"', ["number of tokens"]),
        (
            'project = "a"\n[budget]\ntask_tokens = 1e6',
            ["octet.toml:3", "budget.task_tokens", "number of tokens"],
        ),
        ('project = "a"\n[budget]\ntask_token = 5', ["did you mean budget.task_tokens?"]),
        ('project = "a"\n[merge]\nremote = "--all"', ["name of a remote"]),
        ('project = "a"\n[merge]\nremote = "ext::sh -c true"', ["name of a remote"]),
        ('project = "a"\n[merge]\nremote = "../elsewhere"', ["name of a remote"]),
        ('protected = ["main"]', ["project is missing", 'project = "shop"']),
        ("", ["project is missing"]),
        ("project = \n", ["not valid TOML", "line 1"]),
        ("a = " + "[" * 100_000, ["not valid TOML"]),
        ("a = " + "9" * 100_000, ["not valid TOML"]),
        ('project = "a"\nproject = "b"', ["not valid TOML"]),
    ],
)
def test_a_mistake_is_named_with_file_and_line(text: str, expected: list[str]) -> None:
    """A mistake is one line that names file, line and key, and the nearest known key."""
    with pytest.raises(ConfigError) as raised:
        config.parse(text, FILE)
    message = str(raised.value)
    assert "\n" not in message
    for part in (str(FILE), *expected):
        assert part in message


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever the file holds, reading it gives a `Config` or a one-line `ConfigError`."""
    try:
        outcome = str(config.parse(text, FILE).project)
    except ConfigError as error:
        outcome = str(error)
    assert "\n" not in outcome


def test_a_file_that_is_not_there_or_not_text_is_a_config_error(tmp_path: Path) -> None:
    """A missing file, a directory in its place and bytes that are no text are refused by name."""
    (tmp_path / ".claude").mkdir()
    with pytest.raises(ConfigError, match=r"octet\.toml"):
        config.load(tmp_path)
    (tmp_path / config.FILE).mkdir()
    with pytest.raises(ConfigError, match=r"octet\.toml"):
        config.load(tmp_path)
    (tmp_path / config.FILE).rmdir()
    (tmp_path / config.FILE).write_bytes(b"project = '\xff'")
    with pytest.raises(ConfigError, match="UTF-8"):
        config.load(tmp_path)


@pytest.mark.parametrize(
    "directory", ["shop", "My Shop!", "-.-", "", "ünïcode", "x" * 300, "a" * 56 + " b", '"; rm']
)
def test_the_fresh_file_reads_back(directory: str) -> None:
    """`octet init` writes a valid file and project name for a directory of any name."""
    read = config.parse(config.fresh_text(directory), FILE)
    assert read.protected == ("main", "master")
    assert PROJECT_NAME.fullmatch(read.project)


def test_two_fresh_files_are_two_projects() -> None:
    """Two people with a directory of the same name do not share a project by accident."""
    assert config.fresh_text("app") != config.fresh_text("app")


def test_dangerous_settings_are_those_that_run_or_connect() -> None:
    """The server URL and the two commands, also when unset, and nothing else."""
    assert config.dangerous(config.Config("shop")) == {
        "redis.url": "",
        "test.command": "",
        "worktree.setup": "",
    }
    assert config.dangerous(
        config.Config("shop", redis_url="u", test_command="t", worktree_setup="s")
    ) == {
        "redis.url": "u",
        "test.command": "t",
        "worktree.setup": "s",
    }
