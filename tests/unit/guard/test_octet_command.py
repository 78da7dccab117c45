"""Octet's own commands, recognised with no doubt left."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from octet.guard.octet_command import gives_approval, is_prompt_free, read_octet_command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("octet", ("octet",)),
        ("octet task list --json", ("octet", "task", "list", "--json")),
        ("  octet  status\n", ("octet", "status")),
        (
            "octet msg send developer-2 'it is free; go $on `now`'",
            ("octet", "msg", "send", "developer-2", "it is free; go $on `now`"),
        ),
        ('octet task add "Say \\"hi\\" \\\\ it\'s"', ("octet", "task", "add", 'Say "hi" \\ it\'s')),
        ("octet task add 'two\nlines'", ("octet", "task", "add", "two\nlines")),
        ("octet task add a'b'\"c\"", ("octet", "task", "add", "abc")),
        ("octet task add '' --priority=3", ("octet", "task", "add", "", "--priority=3")),
    ],
)
def test_one_plain_call_is_read(text: str, words: tuple[str, ...]) -> None:
    """Plain and quoted words, and nothing else."""
    assert read_octet_command(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "",
        "octets task list",
        "./octet task list",
        "/tmp/octet task list",
        "sudo octet task list",
        "A=1 octet task list",
        "octet status; rm -rf x",
        "octet status && rm x",
        "octet status | sh",
        "octet status & rm x",
        "octet status\nrm x",
        "octet status > x",
        "octet status < x",
        "octet task add $(rm x)",
        'octet task add "$(rm x)"',
        'octet task add "`rm x`"',
        "octet task add `rm x`",
        "octet task add $HOME",
        'octet task add "$HOME"',
        "octet task add *",
        "octet task add ~",
        "octet task add {a,b}",
        "octet task add 'open",
        'octet task add "a\\`b"',
        "octet task add a\\ b",
        "octet task list # rm",
        "(octet status)",
        "octet status)",
        "octet task add 'a\0b'",
        "octet task add \u00a0x",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    """Whatever might run, expand or redirect something is left to the usual permission."""
    assert read_octet_command(text) is None


def test_work_is_prompt_free_and_power_does_not() -> None:
    """An agent's own commands need no permission; what starts, stops, breaks or approves does."""
    work = (
        "task claim",
        "task submit T1",
        "review approve T1",
        "test run --all",
        "merge run --wait 9m",
        "merge queue",
        "worktree list",
    )
    own = (
        "map start m a",
        "map done m 1 x",
        "map clear m",
        "pipeline step start p",
        "errors add e x",
        "progress add p",
        "keys",
    )
    for text in (*work, *own, "msg send a b", "lock acquire name:x", "status"):
        assert is_prompt_free(("octet", *text.split())), text
    refused = (
        "",
        "init",
        "up",
        "down",
        "daemon stop",
        "redis stop",
        "lock break path:a",
        "merge run --no-tests",
        "pipeline run x",
        "pipeline",
        "map run m -- true",
        "map --run r run m",
        "map",
        "gc --run r",
        "redis monitor",
        "lock",
        "hook",
    )
    for text in (*refused, "nosuch"):
        assert not is_prompt_free(("octet", *text.split())), text
    assert gives_approval(("octet", "init"))
    assert not gives_approval(("octet", "task", "init"))


@example("a'")  # a reader with possessive groups is fooled by it in Python 3.11.2
@given(
    st.lists(st.sampled_from([*"ab '\"\\$`;&|<>(){}*~#!\n=-é", "octet "]), max_size=12).map("".join)
)
def test_what_is_read_is_what_the_shell_gives(text: str) -> None:
    """Words read here are the very words that a shell would pass to `octet`."""
    words = read_octet_command(f"octet {text}")
    if words is not None:
        command = f"octet() {{ printf '%s\\036' octet \"$@\"; }}\noctet {text}"
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            capture_output=True,
            check=True,
            env={"PATH": "", "LC_ALL": "C.UTF-8"},
        )
        assert tuple(done.stdout.decode().split("\x1e")[:-1]) == words
