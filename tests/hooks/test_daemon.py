"""The daemon's processes: one of each, whatever is killed, removed, stopped, started at once or
replaced by a newer version.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.support.redis_fixtures import stop_hard

from octet.base.process import identify
from octet.daemon import supervisor
from octet.daemon.process import control
from octet.daemon.process.status import Status

from .machine import FAKE_DAEMON, GUARD, PROJECT, Machine, wait_for


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    os.kill(pid, number)


def is_gone(*pids: int) -> bool:
    return not any(identify(pid) for pid in pids)


def another(before: Status, what: str) -> Status:
    """The status once the process in its field `what` is another one."""

    def changed() -> Status | None:
        now = control.status()
        return now if now and getattr(now, what) != getattr(before, what) else None

    status = wait_for(changed, f"another {what}")
    assert isinstance(status, Status)
    return status


def test_there_is_one_however_many_start_it(machine: Machine) -> None:
    """Thirty processes at once: all succeed, with the same two processes."""
    command = [sys.executable, str(FAKE_DAEMON), "daemon", "start"]
    environment = {**os.environ, **machine.environment}
    starters = [
        subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(30)
    ]
    assert [(starter.communicate(timeout=60)[1], starter.returncode) for starter in starters] == [
        (b"", 0)
    ] * 30
    log = (machine.state / "daemon.log").read_text()
    assert log.count("serves as pid") == 1


def test_stop_returns_when_it_is_gone(machine: Machine) -> None:
    """No process, no socket, no record; a second stop has nothing to do."""
    status = machine.start_daemon()
    assert control.stop()
    wait_for(lambda: is_gone(status.pid, status.supervisor), "both processes to end")
    assert not {"daemon.sock", "daemon.json"} & {path.name for path in machine.state.iterdir()}
    assert not control.stop()
    assert control.status() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("which", ["pid", "supervisor"])
def test_a_signal_ends_both(which: str, number: signal.Signals, machine: Machine) -> None:
    """Either of the two may get it."""
    status = machine.start_daemon()
    kill(getattr(status, which), number)
    wait_for(lambda: is_gone(status.pid, status.supervisor), "both processes to end")
    assert control.status() is None
    assert not (machine.state / "daemon.sock").exists()


def test_sighup_ends_neither(machine: Machine) -> None:
    """A terminal that is closed is no reason."""
    status = machine.start_daemon()
    kill(status.pid, signal.SIGHUP)
    kill(status.supervisor, signal.SIGHUP)
    now = control.status()
    assert now
    assert (now.pid, now.supervisor) == (status.pid, status.supervisor)


def test_a_killed_worker_is_replaced(machine: Machine) -> None:
    """Again and again, under the same supervisor; no hook meets a closed door."""
    status = machine.start_daemon()
    for _ in range(3):
        kill(status.pid)
        assert machine.run(GUARD).code == 0
        status = another(status, "pid")
    assert machine.command_runs == 0


def test_a_killed_supervisor_is_replaced(machine: Machine) -> None:
    """By the worker, which goes on; and the new one does all that the first did."""
    first = machine.start_daemon()
    kill(first.supervisor)
    second = another(first, "supervisor")
    assert second.pid == first.pid
    kill(second.pid)
    third = another(second, "pid")
    assert third.supervisor == second.supervisor
    kill(third.supervisor)
    fourth = another(third, "supervisor")
    assert (
        json.loads((machine.state / "daemon.json").read_text())["supervisor"] == fourth.supervisor
    )
    assert control.stop()
    wait_for(lambda: is_gone(fourth.pid, fourth.supervisor), "both processes to end")


@pytest.mark.chaos
def test_no_hook_is_lost_while_its_processes_are_killed(machine: Machine) -> None:
    """Six kills among hooks that never pause: a worker answers each, and none is blocked."""
    status = machine.start_daemon()
    answers, done = [], threading.Event()

    def keep_asking() -> None:
        while not done.is_set():
            answers.append(machine.run(GUARD))

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for what in ("pid", "supervisor") * 3:
            kill(getattr(status, what))
            status = another(status, what)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert [answer for answer in answers if answer.code or answer.blocks] == []
    assert len({answer.json["worker"] for answer in answers}) >= 3


def test_both_killed_are_replaced_by_the_next_hook(machine: Machine) -> None:
    """The socket they leave behind is stale and is taken over."""
    status = machine.start_daemon()
    stop_hard(status.supervisor)  # it must not see the worker's end
    kill(status.pid)
    kill(status.supervisor)
    assert (machine.state / "daemon.sock").exists()
    assert machine.run(GUARD).json["worker"] != status.pid


def test_a_worker_that_hangs_is_replaced(machine: Machine) -> None:
    """Stopped, it neither beats nor answers: its supervisor kills it before a lease has run out."""
    status = machine.start_daemon()
    stop_hard(status.pid)
    wait_for(lambda: is_gone(status.pid), "the end of the one that hangs")
    assert machine.run(GUARD).json["worker"] != status.pid


def test_stop_ends_what_hangs(machine: Machine) -> None:
    """Where neither process answers, both are killed."""
    status = machine.start_daemon()
    stop_hard(status.supervisor)
    stop_hard(status.pid)
    with pytest.raises(control.DaemonFailed, match="octet daemon stop"):
        control.status(timeout_s=0.2)
    assert control.stop(within_s=1)
    assert is_gone(status.pid, status.supervisor)


def test_it_ends_when_nobody_is_left(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """No live agent and no hook for a while; the next hook starts it again."""
    monkeypatch.setenv("OCTET_DAEMON_IDLE_S", "0.3")
    status = machine.start_daemon()
    wait_for(lambda: is_gone(status.pid, status.supervisor), "its end")
    assert not (machine.state / "daemon.sock").exists()
    assert machine.run(GUARD).json["worker"] != status.pid


def test_it_stays_as_long_as_an_agent_lives(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However quiet that agent is."""
    monkeypatch.setenv("OCTET_DAEMON_IDLE_S", "0.1")
    (machine.state / "agents").write_text("1")
    status = machine.start_daemon()
    assert status.agents == 1
    wait_for(lambda: (now := control.status()) and now.uptime_s > 1, "a quiet second")
    (machine.state / "agents").write_text("0")
    wait_for(lambda: is_gone(status.pid, status.supervisor), "its end")


