"""A command that is run to its end: its status and output, and that nothing of it goes on after
its end, whatever ends it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from tests.support.repositories import alive, poll

from octet.base import commands
from octet.base.commands import kill_group, read_tail, run_command, wait_for_end

SOURCES = str(Path(commands.__file__).parents[2])


@pytest.fixture
def output() -> Iterator[IO[bytes]]:
    """A file for what a command says."""
    with tempfile.TemporaryFile() as file:
        yield file


def sh(line: str) -> list[str]:
    return ["/bin/sh", "-c", line]


def leaving(pid_file: Path, then: str) -> list[str]:
    """A command that leaves a process in the background."""
    return sh(f"sleep 60 & echo $! > {shlex.quote(str(pid_file))}; {then}")


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, whose descriptors are all known."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=True,
    )


def is_written(pid_file: Path) -> bool:
    return pid_file.exists() and pid_file.read_text().endswith("\n")


def test_what_it_is_given(tmp_path: Path, output: IO[bytes]) -> None:
    """Words as they are, a directory, an environment, standard input and a descriptor to keep."""
    given = tmp_path / "given"
    given.write_text("from the file\n")
    reading, writing = os.pipe()
    status = run_command(
        [
            *sh('pwd; echo "$1 $A"; cat; echo kept >"/dev/fd/$2"'),
            "sh",
            "two  words; $A",
            str(writing),
        ],
        output,
        directory=tmp_path,
        given=str(given),
        environment={"A": "a", "PATH": os.environ["PATH"]},
        kept=[writing],
    )
    os.close(writing)
    assert (status, os.read(reading, 100)) == (0, b"kept\n")
    assert read_tail(output, 1000) == f"{tmp_path}\ntwo  words; $A a\nfrom the file\n"
    os.close(reading)


@pytest.mark.parametrize("kept", [[3], [3, 4, 5]])
def test_every_descriptor_can_be_kept(kept: list[int]) -> None:
    """The shell that watches needs one itself, and takes one that is free."""
    done = run_python(
        "import os, sys; from octet.base.commands import run_command; "
        f"[os.dup2(1, number) for number in {kept}]; "
        f"run_command(['/bin/sh', '-c', 'for fd in {' '.join(map(str, kept))}; do "
        f"echo $fd >/dev/fd/$fd; done'], sys.stderr, kept={kept})"
    )
    assert (done.stdout.split(), done.stderr) == ([str(number) for number in kept], "")


@pytest.mark.parametrize(
    ("words", "status"),
    [(sh("exit 3"), 3), (sh("kill -9 $$"), -signal.SIGKILL), (["/no/such/program"], 127)],
)
def test_the_status(words: list[str], status: int, output: IO[bytes]) -> None:
    """Of the command's end, negative for a signal; 127 for a program that is missing."""
    assert run_command(words, output) == status


def test_standard_error(output: IO[bytes]) -> None:
    """It goes where the output goes, in order, or to a file of its own."""
    run_command(sh("echo one; echo two >&2; echo three"), output)
    assert read_tail(output, 100) == "one\ntwo\nthree\n"
    with tempfile.TemporaryFile() as errors:
        run_command(sh("echo one; echo two >&2"), output, errors=errors)
        assert read_tail(errors, 100) == "two\n"


def test_what_cannot_be_started(tmp_path: Path, output: IO[bytes]) -> None:
    """A directory that is missing, a word that no program can be given."""
    with pytest.raises(OSError, match="missing"):
        run_command(sh("true"), output, directory=tmp_path / "missing")
    with pytest.raises(ValueError, match="null"):
        run_command(["echo", "a\0b"], output)


@pytest.mark.parametrize("then", ["true", "false"])
def test_what_it_leaves_running_ends_with_it(tmp_path: Path, output: IO[bytes], then: str) -> None:
    """A server that it started and forgot, however it ended itself."""
    run_command(leaving(tmp_path / "pid", then), output)
    poll(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_the_end_of_its_time(tmp_path: Path, output: IO[bytes]) -> None:
    """It has no status then, and nothing of it goes on."""
    assert run_command(leaving(tmp_path / "pid", "wait"), output, limit_s=0.5) is None
    poll(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_a_stop(tmp_path: Path, output: IO[bytes]) -> None:
    """Asked for from another thread; before the time is over as well."""
    stop = threading.Event()

    def stop_it() -> None:
        poll(lambda: is_written(tmp_path / "pid"))
        stop.set()

    thread = threading.Thread(target=stop_it)
    thread.start()
    assert run_command(leaving(tmp_path / "pid", "wait"), output, limit_s=60, stop=stop) is None
    thread.join()
    poll(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_it_has_no_child_that_it_did_not_start(output: IO[bytes]) -> None:
    """A program that waits for all its children, as `make` does, ends."""
    wait_for_all = "import os\ntry:\n  os.wait()\nexcept ChildProcessError:\n  print('none')"
    assert run_command([sys.executable, "-c", wait_for_all], output, limit_s=30) == 0
    assert read_tail(output, 100) == "none\n"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_the_process_that_runs_it(tmp_path: Path, how: signal.Signals) -> None:
    """However that one ends, the whole group of the command ends too."""
    code = (
        "import signal, sys; from octet.base.commands import run_command; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"run_command({leaving(tmp_path / 'pid', 'wait')!r}, sys.stdout)"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": SOURCES},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    poll(lambda: is_written(tmp_path / "pid"))
    runner.send_signal(how)
    runner.wait(10)
    poll(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_what_leaves_something_on_purpose(tmp_path: Path) -> None:
    """`wait_for_end` alone kills what has not ended in time, and leaves the rest."""
    done = subprocess.Popen(leaving(tmp_path / "pid", "true"), start_new_session=True)
    assert wait_for_end(done, 30) == 0
    left = int((tmp_path / "pid").read_text())
    assert alive(left)
    os.kill(left, signal.SIGKILL)
    late = subprocess.Popen(leaving(tmp_path / "late", "wait"), start_new_session=True)
    poll(lambda: is_written(tmp_path / "late"))
    assert wait_for_end(late, 0.1) is None
    poll(lambda: not alive(int((tmp_path / "late").read_text())))


def test_a_group_is_killed_once(tmp_path: Path) -> None:
    """The second time it may be another's group of the same number."""
    process = subprocess.Popen(leaving(tmp_path / "pid", "wait"), start_new_session=True)
    poll(lambda: is_written(tmp_path / "pid"))
    kill_group(process)
    assert process.returncode == -signal.SIGKILL
    kill_group(process)
    poll(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_the_tail_of_a_long_output(output: IO[bytes]) -> None:
    """Only the last bytes, with a mark for what is no text."""
    run_command(sh("head -c 100000 /dev/zero; printf '\\377end'"), output)
    assert read_tail(output, 5) == "\0\ufffdend"
    assert len(read_tail(output, 4000)) == 4000
