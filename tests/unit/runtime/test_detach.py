"""What the daemon's processes are started with."""

from __future__ import annotations

from pathlib import Path

from octet.runtime.detach import daemon_environment


def test_a_daemon_carries_nothing_of_a_session() -> None:
    """Keys, ids, a virtual environment, another project's store: it serves all sessions of its
    user.
    """
    session = {
        "HOME": "/home/ann",
        "PATH": "/bin",
        "LC_ALL": "C",
        "OCTET_HOME": "/o",
        "ANTHROPIC_API_KEY": "secret",
        "CLAUDE_PID": "7",
        "OCTET_REDIS_URL": "redis://",
        "OCTET_SETUP": "background",
        "VIRTUAL_ENV": "/v",
        "PYTHONPATH": "/p",
        "GIT_DIR": "/g",
    }
    assert daemon_environment(session) == {
        "HOME": "/home/ann",
        "PATH": "/bin",
        "LC_ALL": "C",
        "OCTET_HOME": "/o",
    }


def test_a_relative_home_stays_the_same_directory() -> None:
    """The daemon changes to another one."""
    assert daemon_environment({"OCTET_HOME": "o"}) == {"OCTET_HOME": str(Path.cwd() / "o")}
