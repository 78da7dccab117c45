"""The cold path: no daemon, a broken one, a silent one. A valid answer within the deadline, and a
guarded tool stays guarded.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.redis_fixtures import stop_hard

from octet.base.processes import kill_all
from octet.daemon.process import control

from .machine import EVENTS, GUARD, PROJECT, Answer, Machine
from .test_pipe import ODD_PAYLOADS

# The deadlines of hooks/pipe.py, and what a busy machine may add to the process's own start and
# end.
TOTAL_S = {"SessionStart": 8.0, "SessionEnd": 1.2}
SLACK_S = 5.0


def run_in_time(
    machine: Machine, event: str, payload: bytes | None = None, **options: Any
) -> Answer:
    """The hook's answer, to a write in the shared checkout by default; fails where it takes longer
    than its deadline.
    """
    payload = machine.recorded("pre_tool_use_write") if payload is None else payload
    answer = machine.run(event, payload, **options, within_s=TOTAL_S.get(event, 4.0) + SLACK_S)
    answer.assert_valid()
    return answer


def assert_failure_policy(machine: Machine, events: tuple[str, ...] = (GUARD, "Stop")) -> None:
    """The guard blocks and says why; no other event is held up."""
    for event in events:
        answer = run_in_time(machine, event)
        assert answer.blocks == (event == GUARD), answer


@contextmanager
def listening(machine: Machine, behave: Callable[[socket.socket], None]) -> Iterator[None]:
    """Something that is no daemon has its socket; `behave` gets each connection."""
    machine.state.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(machine.state)
        listener.bind("daemon.sock")
        os.chdir(here)
        listener.listen(16)

        def serve() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                with link:
                    try:
                        behave(link)
                    except OSError:
                        pass  # the hook has had enough

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        (machine.state / "daemon.sock").unlink(missing_ok=True)


def read_all(link: socket.socket) -> None:
    while link.recv(65536):
        pass


def stay_silent(link: socket.socket) -> None:
    read_all(link)
    link.settimeout(60)
    while link.send(b""):
        pass
    link.recv(1)


def reply(data: bytes) -> Callable[[socket.socket], None]:
    def behave(link: socket.socket) -> None:
        read_all(link)
        link.sendall(data)

    return behave


def flood(link: socket.socket) -> None:
    read_all(link)
    while True:
        link.sendall(b"0" * 65536)


def trickle(link: socket.socket) -> None:
    read_all(link)
    while True:
        link.sendall(b"0")
        threading.Event().wait(0.05)


BROKEN = {
    "nothing": reply(b""),
    "half a reply": reply(b"0 100 0\n{"),
    "garbage": reply(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "another exit code": reply(b"1 0 0\n"),
    "more than it says": reply(b"0 0 0\n{}"),
    "no end": flood,
    "one byte after the other": trickle,
    "closes at once": lambda link: link.close(),
}


@pytest.mark.parametrize("behaviour", BROKEN)
def test_a_malformed_reply_is_no_reply(behaviour: str, machine: Machine) -> None:
    """Whatever has the socket talks nonsense: the guard blocks."""
    machine.set_command("exit 1")
    with listening(machine, BROKEN[behaviour]):
        assert_failure_policy(machine)


@pytest.mark.parametrize("event", [GUARD, "SessionEnd", "Stop"])
def test_a_daemon_that_accepts_and_never_answers(event: str, machine: Machine) -> None:
    """Each event ends within its own deadline."""
    done = threading.Event()

    def hold(link: socket.socket) -> None:
        read_all(link)
        done.wait(60)

    with listening(machine, hold):
        threads = [threading.Timer(TOTAL_S.get(event, 4.0) + SLACK_S, done.set)]
        threads[0].start()
        try:
            assert_failure_policy(machine, (event,))
        finally:
            threads[0].cancel()
            done.set()


def test_a_stopped_daemon(machine: Machine) -> None:
    """SIGSTOP: it is connected to and says nothing; after SIGCONT it answers again."""
    status = machine.start_daemon()
    stop_hard(status.supervisor)
    stop_hard(status.pid)
    try:
        assert_failure_policy(machine)
    finally:
        os.kill(status.pid, signal.SIGCONT)
        os.kill(status.supervisor, signal.SIGCONT)
    assert machine.run(GUARD).json["event"] == GUARD


def test_a_daemon_killed_in_the_middle_of_a_request(machine: Machine) -> None:
    """The hook asks again and is answered by the next worker."""
    first = machine.start_daemon()
    answer = run_in_time(machine, GUARD, b'{"fake": "die once"}')
    assert answer.json["worker"] != first.pid
    assert machine.command_runs == 0, "the supervisor did it"


def test_a_bug_in_the_service_is_answered_by_the_failure_policy(machine: Machine) -> None:
    """The daemon itself says so, and lives on."""
    first = machine.start_daemon()
    assert run_in_time(machine, GUARD, b'{"fake": "crash"}').blocks
    assert "systemMessage" in run_in_time(machine, "Stop", b'{"fake": "crash"}').json
    assert run_in_time(machine, GUARD).json["worker"] == first.pid
    assert machine.command_runs == 0, "it is as new as the code on the disk"


def test_a_daemon_that_fails_since_an_update_is_replaced(machine: Machine) -> None:
    """Its code is older than what is on the disk: the command is started, once, and the daemon
    asked again; hooks that come meanwhile wait for that.
    """
    machine.start_daemon()
    record = machine.state / "daemon.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "modified_ns": 1}))
    assert "systemMessage" in run_in_time(machine, "Stop", b'{"fake": "crash"}').json
    assert machine.command_runs == 1
    # In the place of the newer daemon: it has a record of its own, and does not fail.
    written = json.dumps({**json.loads(record.read_text()), "modified_ns": time.time_ns()})
    machine.set_command(f"sleep 0.5; echo {shlex.quote(written)} > {shlex.quote(str(record))}")
    answers = machine.run_together(8, "Stop", b'{"fake": "crash while outdated"}')
    assert [answer.json["event"] for answer in answers] == ["Stop"] * 8
    assert machine.command_runs == 2


def test_while_octet_is_updated_a_session_goes_on(machine: Machine) -> None:
    """The guard says why it blocks; other hooks stay silent, because the next one is answered."""
    machine.start_daemon()
    record = machine.state / "daemon.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "modified_ns": 1}))
    at_work = machine.state / "at work"
    at_work.touch()
    machine.set_command(f"while [ -e {shlex.quote(str(at_work))} ]; do sleep 0.1; done")
    guarded = run_in_time(machine, GUARD, machine.recorded("pre_tool_use_write", fake="crash"))
    assert guarded.blocks
    assert b"is being updated" in guarded.out + guarded.err
    assert run_in_time(machine, "Stop", b'{"fake": "crash"}').out == b""
    at_work.unlink()


@pytest.mark.parametrize("name", ODD_PAYLOADS)
def test_any_payload_is_answered_without_a_daemon(name: str, machine: Machine) -> None:
    """And a guarded tool stays guarded, whatever it is given."""
    machine.set_command("exit 1")
    assert run_in_time(machine, GUARD, ODD_PAYLOADS[name]).blocks
    assert not run_in_time(machine, "Stop", ODD_PAYLOADS[name]).blocks


def test_input_that_never_ends(machine: Machine) -> None:
    """A client that forgets to close standard input gets an answer all the same."""
    machine.start_daemon()
    for event in (GUARD, "SessionEnd"):
        process = machine.begin(event)
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"{")
        process.stdin.flush()
        code = process.wait(TOTAL_S.get(event, 4.0) + SLACK_S)
        answer = Answer(code, process.stdout.read(), process.stderr.read())
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
        answer.assert_valid()
        assert answer.blocks == (event == GUARD)


def test_a_hook_starts_the_daemon(machine: Machine) -> None:
    """Nothing has to be started by hand; the next hook finds it."""
    first = run_in_time(machine, GUARD)
    assert first.json["event"] == GUARD
    assert run_in_time(machine, GUARD).json["worker"] == first.json["worker"]
    assert machine.command_runs == 1


def test_the_daemon_keeps_nothing_of_the_hook_that_started_it(machine: Machine) -> None:
    """A held pipe would block the tool; a session's key or variables are its own."""
    environment = {
        **machine.environment,
        "ANTHROPIC_API_KEY": "secret",
        "CLAUDE_PID": "1",
        "OCTET_REDIS_URL": "redis://localhost/1",
    }
    assert machine.run("SessionStart", environment=environment).code == 0
    status = control.status()
    assert status
    for pid in (status.pid, status.supervisor):
        assert os.getsid(pid) != os.getsid(0)
        if Path("/proc").is_dir():
            kept = {
                entry.split(b"=")[0]
                for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            }
            assert not kept & {b"ANTHROPIC_API_KEY", b"CLAUDE_PID", b"OCTET_REDIS_URL"}
            for fd in range(2):
                assert Path(f"/proc/{pid}/fd/{fd}").readlink() == Path(os.devnull)


