"""How a member in a window of tmux has ended: by what tmux says one look after the other, and by a
real one.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from octet.crew import tmux
from octet.crew.hosts import Exit, Launch
from octet.crew.tmux import TmuxHost

PANE = "%7"


@pytest.fixture
def host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: Callable[[str], None]
) -> Iterator[TmuxHost]:
    """A crew's windows, on a tmux server of their own that is not running yet."""
    if shutil.which("tmux") is None:
        missing("needs tmux")
    monkeypatch.setenv("TMUX_TMPDIR", str(tmp_path))
    monkeypatch.delenv("TMUX", raising=False)
    yield TmuxHost("shop", tmp_path, str(tmp_path))
    subprocess.run(["tmux", "kill-server"], capture_output=True, check=False)


@pytest.mark.parametrize(
    ("looks", "ended", "window"),
    [
        (["0::", "1::", "1::", "1:0:"], Exit(0), False),
        (["1::", "1::9"], Exit(-9), True),
        (["1:3:"], Exit(3), True),
        ([""], Exit(0), False),
        (["0::", ""], Exit(0), False),
        (["1::"], Exit(None), True),
        (["0::"], Exit(None), True),
    ],
)
def test_how_a_member_ended(
    host: TmuxHost, monkeypatch: pytest.MonkeyPatch, looks: list[str], ended: Exit, window: bool
) -> None:
    """tmux sees the terminal closed before it knows an exit status; a member that a person ended
    must not pass for one that crashed.
    """
    host._panes["developer-1"] = PANE
    said = itertools.chain(looks, itertools.repeat(looks[-1]))
    monkeypatch.setattr(tmux, "NOTICES_WITHIN_S", 0.2)
    monkeypatch.setattr(
        host, "_run", lambda *words: [next(said)] if words[0] == "display-message" else []
    )
    assert host.reap("developer-1") == ended
    assert ("developer-1" in host._panes) == window


def test_no_exit_status_is_missed(host: TmuxHost, tmp_path: Path) -> None:
    """A tmux server that has lost the signal of an end is made to look: each status is known, also
    of one that ends at once.
    """
    for number in range(10):
        code = number % 2 * 3
        name = f"developer-{number}"
        host.start(Launch(name, "/bin/sh", ["-c", f"exit {code}"], "", str(tmp_path), {}))
        begun = time.monotonic()
        assert host.reap(name) == Exit(code)
        assert time.monotonic() - begun < tmux.NOTICES_WITHIN_S
