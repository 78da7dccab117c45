"""How commands end: exit codes, one line, no traceback, whatever is wrong with the repository, the
store, the reader or the text.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from tests.cli.conftest import Shop
from tests.support.redis_fixtures import Server, find_program, wait_for
from tests.support.scripted_redis import ScriptedRedis

import octet as package
from octet.cli import COMMANDS, LazyGroup, cli, run
from octet.core.agents.registry import Agents
from octet.project import trust
from octet.project.repository import load_project
from octet.store.connection import open_client

OURS = (
    *("task", "review", "agent", "lock", "msg", "event", "queue", "state", "counter", "kv"),
    *("map", "pipeline", "errors", "progress", "keys", "gc", "status"),
)
# One call of each command that fails for nothing but the store.
CALLS = [
    ["task", "add", "x"],
    ["task", "list"],
    ["task", "show", "1"],
    ["task", "claim"],
    ["task", "progress", "1", "5"],
    ["task", "submit", "1", "--branch", "main"],
    ["task", "complete", "1"],
    ["task", "fail", "1", "--reason", "x"],
    ["task", "release", "1"],
    ["task", "import", str(Path(__file__).with_name("plan.json"))],
    ["task", "graph"],
    ["task", "cancel", "1"],
    ["task", "retry", "1"],
    ["task", "rescue", "1", "--list"],
    ["review", "start"],
    ["review", "approve", "1"],
    ["review", "reject", "1", "--note", "x"],
    ["review", "show", "1"],
    ["agent", "list"],
    ["agent", "show"],
    ["agent", "join", "developer"],
    ["agent", "pause", "--reason", "lunch"],
    ["agent", "resume"],
    ["agent", "leave"],
    ["lock", "acquire", "path:a"],
    ["lock", "wait", "path:a"],
    ["lock", "release", "path:a"],
    ["lock", "list"],
    ["lock", "break", "path:a", "--yes"],
    ["msg", "send", "developer", "x"],
    ["msg", "inbox"],
    ["msg", "ack", "developer/1-0"],
    ["event", "publish", "note"],
    ["event", "watch"],
    ["event", "log"],
    ["queue", "push", "q", "x"],
    ["queue", "reserve", "q"],
    ["queue", "pop", "q"],
    ["queue", "ack", "q", "1"],
    ["queue", "nack", "q", "1"],
    ["queue", "extend", "q", "1"],
    ["queue", "len", "q"],
    ["queue", "peek", "q"],
    ["queue", "stats", "q"],
    ["queue", "held", "q"],
    ["queue", "dead", "q"],
    ["queue", "retry", "q"],
    ["queue", "wait", "q"],
    ["queue", "list"],
    ["queue", "delete", "q"],
    ["state", "set", "s", "f", "1"],
    ["state", "get", "s", "f"],
    ["state", "all", "s"],
    ["state", "incr", "s", "f"],
    ["state", "delete", "s", "f"],
    ["state", "watch", "s"],
    ["state", "wait", "s", "f"],
    ["state", "list"],
    ["counter", "incr", "c"],
    ["counter", "decr", "c"],
    ["counter", "get", "c"],
    ["counter", "set", "c", "1"],
    ["counter", "reset", "c"],
    ["counter", "wait", "c", "--until", "1"],
    ["counter", "list"],
    ["counter", "delete", "c"],
    ["kv", "put", "k", "1"],
    ["kv", "get", "k"],
    ["kv", "take", "k"],
    ["kv", "wait", "k"],
    ["kv", "list"],
    ["kv", "delete", "k"],
    ["map", "start", "m", "x"],
    ["map", "take", "m"],
    ["map", "done", "m", "1", "x"],
    ["map", "fail", "m", "1", "x"],
    ["map", "extend", "m", "1"],
    ["map", "wait", "m"],
    ["map", "results", "m"],
    ["map", "show", "m"],
    ["map", "retry", "m"],
    ["map", "list"],
    ["map", "clear", "m"],
    ["map", "run", "m", "--", "true"],
    ["pipeline", "start", "p", "s"],
    ["pipeline", "run", "p", "--step", "s=true"],
    ["pipeline", "wait", "p"],
    ["pipeline", "show", "p"],
    ["pipeline", "list"],
    ["pipeline", "clear", "p"],
    ["pipeline", "step", "start", "p"],
    ["pipeline", "step", "done", "p", "1"],
    ["pipeline", "step", "fail", "p", "1", "x"],
    ["pipeline", "step", "extend", "p", "1"],
    ["errors", "add", "e", "x"],
    ["errors", "list", "e"],
    ["errors", "count", "e"],
    ["errors", "check", "e"],
    ["errors", "limit", "e", "1"],
    ["errors", "clear", "e"],
    ["progress", "set", "x", "1"],
    ["progress", "add", "x"],
    ["progress", "show", "x"],
    ["progress", "wait", "x"],
    ["progress", "list"],
    ["progress", "delete", "x"],
    ["keys"],
    ["gc", "--older-than", "2d"],
    ["status"],
]
SINGLE = {"keys", "gc", "status"}


def commands(
    group: click.Command, above: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(group, click.Group):
        return [(above, group)]
    context = click.Context(group)
    below = OURS if isinstance(group, LazyGroup) else group.list_commands(context)
    return [
        found
        for name in below
        for found in commands(group.get_command(context, name) or group, (*above, name))
    ]


def named(call: list[str]) -> tuple[str, ...]:
    """The words of a call that name its command."""
    return tuple(call[: 1 if call[0] in SINGLE else 3 if call[:2] == ["pipeline", "step"] else 2])


def test_every_command_is_tried_and_has_json() -> None:
    """Each command has --json and help, and stands in the list of calls that these tests make."""
    found = commands(cli)
    assert {names for names, _ in found} == {named(call) for call in CALLS}
    for names, command in found:
        assert "--json" in [option for parameter in command.params for option in parameter.opts], (
            names
        )
        assert command.help, names


def test_help_needs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Help of all commands is printed without repository and store."""
    monkeypatch.chdir(tmp_path)
    for words in ([], *([name] for name in OURS), *(named(call) for call in CALLS)):
        assert run([*words, "--help"]) == 0
        assert "Usage: octet" in capsys.readouterr().out
    assert run(["--version"]) == 0
    assert set(OURS) <= set(COMMANDS)


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_store_down(shop: Shop, call: list[str], tmp_path: Path) -> None:
    """3 and one line that names the server, for every command."""
    line = shop.refuses(*call, code=3, OCTET_REDIS_URL=f"unix://{tmp_path}/none.sock")
    assert "none.sock" in line
    assert "is not running" in line