def test_two_hundred_hooks_at_once_start_one_daemon(machine: Machine) -> None:
    """All are answered by the same worker."""
    answers = machine.run_together(200, GUARD)
    assert [answer for answer in answers if answer.code] == []
    assert len({answer.json["worker"] for answer in answers}) == 1
    assert machine.command_runs == 1


def test_a_broken_installation_is_not_tried_at_every_hook(machine: Machine) -> None:
    """The reason is remembered and told; the attempts become rare."""
    machine.set_command("echo 'octet: the disk is full' >&2; exit 3")
    reasons = [run_in_time(machine, "Stop").json["systemMessage"] for _ in range(8)]
    assert all("the disk is full" in reason for reason in reasons)
    assert machine.command_runs < 4
    assert run_in_time(machine, GUARD).blocks


def test_a_worker_that_cannot_start(machine: Machine) -> None:
    """The supervisor gives up, and the reason is the worker's own last line."""
    broken = machine.octet.with_name("broken.py")
    broken.write_text("raise ImportError('no module named redis')\n")
    script = (
        f"import sys; sys.path.insert(0, {str(PROJECT / 'src')!r})\n"
        "from octet.daemon.process import control\n"
        f"try: control.start(worker=[sys.executable, {str(broken)!r}])\n"
        "except control.DaemonFailed as error: sys.exit(f'octet: {error}')\n"
    )
    start = machine.octet.with_name("start.py")
    start.write_text(script)
    machine.set_command(f'exec "{os.path.realpath("/proc/self/exe")}" "{start}"')
    answer = run_in_time(machine, "Stop")
    assert "no module named redis" in answer.json["systemMessage"]
    assert run_in_time(machine, GUARD).blocks


