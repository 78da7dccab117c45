"""A newer plugin's daemon is started by the session that brings it, and by no other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from octet.daemon.process import upgrade
from octet.daemon.process.build import Build
from octet.daemon.process.upgrade import LOOK_AGAIN_S, Upgrading
from octet.daemon.protocol.wire import SERVE, Reply, Request

OWN = Build("1.0.0", "own", 5)


class Service:
    def handle(self, request: Request) -> Reply:
        return Reply(0, request.event.encode())


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a plugin of some version whose command only leaves a mark."""

    def make(version: str) -> Path:
        package, programs = tmp_path / "src" / "octet", tmp_path / "bin"
        package.mkdir(parents=True)
        programs.mkdir()
        (package / "__init__.py").write_text(f'__version__ = "{version}"\n')
        (programs / "octet").write_text('#!/bin/sh\necho "$OCTET_SETUP $*" >> "$0.runs"\n')
        (programs / "octet").chmod(0o755)
        return tmp_path

    return make


def runs(plugin: Path) -> str:
    """What the plugin's command was asked, once every upgrade thread has ended."""
    for thread in threading.enumerate():
        if thread.name == "upgrade":
            thread.join(20)
    marks = plugin / "bin" / "octet.runs"
    return marks.read_text() if marks.exists() else ""


def ask(plugin: Path, event: str = "SessionStart") -> None:
    assert (
        Upgrading(Service(), OWN).handle(Request(event, plugin=str(plugin))).stdout
        == event.encode()
    )


class Serving:
    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    def handle(self, _: Request) -> Reply:
        return self.reply


def test_a_command_is_told_which_build_serves_it() -> None:
    """Where it is served; a refusal reaches it as it is."""
    for reply, expected in [(Reply(), Reply(0, b"own")), (Reply(2, b"", b"no"),) * 2]:
        assert Upgrading(Serving(reply), OWN).handle(Request(SERVE)) == expected


def test_a_newer_command_takes_over(
    plugin: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty commands in a row look at it once, until some time has passed."""
    now_s = 100.0
    monkeypatch.setattr(upgrade, "time", SimpleNamespace(monotonic=lambda: now_s))
    newer = plugin("1.0.1")
    upgrading = Upgrading(Serving(Reply()), OWN)
    for _ in range(50):
        upgrading.handle(Request(SERVE, plugin=str(newer)))
    assert runs(newer) == "background daemon start\n"
    now_s += LOOK_AGAIN_S
    upgrading.handle(Request(SERVE, plugin=str(newer)))
    assert runs(newer) == "background daemon start\n" * 2


def test_a_newer_plugin_takes_over(plugin: Callable[[str], Path]) -> None:
    """By its own command; where that has to be set up first, it must not wait for it."""
    newer = plugin("1.0.1")
    ask(newer)
    assert runs(newer) == "background daemon start\n"


@pytest.mark.parametrize(("version", "event"), [("0.9.9", "SessionStart"), ("1.0.1", "Stop")])
def test_nothing_else_is_started(version: str, event: str, plugin: Callable[[str], Path]) -> None:
    """Not for an older plugin, nor at any other event."""
    other = plugin(version)
    ask(other, event)
    assert runs(other) == ""


def test_a_plugin_that_cannot_be_read_or_run_is_no_trouble(
    plugin: Callable[[str], Path], tmp_path: Path
) -> None:
    """The session's hook is answered all the same."""
    ask(tmp_path / "nowhere")
    newer = plugin("2.0.0")
    (newer / "bin" / "octet").unlink()
    ask(newer)
    assert runs(newer) == ""