def test_store_that_dies_under_a_watcher(shop: Shop, short_directory: Path) -> None:
    """A watcher whose server dies says so in one line, and goes on when it is back."""
    server = Server(find_program("redis"), short_directory).start()
    watcher = shop.start("event", "watch", env={"OCTET_REDIS_URL": server.url})
    assert watcher.stderr
    with open_client(server.url) as client:
        wait_for(lambda: client.pubsub_numpat() > 0, "the watcher has subscribed")
    server.kill()
    assert b"the events since then follow when it is back" in watcher.stderr.readline()
    server.start()
    assert watcher.stderr.readline() == b"octet: it is back\n"
    watcher.send_signal(signal.SIGINT)
    _, err = watcher.communicate(timeout=30)
    server.kill()
    assert watcher.returncode == 130
    assert_one_line(err)


def test_store_that_refuses(shop: Shop, short_directory: Path) -> None:
    """What the server itself refuses is 3 and a line of ours; what a script of ours gets wrong
    would be an internal error.
    """
    for answer, words in (
        (b"-OOM command not allowed\r\n", "out of memory"),
        (b"-NOPERM no\r\n", "ACL SETUSER"),
        (b"-LOADING x\r\n", "loading"),
    ):
        shutil.rmtree(short_directory)
        short_directory.mkdir()
        with ScriptedRedis(short_directory / "s", always(answer)) as server:
            assert words in shop.refuses("task", "add", "x", code=3, OCTET_REDIS_URL=server.url)


def always(answer: bytes) -> Callable[[list[str]], bytes]:
    """A server that answers every command but INFO so."""
    return lambda words: info() if words[0] == "INFO" else answer


def info() -> bytes:
    text = b"redis_version:7.2.0\r\n"
    return b"$%d\r\n%s\r\n" % (len(text), text)


def test_spoiled_keys(shop: Shop) -> None:
    """A key of the wrong type is 3, one line, with the key's name where a script has met it."""
    client, keys = shop.octet.store.client, shop.octet.store.keys
    client.set(keys.log, "x")
    assert keys.log in shop.refuses("task", "add", "x", code=3)
    client.delete(keys.log)
    for key, call in (
        (keys.registry, ["agent", "list"]),
        (keys.priority, ["task", "list"]),
        (keys.task("7"), ["task", "show", "7"]),
    ):
        client.set(key, "x")
        assert "something else" in shop.refuses(*call, code=3)
        client.delete(key)


@pytest.mark.parametrize(
    "url", ["http://x", "redis://:secret@host:port", "nonsense", "unix://relative"]
)
def test_bad_urls(shop: Shop, url: str) -> None:
    """A URL that cannot be read is 2, and no password is shown."""
    assert "secret" not in shop.refuses("--redis", url, "status", code=2)


def test_not_opted_in(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    temporary_home: Path,
) -> None:
    """In a repository that does not use Octet every command is 2, says so in one line, and leaves
    no file; `status` only looks.
    """
    monkeypatch.chdir(tmp_path)
    assert run(["status"]) == 0
    assert "octet init" in capsys.readouterr().out
    for call in CALLS[:-1]:
        assert run(call) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "octet init" in shown.err
        assert_one_line(shown.err.encode())
    assert list(tmp_path.iterdir()) == list(temporary_home.rglob("*")) == []