@pytest.mark.parametrize("command", ["missing", "not executable", "never ends"])
def test_no_daemon_possible(command: str, machine: Machine) -> None:
    """No command to start it with, or one that hangs."""
    if command == "never ends":
        machine.set_command("exec sleep 20")
    else:
        machine.octet.chmod(0o644) if command == "not executable" else machine.octet.unlink()
    environment = {**machine.environment, "PATH": "/nowhere"}
    machine.environment = (
        {**environment, "PATH": "/usr/bin:/bin"} if command == "never ends" else environment
    )
    assert_failure_policy(machine)
    kill_all(machine.environment["HOME"])  # the command that never ends


def test_while_octet_is_being_set_up_a_session_goes_on(machine: Machine) -> None:
    """SessionStart says so, other events are silent, the guard follows the failure policy; and it
    is not asked again at each hook.
    """
    machine.set_command('[ "$OCTET_SETUP" = background ] && exit 75; exit 1')
    assert "setting itself up" in run_in_time(machine, "SessionStart").json["systemMessage"]
    for _ in range(5):
        assert run_in_time(machine, "UserPromptSubmit") == Answer(0, b"", b"")
    assert run_in_time(machine, GUARD).blocks
    assert machine.command_runs < 5


def test_a_state_directory_that_cannot_be_used(machine: Machine) -> None:
    """A file where the socket should be, and a full or read-only disk as far as a hook can tell."""
    (machine.state / "daemon.start").mkdir()
    assert_failure_policy(machine)


def test_every_event_has_an_answer_without_a_daemon(machine: Machine) -> None:
    """Valid for the client, and only the guard blocks."""
    machine.set_command("exit 1")
    assert_failure_policy(machine, tuple(EVENTS))


def test_without_the_package_the_guard_still_blocks(machine: Machine) -> None:
    """The hooks alone, copied somewhere, with nothing else of Octet left."""
    hooks = machine.octet.with_name("hooks")
    hooks.mkdir()
    for name in ("launch", "pipe.py", "cold.py"):
        (hooks / name).write_bytes((PROJECT / "hooks" / name).read_bytes())
    (machine.state / "interpreter").write_text(
        f"{os.path.realpath('/proc/self/exe')}\n/nowhere\n/nowhere/octet\n"
    )
    answer = machine.run(GUARD, launch=["/bin/sh", str(hooks / "launch")])
    answer.assert_valid()
    assert answer.blocks
    (hooks / "cold.py").unlink()
    answer = machine.run(GUARD, launch=["/bin/sh", str(hooks / "launch")])
    answer.assert_valid()
    assert answer.blocks


def test_the_repositorys_own_policy_counts(machine: Machine) -> None:
    """`on_store_down` is read without a daemon, too."""
    machine.set_command("exit 1")
    settings = machine.repository / ".claude" / "octet.toml"
    settings.write_text('project = "shop"\non_store_down = "allow"\n')
    assert not run_in_time(machine, GUARD).blocks
    settings.write_text('project = "shop"\non_store_dwon = "allow"\n')
    assert run_in_time(machine, GUARD).blocks


def test_a_message_names_what_to_do(machine: Machine) -> None:
    """One line, with a command in it."""
    machine.set_command("exit 1")
    message = run_in_time(machine, "Stop").json["systemMessage"]
    assert "\n" not in message
    assert "octet" in message.lower()
    assert json.dumps(message)
