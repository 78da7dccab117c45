"""The hot path: what the client says reaches the daemon unchanged, what the daemon says reaches the
client, at the least cost.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from octet.daemon.protocol import wire

from .machine import EVENTS, GUARD, HOOKS, PAYLOADS, PYTHON, Answer, Machine, tree

# What the hot path may import, besides what a bare interpreter has loaded anyway.
ALLOWED = {"pipe", "_socket"}

ODD_PAYLOADS = {
    "empty": b"",
    "newline": b"\n",
    "not JSON": b"{",
    "array": b"[]",
    "null": b"null",
    "number": b"1e999",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "NUL": b'{"tool_name": "Wr\0ite"}',
    "escaped NUL": b'{"tool_name": "Write", "tool_input": {"file_path": "a\\u0000b"}}',
    "lone surrogates": b'{"tool_input": {"file_path": "\\ud800/\\udfff"}}',
    "not UTF-8": b'{"tool_input": {"file_path": "\xff\xfe"}}',
    "long path": json.dumps(
        {"tool_name": "Write", "tool_input": {"file_path": "/" + "a" * 5000}}
    ).encode(),
    "10 MB": json.dumps(
        {"tool_name": "Write", "tool_input": {"content": "x" * 10_000_000}}
    ).encode(),
    "looks like a header": b"v=1\0event=SessionStart\0\n",
}


@pytest.fixture
def served(machine: Machine) -> Machine:
    """A machine whose daemon runs."""
    machine.start_daemon()
    return machine


@pytest.mark.parametrize("name", ODD_PAYLOADS)
def test_any_payload_reaches_the_daemon_unchanged(name: str, served: Machine) -> None:
    """The pipe does not look into it."""
    payload = ODD_PAYLOADS[name]
    told = served.run(GUARD, payload).json
    assert (told["size"], told["payload"]) == (len(payload), hashlib.sha256(payload).hexdigest())


def test_recorded_payloads_reach_the_daemon_unchanged(served: Machine) -> None:
    """Each one that the real client has sent, for each event that is hooked."""
    for path in sorted(PAYLOADS.glob("*.json")):
        payload = path.read_bytes()
        event = json.loads(payload)["hook_event_name"]
        if event in EVENTS:
            told = served.run(event, payload).json
            assert (told["event"], told["payload"]) == (event, hashlib.sha256(payload).hexdigest())


def test_the_daemon_is_told_who_asks(served: Machine) -> None:
    """Event, repository, way of installation, and what the client's environment says."""
    environment = {
        "CLAUDE_PID": "4242",
        "CLAUDE_PROJECT_DIR": "/a/pr\u00f6ject\nx",
        "CLAUDE_ENV_FILE": "/env file",
        "CLAUDE_PLUGIN_ROOT": "/nowhere/plugin",
        "OCTET_REDIS_URL": "redis://localhost/3",
    }
    told = served.run(
        "Stop", source="dropin", environment={**served.environment, **environment}
    ).json
    assert {name: told[name] for name in ("event", "root", "source", "pid")} == {
        "event": "Stop",
        "root": str(served.repository),
        "source": "dropin",
        "pid": 4242,
    }
    assert [told[name] for name in ("project", "envfile", "plugin", "redis_url")] == [
        *environment.values()
    ][1:]


def test_without_claude_pid_the_parent_counts(served: Machine) -> None:
    """In exec form that is the client itself."""
    assert served.run("Stop").json["pid"] == os.getpid()