def test_not_approved(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 for a repository not approved on this machine, or whose server URL changed since."""
    assert run(["status"]) == 1
    assert "octet init" in capsys.readouterr().err
    trust.approve(load_project(repository))
    (repository / ".claude" / "octet.toml").write_text(
        'project = "shop"\n[redis]\nurl = "redis://evil.example"\n'
    )
    assert run(["status"]) == 1
    assert "since you approved" in capsys.readouterr().err
    (repository / ".claude" / "octet.toml").write_text("project = [\x1b[2J\n")
    assert run(["status"]) == 2
    err = capsys.readouterr().err
    assert_one_line(err.encode())


def test_a_directory_that_is_gone(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command in a deleted directory is 2."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "gone" in shop.refuses("task", "list", code=2)
    assert shop.json("-C", str(shop.root), "status")["project"] == "shop"


def assert_one_line(err: bytes) -> None:
    assert err.startswith(b"octet: "), err
    assert err.count(b"\n") == 1, err
    assert b"Traceback" not in err
    assert all(c.isprintable() for c in err.decode().removesuffix("\n"))


def test_a_reader_that_goes_away(shop: Shop) -> None:
    """`octet … | head -1` ends quietly with 141, the code of a pipe that broke, and not with 1,
    which means refused.
    """
    for number in range(3000):
        shop.octet.events.publish("note", {"n": number})
    for words in (
        ["event", "log", "-n", "3000"],
        ["event", "log", "-n", "3000", "--json"],
        ["--help"],
    ):
        read, write = os.pipe()
        os.close(read)
        process = shop.start(*words, stdout=write)
        os.close(write)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (141, b""), words


def test_an_error_that_nobody_reads(shop: Shop) -> None:
    """Where stderr is a closed pipe, too, the command ends without a word."""
    read, write = os.pipe()
    os.close(read)
    process = shop.start("task", "show", "9", stdout=write, stderr=write)
    os.close(write)
    assert process.wait(30) == 141


def ended_by_event(shop: Shop, process: subprocess.Popen[bytes]) -> bool:
    """Publish an event, and look whether the command has ended."""
    shop.octet.events.publish("note", {})
    return process.poll() is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full on this system")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["status", "status --json", "--help", "event watch"])
def test_a_full_disk(
    shop: Shop, words: str, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be printed is 1 and one line, whether Python keeps output back or not."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with open("/dev/full", "wb") as full:
        process = shop.start(*words.split(), stdout=full)
        if words == "event watch":
            wait_for(lambda: ended_by_event(shop, process), "the command ends")
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert_one_line(err)
    assert b"cannot print" in err


def test_closed_descriptors(shop: Shop) -> None:
    """A command without stdin, stdout and stderr does its work."""
    command = [
        shutil.which("sh") or "sh",
        "-c",
        'exec "$0" -m octet task add x <&- >&- 2>&-',
        sys.executable,
    ]
    env = os.environ | {"PYTHONPATH": str(Path(package.__file__).parents[1])}
    assert subprocess.run(command, env=env, timeout=30, check=False).returncode == 0
    assert shop.octet.tasks.counts()["pending"] == 1


def test_an_encoding_that_lacks_the_letters(shop: Shop) -> None:
    """A terminal of another encoding shows escapes; the command does not fail for them."""
    shop.octet.tasks.add("漢字 🎉 é")
    process = shop.start("task", "list", env={"PYTHONIOENCODING": "latin-1"})
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert b"\\u6f22" in out


def test_bytes_that_are_no_text(shop: Shop) -> None:
    """Arguments that are not UTF-8 are kept as they are and shown as printable characters."""
    process = shop.start("task", "add", b"caf\xe9 \xff", "--json")  # type: ignore[arg-type]
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert shop.octet.tasks.get("1").title == "caf\udce9 \udcff"
    assert shop.run("task", "show", "1").out.startswith("task 1: caf")


def test_a_bug_is_one_line_and_a_file(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, temporary_home: Path
) -> None:
    """An unexpected error is 70 and one line, which names the file with the trace."""

    def broken(_: Agents) -> None:
        raise ZeroDivisionError("a\nbug\x1b[2J")

    monkeypatch.setattr(Agents, "list", broken)
    line = shop.refuses("agent", "list", code=70)
    assert "ZeroDivisionError: a bug" in line
    log = temporary_home / "state" / "octet-error.log"
    assert str(log) in line
    assert "in broken" in log.read_text()
    monkeypatch.setenv("OCTET_HOME", "/dev/null")
    monkeypatch.setattr(trust, "check", lambda _: trust.Trust(approved=True))
    assert "octet-error.log" not in shop.refuses("agent", "list", code=70)


def test_hostile_names_in_errors(shop: Shop) -> None:
    """What a message repeats from the store or the command line cannot move the cursor."""
    for words in (
        ["task", "show", "\x1b[2J\nx"],
        ["lock", "acquire", "\x1b[2J\nx"],
        ["task", "add", "x", "--id", "\x1b[2J\n"],
    ):
        line = shop.refuses(*words, code=2)
        assert all(c.isprintable() for c in line.removesuffix("\n"))
