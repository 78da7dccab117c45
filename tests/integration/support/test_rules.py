"""The rules that every test is held to, shown by planted tests that break them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
IMPATIENT = "from tests.support import leftovers\nleftovers.SETTLE_S = 0.2\n"


def run_planted(directory: Path, text: str, *, before: str = "") -> str:
    """The output of pytest over one planted file; the shell that starts it runs `before`."""
    (directory / "test_planted.py").write_text(text)
    options = [
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        f"--rootdir={directory}",
    ]
    shell = ["sh", "-c", f'{before} exec "$@"', "sh"]
    return subprocess.run(
        [*shell, sys.executable, "-m", "pytest", *options, "-q", str(directory)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    ).stdout


def test_a_unit_test_is_pure(tmp_path: Path) -> None:
    """One that starts git or a server, sleeps or leaves the machine fails, and says what it did."""
    lines = {
        "subprocess.run(['git', '--version'])": "started git",
        "subprocess.run(['/nowhere/redis-server', '--version'])": "started redis-server",
        "time.sleep(0.001)": "slept 0.001 s",
        "socket.socket().connect_ex(('192.0.2.1', 9))": "connected to ('192.0.2.1', 9)",
        "subprocess.run(['true'])": "",
    }
    (tmp_path / "conftest.py").write_text((ROOT / "tests/unit/conftest.py").read_text())
    text = "import contextlib, socket, subprocess, time\nsocket.setdefaulttimeout(0.01)\n"
    for number, line in enumerate(lines):
        text += f"def test_{number}():\n    with contextlib.suppress(OSError):\n        {line}\n"
    said = run_planted(tmp_path, text)
    assert "5 passed, 4 errors" in said, said
    assert all(f"not a unit test: it {broken}" in said for broken in lines.values())


def test_a_process_that_a_test_leaves_is_its_own_failure(tmp_path: Path) -> None:
    """It is named and ended, and the next test does not meet it."""
    (tmp_path / "conftest.py").write_text(IMPATIENT)
    said = run_planted(
        tmp_path,
        "import subprocess\n"
        "from octet.base.processes import processes_of\n"
        "def test_first(temporary_home):\n"
        "    subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "    (temporary_home.parent / 'first').write_text(str(temporary_home))\n"
        "def test_second(temporary_home):\n"
        "    before = (temporary_home.parent / 'first').read_text()\n"
        "    assert processes_of(f'HOME={before}\\0') == {}\n",
    )
    assert "ERROR at teardown of test_first" in said
    assert "sleep 600" in said
    assert "2 passed, 1 error" in said


def test_children_begin_with_default_signals(tmp_path: Path) -> None:
    """Also in a run that a script started in the background, which ignores SIGINT and SIGQUIT."""
    asks = "import signal; print([signal.getsignal(n) is signal.SIG_IGN for n in (1, 2, 3, 15)])"
    said = run_planted(
        tmp_path,
        "import subprocess, sys\n"
        "def test_child():\n"
        f"    told = subprocess.run([sys.executable, '-c', {asks!r}], capture_output=True)\n"
        "    assert told.stdout == b'[False, False, False, False]\\n'\n",
        before="trap '' HUP INT QUIT TERM;",
    )
    assert "1 passed" in said, said