def test_a_removed_socket_comes_back(machine: Machine) -> None:
    """After the socket is removed, hooks find it again, and its supervisor is the same."""
    status = machine.start_daemon()
    (machine.state / "daemon.sock").unlink()
    wait_for((machine.state / "daemon.sock").exists, "the socket")
    now = control.status()
    assert now
    assert now.supervisor == status.supervisor


def test_it_ends_with_its_state_directory(machine: Machine) -> None:
    """The daemon is unreachable without it; a new directory gets its own daemon, which the old one
    leaves alone.
    """
    status = machine.start_daemon()
    shutil.rmtree(machine.state)
    machine.state.mkdir(mode=0o700)
    second = machine.start_daemon()
    wait_for(lambda: is_gone(status.pid, status.supervisor), "the end of the first")
    assert second.pid != status.pid
    now = control.status()
    assert now
    assert now.pid == second.pid
    assert (machine.state / "daemon.sock").exists()


def test_a_request_that_was_taken_is_answered_before_the_end(
    machine: Machine, tmp_path: Path
) -> None:
    """SIGTERM while a hook waits for its answer."""
    status = machine.start_daemon()
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    process = machine.begin(GUARD)
    assert process.stdin
    process.stdin.write(json.dumps({"fake": f"wait {fifo}"}).encode())
    process.stdin.close()
    process.stdin = None
    with fifo.open("w"):  # opens when the service has it open
        kill(status.pid, signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert json.loads(out)["worker"] == status.pid
    wait_for(lambda: is_gone(status.pid, status.supervisor), "both processes to end")


def test_the_log_says_what_happened(machine: Machine) -> None:
    """One line each for start and end, in UTC."""
    machine.start_daemon()
    control.stop()
    first, *_, last = (machine.state / "daemon.log").read_text().splitlines()
    assert "serves as pid" in first
    assert "daemon ends, all answered" in last
    assert first.split(" ")[0].endswith("Z")


def test_a_lost_or_full_disk_does_not_end_it(machine: Machine) -> None:
    """Its log and its record are directories, so that they cannot be written."""
    for name in ("daemon.log", "daemon.json.tmp", "daemon.err"):
        (machine.state / name).mkdir(parents=True)
    machine.start_daemon()
    assert machine.run(GUARD).code == 0


def test_its_files_are_private(machine: Machine) -> None:
    """The directory, the socket, the log."""
    machine.state.chmod(0o755)
    machine.start_daemon()
    assert machine.state.stat().st_mode & 0o777 == 0o700
    for name in ("daemon.sock", "daemon.log", "daemon.json", "daemon.lock"):
        assert (machine.state / name).stat().st_mode & 0o077 == 0, name


def test_it_stays_small(machine: Machine) -> None:
    """The supervisor below 10 MB, as promised."""
    status = machine.start_daemon()
    if not Path("/proc").is_dir():
        pytest.skip("needs /proc")
    resident_kb = int(
        Path(f"/proc/{status.supervisor}/status").read_text().split("VmRSS:")[1].split()[0]
    )
    assert resident_kb < 10 * 1024


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A copy of the package that says it is version 99, and a fake daemon on it."""
    source = tmp_path / "newer" / "src"
    shutil.copytree(
        PROJECT / "src" / "octet", source / "octet", ignore=shutil.ignore_patterns("__pycache__")
    )
    init = source / "octet" / "__init__.py"
    init.write_text(init.read_text().replace('__version__ = "', '__version__ = "99.'))
    script = tmp_path / "newer" / "tests" / "hooks" / "fake_daemon.py"
    script.parent.mkdir(parents=True)
    shutil.copy(FAKE_DAEMON, script)
    return script


def start_with(script: Path, machine: Machine) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **machine.environment}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, str(script), "daemon", "start"]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_newer_version_takes_over_and_no_hook_notices(newer: Path, machine: Machine) -> None:
    """Every hook meanwhile is answered on the hot path, by the old daemon, then by the new one."""
    old = machine.start_daemon()
    answers, done = [], threading.Event()

    def keep_asking() -> None:
        while not done.is_set():
            answers.append(machine.run(GUARD))

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert start_with(newer, machine).returncode == 0
        new = control.status()
        assert new
        wait_for(lambda: answers[-1].json["worker"] == new.pid, "an answer of the new one")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert {answer.code for answer in answers} == {0}
    assert {answer.json["worker"] for answer in answers} == {old.pid, new.pid}
    assert machine.command_runs == 0
    assert new.version.startswith("99.")
    assert new.supervisor == old.supervisor
    wait_for(lambda: is_gone(old.pid), "the end of the old worker")


def test_an_older_version_leaves_a_newer_one_alone(newer: Path, machine: Machine) -> None:
    """Starting is then nothing but finding it; two versions never take turns."""
    assert start_with(newer, machine).returncode == 0
    before = control.status()
    assert before
    after = machine.start_daemon()
    assert (after.pid, after.version) == (before.pid, before.version)


def test_a_broken_update_leaves_the_old_one(newer: Path, machine: Machine) -> None:
    """It is tried out before the old one is asked to go, and the reason is told."""
    old = machine.start_daemon()
    newer.write_text(
        newer.read_text().replace(
            "class FakeLiveness:", "import nothing_like_this\n\n\nclass FakeLiveness:"
        )
    )
    broken = newer.with_name("worker.py")
    newer.rename(broken)
    shutil.copy(FAKE_DAEMON, newer)
    newer.write_text(
        newer.read_text().replace('"-P", __file__, "worker"', f'"-P", {str(broken)!r}, "worker"')
    )
    done = start_with(newer, machine)
    assert done.returncode == 1
    assert "nothing_like_this" in done.stderr
    now = control.status()
    assert now
    assert now.pid == old.pid


def test_a_newer_version_that_does_not_start_leaves_the_old_one(machine: Machine) -> None:
    """Its supervisor cannot even be run: the old version's starts a worker of its own again."""
    old = machine.start_daemon()
    wrong = {"supervisor": ["/nowhere/python"], "worker": ["/nowhere/python"]}
    control._ask("replace", 5.0, json.dumps(wrong).encode())
    now = another(old, "pid")
    assert (now.supervisor, now.version) == (old.supervisor, old.version)


def test_the_arguments_of_a_supervisor_are_a_contract() -> None:
    """An older version composes them for a newer one: STATE LOCK LISTENER WORKER_PID BEAT LIFE
    COMMAND after the number 1.
    """
    from octet.daemon.process import commands

    assert commands.supervisor_command(Path("/s"), 3, 4, ["w", "x"], adopt=(5, 6, 7))[-9:] == [
        "1",
        "/s",
        "3",
        "4",
        "5",
        "6",
        "7",
        "w",
        "x",
    ]
    assert commands.CONTRACT == "1"
    refused = subprocess.run(
        [sys.executable, "-I", "-S", supervisor.__file__, "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr == "supervisor: unknown contract 2\n"