def test_a_refusal_reaches_the_client(served: Machine) -> None:
    """Exit code 2 with the reason on standard error."""
    assert served.run(GUARD, b'{"fake": "deny"}') == Answer(2, b"", b"denied\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_guard_without_streams_still_blocks(closed: str, served: Machine) -> None:
    """A denial that cannot be said must not become a permission; and no trace of an exception."""
    launch = ["/bin/sh", "-c", f'exec "$0" "$@" {closed}', str(HOOKS / "launch")]
    answer = served.run(GUARD, b'{"fake": "deny"}', launch=launch)
    assert answer.code == 2
    assert b"Traceback" not in answer.err


def test_a_guard_without_input_blocks(served: Machine) -> None:
    """Nothing can be said about a call that cannot be read."""
    assert served.run(
        GUARD, launch=["/bin/sh", "-c", 'exec "$0" "$@" <&-', str(HOOKS / "launch")]
    ).blocks


def test_a_client_that_stops_reading_gets_no_traceback(served: Machine) -> None:
    """EPIPE on standard output."""
    process = served.begin("Stop")
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stdin.close()
    assert process.wait(30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_the_hot_path_imports_next_to_nothing() -> None:
    """The interpreter's imports are the cost of a hook; see the module's docstring."""
    script = (
        "import sys; before = set(sys.modules); sys.path.insert(0, sys.argv[1]); import pipe; "
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-B", "-c", script, str(HOOKS)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) <= ALLOWED


def test_bytecode_stays_out_of_the_plugin_and_the_repository(served: Machine) -> None:
    """It goes to the state directory, written at the first hook and used by the next."""
    before = tree(HOOKS), tree(served.repository)
    served.run("Stop")
    assert list((served.state / "pyc").rglob("pipe.*.pyc"))
    assert (tree(HOOKS), tree(served.repository)) == before


@pytest.fixture
def pipe() -> Iterator[object]:
    """The module itself, for what needs no process."""
    sys.path.insert(0, str(HOOKS))
    dont_write, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        import pipe

        yield pipe
    finally:
        sys.dont_write_bytecode = dont_write
        sys.path.remove(str(HOOKS))
        sys.modules.pop("pipe", None)


REPLIES = [
    b"0 0 0\n", b"2 0 2\nno", b"0 2 1\n{}e", b"0 1 0\n\n",
    b"", b"\n", b"0 0 0", b"1 0 0\n", b"256 0 0\n", b"0 0\n", b"0 0 0 0\n", b"0  0\n",
    b"-1 0 0\n", b"0 -1 0\n", b"0 5 0\n{}", b"0 1 0\n{}",
    b"0 2 0\n{}x", "\u0660 0 0\n".encode(), b"0 999999999 0\n",
    b"0x0 0 0\n", b"a b c\n", b" 0 0 0\n", b"0\t0\t0\n",
]  # fmt: skip


@pytest.mark.parametrize("data", REPLIES)
def test_pipe_and_package_read_replies_alike(data: bytes, pipe: object) -> None:
    """The pipe has a parser of its own, because it cannot afford the package's."""
    try:
        expected: object = wire.decode_reply(data)
    except wire.MalformedMessage:
        expected = None
    try:
        code, out, err = pipe.parse(data)  # type: ignore[attr-defined]
        found: object = wire.Reply(code, out, err)
    except pipe.Malformed:  # type: ignore[attr-defined]
        found = None
    assert found == expected


@pytest.mark.parametrize(
    ("stdout", "stderr", "failed"),
    [
        (b'{"systemMessage": "Octet failed on this call: see the logs"}\n', b"", True),
        (b'{"a": {"permissionDecisionReason": "Octet failed on this call, so"}}\n', b"", True),
        (b"", b"Octet failed on this call, so it is refused\n", True),
        (b'{"a": {"additionalContext": "mail\\n> Octet failed on this call"}}\n', b"", False),
        (b'{"additionalContext": "> said: \\"Octet failed on this call\\""}\n', b"", False),
        (b"", b"the task 'Octet failed on this call' waits\n", False),
    ],
)
def test_text_that_quotes_a_failure_is_none(
    stdout: bytes, stderr: bytes, failed: bool, pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mail that quotes the words must not make the hook ask again: its mail would be lost."""

    class Link:
        def close(self) -> None:
            pass

    monkeypatch.setattr(pipe, "connect", Link)
    monkeypatch.setattr(pipe, "send", lambda *_: None)
    monkeypatch.setattr(pipe, "receive", lambda _: (0, stdout, stderr))
    if failed:
        with pytest.raises(pipe.Failed):
            pipe.ask(b"")
    else:
        assert pipe.ask(b"") == (0, stdout, stderr)


def test_the_daemons_time_ends_before_the_pipes(pipe: object) -> None:
    """Else the failure policy would be applied while the daemon is about to answer."""
    for event in EVENTS:
        total = pipe.TOTAL_S.get(event, pipe.DEFAULT_TOTAL_S)  # type: ignore[attr-defined]
        daemon = wire.ANSWER_WITHIN_S.get(event, wire.DEFAULT_ANSWER_WITHIN_S)
        assert daemon < total * pipe.DAEMON_SHARE  # type: ignore[attr-defined]
    declared = json.loads((HOOKS / "hooks.json").read_text())["hooks"]
    for event, groups in declared.items():
        total = pipe.TOTAL_S.get(event, pipe.DEFAULT_TOTAL_S)  # type: ignore[attr-defined]
        assert groups[0]["hooks"][0]["timeout"] > total


def test_a_hook_that_is_ended_leaves_the_daemon_well(served: Machine) -> None:
    """The client kills a hook that it no longer wants; the next one is answered."""
    for _ in range(5):
        process = served.begin(GUARD)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert served.run(GUARD).code == 0


def test_a_long_home_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path is bound to about 100 bytes, a home directory is not."""
    home = tmp_path / ("h" * 120)
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    machine = Machine(tmp_path, home)
    try:
        machine.start_daemon()
        assert machine.run(GUARD).json["event"] == GUARD
    finally:
        from octet.daemon.process import control

        control.stop()
