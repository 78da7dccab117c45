"""Where state, cache and sockets lie, whatever the environment says."""

from __future__ import annotations

import os
import pwd
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from octet.base import dirs
from octet.base.errors import UsageError


@pytest.mark.parametrize(
    ("environment", "state", "cache"),
    [
        ({"HOME": "/h"}, "/h/.local/state/octet", "/h/.cache/octet"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c"}, "/s/octet", "/c/octet"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/s", "OCTET_HOME": "/o"}, "/o", "/o/cache"),
        (
            {"HOME": "/h", "XDG_STATE_HOME": "", "OCTET_HOME": ""},
            "/h/.local/state/octet",
            "/h/.cache/octet",
        ),
    ],
)
def test_which_directories(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], state: str, cache: str
) -> None:
    """OCTET_HOME goes before XDG, XDG before the home directory; an empty variable is none."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (str(dirs.state_dir()), str(dirs.cache_dir())) == (state, cache)


def test_a_relative_directory_is_of_where_the_command_began(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A relative OCTET_HOME is made absolute, as hooks/launch makes it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCTET_HOME", "state")
    assert dirs.state_dir() == Path.cwd() / "state"


def test_no_home_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without HOME and without an entry for the user, the message says what to set."""

    def no_user(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", no_user)
    with pytest.raises(UsageError, match="OCTET_HOME"):
        dirs.state_dir()


def test_make_private(tmp_path: Path) -> None:
    """A directory and its parents have mode 0700; one that others can enter is closed to them."""
    made = dirs.make_private(tmp_path / "a" / "b")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    made.chmod(0o755)
    assert stat.S_IMODE(dirs.make_private(made).stat().st_mode) == 0o700


def test_a_directory_that_cannot_be(tmp_path: Path) -> None:
    """A file in its place, or above it, is one line that names it."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="file") as error:
            dirs.make_private(path)
        assert "\n" not in str(error.value)


def test_another_users_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that belongs to another user is not used."""
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(UsageError, match="belongs to another user"):
        dirs.make_private(tmp_path)


@pytest.fixture
def temporary(short_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A short temporary directory for links."""
    monkeypatch.setattr(tempfile, "tempdir", str(short_directory))
    return short_directory


def test_a_short_path_is_itself(temporary: Path) -> None:
    """A path that fits needs no link."""
    assert dirs.short_path(Path("/run/s.sock")) == "/run/s.sock"
    assert list(temporary.iterdir()) == []


def test_a_long_path_is_reached_by_a_link(temporary: Path, tmp_path: Path) -> None:
    """A socket in a directory of any length, in whatever script, can be bound and connected to by
    its short name.
    """
    home = tmp_path / ("ü" * 60) / "x"
    home.mkdir(parents=True)
    name = dirs.short_path(home / "daemon.sock")
    assert len(os.fsencode(name)) <= dirs.SOCKET_PATH_LIMIT
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(name)
        listener.listen()
        client.connect(dirs.short_path(home / "daemon.sock"))
    assert (home / "daemon.sock").is_socket()
    assert stat.S_IMODE((temporary / f"octet-{os.getuid()}").stat().st_mode) == 0o700


def test_a_link_that_leads_elsewhere_is_set_right(temporary: Path, tmp_path: Path) -> None:
    """A link left for another directory is replaced; another socket beside it keeps its own."""
    home = tmp_path / ("x" * 100)
    home.mkdir()
    link = Path(dirs.short_path(home / "s")).parent
    link.unlink()
    link.symlink_to(temporary)
    assert Path(dirs.short_path(home / "s")).parent.resolve() == home.resolve()


def test_a_planted_link_is_not_followed(temporary: Path, tmp_path: Path) -> None:
    """The target of a link planted as our directory in /tmp keeps its mode and gets no file."""
    target = tmp_path / "precious"
    target.mkdir(mode=0o755)
    (temporary / f"octet-{os.getuid()}").symlink_to(target)
    with pytest.raises(UsageError, match="link"):
        dirs.short_path(tmp_path / ("x" * 100) / "s")
    assert (stat.S_IMODE(target.stat().st_mode), list(target.iterdir())) == (0o755, [])
