"""What survives a power failure, what is refused instead of being taken for empty, and why no
fencing token comes twice.
"""

from __future__ import annotations

import shutil
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.redis_fixtures import PS, Server, find_program, kill_hard, wait_for
from tests.support.store_fixtures import join

from octet.base.errors import Refused, ServerFailed, StaleToken
from octet.client.api import Octet
from octet.store import embedded
from octet.store.connection import connect, open_client
from octet.store.embedded import backups
from octet.store.embedded.aof import scan
from octet.store.embedded.launch import server_runs
from octet.store.token_epoch import EPOCH_STEP


@pytest.fixture
def running(embedded_home: Path, server_program: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a running embedded server, once for each program."""
    (embedded_home / "bin").mkdir()
    (embedded_home / "bin" / server_program.name).symlink_to(server_program)
    monkeypatch.setenv("PATH", str(embedded_home / "bin"))
    monkeypatch.setattr("octet.store.embedded.program.carried_program", lambda: None)
    embedded.ensure_server()
    return embedded.server_directory()


def kill(directory: Path) -> None:
    status = embedded.read_status(directory)
    assert status
    kill_hard(status.pid)
    assert not server_runs(directory)


def log_of(directory: Path) -> Path:
    """The file that the server appends to."""
    return max((directory / "appendonlydir").glob("*.incr.aof"))


def refusal(call: Callable[[], object] = embedded.ensure_server) -> str:
    with pytest.raises(ServerFailed) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def lose_power(directory: Path, kept: bytes) -> None:
    """The machine stops; of the log only `kept` had reached the disk."""
    kill(directory)
    log_of(directory).write_bytes(kept)


# --- fencing after a power failure


def test_a_lost_claims_token_is_not_given_again(running: Path) -> None:
    """Who holds a claim of the second that a power failure took is refused, though the task is
    claimed again meanwhile.

    Without the step the second claim of the task has the first one's token, and the first agent's
    completion counts as the second's.
    """
    with Octet(connect(None), "p") as octet:
        octet.tasks.add("x")
        safe = log_of(running).read_bytes()
        first = octet.tasks.claim(join(octet))
        lose_power(running, safe)
        second = octet.tasks.claim(join(octet))
        assert second.id == first.id
        assert int(second.token) > int(first.token)
        with pytest.raises(StaleToken):
            octet.tasks.complete(first.id, first.token)
        octet.tasks.complete(second.id, second.token)


def test_a_lost_locks_token_is_not_given_again(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for locks, and in power failures one upon the other: the step is safe on disk before
    the first token.
    """
    tokens = []
    safe = b""
    flush = embedded.flush_to_disk

    def flush_and_look(directory: Path | None = None) -> None:
        nonlocal safe
        flush(directory)
        safe = log_of(running).read_bytes()

    monkeypatch.setattr("octet.store.token_epoch.flush_to_disk", flush_and_look)
    with Octet(connect(None), "p") as octet:
        octet.tasks.add("x")
        safe = log_of(running).read_bytes()
        for _ in range(3):
            tokens.append(int(octet.locks.acquire(join(octet), ["name:deploy"])["name:deploy"]))
            lose_power(running, safe)
    assert tokens == sorted(set(tokens))


def test_every_projects_tokens_advance(running: Path) -> None:
    """Also those of a project whose clients find the scripts loaded already, by another's."""
    with Octet(connect(None), "p") as one, Octet(connect(None), "q") as other:
        counters = [octet.store.keys.token for octet in (one, other)]
        for octet in (one, other):
            join(octet)
        before = [int(one.store.client.get(key)) for key in counters]
        one.store.client.set("workflow:{p}:counter:token", "5")  # somebody's own, of a similar name
        kill(running)
        join(one)
        after = [int(one.store.client.get(key)) for key in counters]
        assert min(now - then for now, then in zip(after, before, strict=True)) >= EPOCH_STEP
        assert one.store.client.get("workflow:{p}:counter:token") == "5"
        join(other)
        assert (
            int(other.store.client.get(counters[1])) < after[1] + 10
        )  # once for each run of the server


def test_tokens_advance_on_a_server_of_others(short_directory: Path, server_program: Path) -> None:
    """A Redis that people run themselves, whatever became of its last second."""
    own = Server(
        server_program, short_directory, "--appendonly", "yes", "--appendfsync", "always"
    ).start()
    try:
        with Octet(open_client(own.url), "p") as octet:
            before = int(octet.tasks.claim(join(octet), task_id=octet.tasks.add("x").id).token)
            own.kill()
            own.start()
            assert int(join(octet).incarnation) > before + EPOCH_STEP // 2
    finally:
        own.kill()


def test_a_user_with_few_rights_advances_its_own_tokens(short_directory: Path) -> None:
    """Whom the ACL denies INFO and other keys gets the step of its own project's counter."""
    own = Server(find_program("redis"), short_directory).start()
    try:
        with open_client(own.url) as admin:
            admin.set("workflow:{p}:token", "7")
            admin.set("workflow:{q}:token", "7")
            admin.acl_setuser(
                "p",
                enabled=True,
                nopass=True,
                commands=["+@all", "-info"],
                keys=["workflow:{p}:*"],
                channels=["workflow:{p}:*"],
            )
            with Octet(open_client(f"unix://p:x@{own.socket}"), "p") as octet:
                join(octet)
            assert int(admin.get("workflow:{p}:token") or 0) > EPOCH_STEP
            assert admin.get("workflow:{q}:token") == "7"
    finally:
        own.kill()


# --- how often it is made safe


def test_the_fsync_policy(running: Path) -> None:
    """`always` holds at once and after the next start; so does going back."""
    for policy, setting in (("always", "always"), ("everysec", "no")):
        embedded.set_fsync_policy(policy)
        for _ in range(2):
            with connect(None) as client:
                assert client.config_get("appendfsync")["appendfsync"] == setting
            kill(running)
        assert embedded.fsync_policy() == policy


# --- never silently empty


def fill(directory: Path, count: int = 100) -> None:
    """Keys k0…, made safe, and no server."""
    with connect(None) as client:
        for n in range(count):
            client.set(f"k{n}", "v")
        embedded.flush_to_disk()
    assert embedded.stop_server(directory)


def test_zeros_at_the_end(running: Path) -> None:
    """What a power failure leaves of a file that had just grown is cut off, and kept beside."""
    fill(running)
    log = log_of(running)
    log.write_bytes(log.read_bytes() + bytes(4096))
    with connect(None) as client:
        assert client.dbsize() == 100
    assert len(list(running.glob("damaged-*.aof"))) == 1


def test_few_damaged_files_are_kept(running: Path) -> None:
    """A machine that fails again and again does not fill its disk with what was cut off."""
    fill(running)
    for number in range(5):
        log = log_of(running)
        log.write_bytes(log.read_bytes() + b"*1\r\n")
        (running / f"damaged-2000010{number}-000000-x.aof").touch()
        embedded.ensure_server()
        embedded.stop_server(force=True)
    assert len(list(running.glob("damaged-*.aof"))) <= 3


def test_an_empty_directory(running: Path) -> None:
    """Data that is gone is missed, whether the directory is gone too or not."""
    fill(running)
    shutil.move(running / "appendonlydir", running / "elsewhere")
    for make in (lambda: None, (running / "appendonlydir").mkdir):
        make()
        assert "octet redis restore" in refusal()
    (running / "appendonlydir").rmdir()
    shutil.move(running / "elsewhere", running / "appendonlydir")
    with connect(None) as client:
        assert client.dbsize() == 100


@pytest.mark.parametrize("how", ["removed", "emptied", "cut to a third"])
def test_a_file_that_lost_what_was_safe(running: Path, how: str) -> None:
    """A log that is gone or much shorter than it was when it was safe is not taken for a small one."""
    fill(running)
    log = log_of(running)
    whole = log.read_bytes()
    if how == "removed":
        log.unlink()
    else:
        log.write_bytes(b"" if how == "emptied" else whole[: len(whole) // 3])
    assert "octet redis restore" in refusal()
    log.write_bytes(whole)
    with connect(None) as client:
        assert client.dbsize() == 100


def test_a_base_that_was_emptied(running: Path) -> None:
    """The file that a rewrite has made is missed like the one that is appended to."""
    fill(running)
    with connect(None) as client:
        client.bgrewriteaof()
        wait_for(
            lambda: not client.info("persistence")["aof_rewrite_in_progress"],
            "the log is rewritten",
        )
    embedded.flush_to_disk()
    embedded.stop_server()
    base = next((running / "appendonlydir").glob("*.base.aof"))
    whole = base.read_bytes()
    assert whole
    base.write_bytes(b"")
    assert base.name in refusal()
    base.write_bytes(whole)
    with connect(None) as client:
        assert client.dbsize() == 100


def test_the_command_that_starts_empty(running: Path) -> None:
    """The command that a refusal names does what it says."""
    fill(running)
    (running / "appendonlydir" / "appendonly.aof.manifest").unlink()
    command = refusal().split("`")[-2]
    assert command.startswith(f"mv {running} ")
    running.rename(command.split()[-1])
    with connect(None) as client:
        assert client.dbsize() == 0


def damage_middle(directory: Path) -> bytes:
    log = log_of(directory)
    log.write_bytes(log.read_bytes().replace(b"k50", b"k5\n$9999"))
    return log.read_bytes()


def test_repair(running: Path) -> None:
    """What is damaged in the middle starts again after `octet redis repair`, with all before the
    damage; the file is kept.
    """
    fill(running)
    damaged = damage_middle(running)
    refusal()
    done = backups.repair()
    assert done
    assert done[0].read_bytes() == damaged
    with connect(None) as client:
        assert client.dbsize() == 50
    with pytest.raises(Refused):
        backups.repair()
    embedded.stop_server()
    assert backups.repair() is None


def test_a_damaged_base(running: Path) -> None:
    """What all the rest builds on is not cut: that is refused, with what to do."""
    fill(running)
    with connect(None) as client:
        client.bgrewriteaof()
        wait_for(
            lambda: not client.info("persistence")["aof_rewrite_in_progress"],
            "the log is rewritten",
        )
    embedded.stop_server()
    base = next((running / "appendonlydir").glob("*.base.aof"))
    for damaged in (
        base.read_bytes()[:-9],
        base.read_bytes().replace(b"k50", b"k5\n$9999"),
        b"REDIS0009" + bytes(64),
    ):
        base.write_bytes(damaged)
        assert "octet redis restore" in refusal()
        assert base.read_bytes() == damaged
    base.write_bytes(damaged[:-9].replace(b"REDIS", b"*1\r\n$"))
    assert "octet redis restore" in refusal(backups.repair)


# --- backup and restoration


def test_a_backup_while_it_is_written_to(running: Path) -> None:
    """All that was acknowledged before is in it; it is private, whole, and comes back."""
    target = running.parent / "b.aof"
    with connect(None) as client:
        for n in range(500):
            client.set(f"k{n}", "v" * 100)
        client.bgrewriteaof()  # the files are replaced while they are copied
        client.execute_command(
            "EVAL", "redis.call('INCR', KEYS[1]) redis.call('INCR', KEYS[1])", 1, "n"
        )
        made = backups.write_backup(target)
        assert (made.keys, stat.S_IMODE(target.stat().st_mode)) == (501, 0o600)
        client.flushall()
        client.set("later", "1")
    found = backups.restore(target)
    assert found.keys == 501
    with connect(None) as client:
        assert (client.dbsize(), client.get("n"), client.get("later")) == (501, "2", None)
    assert b"later" in b"".join(file.read_bytes() for file in Path(found.kept).iterdir())
    assert sorted(path.name for path in running.iterdir() if path.is_dir()) == [
        "appendonlydir",
        Path(found.kept).name,
    ]


@pytest.mark.usefixtures("running")
def test_an_existing_file_is_not_written_over(tmp_path: Path) -> None:
    """Nor is a link followed, nor anything left where it cannot be written."""
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(Refused, match="exists"):
            backups.write_backup(tmp_path / name)
    assert (tmp_path / "there").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]


def test_living_agents_keep_their_data(running: Path) -> None:
    """Nothing is restored under agents that live, unless it is forced; and then no token of theirs
    is valid or given again.
    """
    target = running.parent / "b.aof"
    with Octet(connect(None), "p") as octet:
        task = octet.tasks.add("x")
        backups.write_backup(target)
        agent = join(octet)
        claimed = octet.tasks.claim(agent)
        with pytest.raises(Refused, match=agent.id):
            backups.restore(target)
        backups.restore(target, force=True)
        again = octet.tasks.claim(join(octet))
        assert again.id == task.id
        assert int(again.token) > int(claimed.token)
        with pytest.raises(StaleToken):
            octet.tasks.complete(claimed.id, claimed.token)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"REDIS0011" + bytes(90), b"*1\r\n$4\r\nPING", b"*1\r\n$7\r\nNONSENS\r\n"],
)
def test_what_is_no_backup(running: Path, tmp_path: Path, content: bytes) -> None:
    """It is refused, and what was there stays, with its server."""
    with connect(None) as client:
        client.set("a", "1")
        (tmp_path / "b").write_bytes(content)
        with pytest.raises(Exception, match="backup") as caught:
            backups.restore(tmp_path / "b")
        assert getattr(caught.value, "exit_code", 0) == 2
        assert client.get("a") == "1"
    assert not (running / "restored").exists()


@pytest.mark.parametrize("step", ["loaded", "decided", "moved away", "moved in"])
def test_a_restoration_that_is_killed(
    running: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed at any step, the next start has what was there before, or all of the backup, never
    neither.
    """

    class Killed(BaseException):
        pass

    target = running.parent / "b.aof"
    with connect(None) as client:
        client.set("old", "1")
        backups.write_backup(target)
        client.flushall()
        client.set("new", "1")
    renames = {"decided": 0, "moved away": 1, "moved in": 2}.get(step, 9)
    rename = Path.rename

    def dying(self: Path, to: Path) -> Path:
        nonlocal renames
        if renames == 0:
            raise Killed
        renames -= 1
        return rename(self, to)

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", dying)
        if step in {"loaded", "moved in"}:
            patch.setattr(
                "octet.store.embedded.backups.end_server"
                if step == "loaded"
                else "octet.store.embedded.backups.start_server",
                die,
            )
        with pytest.raises(Killed):
            backups.restore(target)
    embedded.stop_server(force=True)
    with connect(None) as client:
        assert sorted(client.keys()) == (["new"] if step == "loaded" else ["old"])
    assert not (running / "restored").exists()


def test_a_server_that_tried_a_backup_does_not_stay(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while it tries a backup, whoever comes next ends the server that was started for it."""
    pids = []
    with connect(None) as client:
        client.set("a", "1")

    def die(*_: object) -> None:
        pids.append(int((running / "checked" / "redis.pid").read_text()))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(backups, "_end", die)
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            backups.write_backup(running.parent / "b.aof")
    assert server_runs(running / "checked")
    backups.write_backup(running.parent / "b.aof")
    assert not (running / "checked").exists()
    state = [PS, "-o", "stat=", "-p", str(pids[0])]
    found = subprocess.run(state, capture_output=True, text=True, check=False).stdout.strip()
    assert found[:1] in ("", "Z")  # gone, or a zombie; flags such as a low priority may follow


@pytest.fixture
def other_program(server_program: Path) -> Path:
    """A server of the other family; asked for before `running` narrows PATH."""
    return find_program("valkey" if "redis" in server_program.name else "redis")


def test_a_backup_goes_to_another_server(
    other_program: Path, running: Path, short_directory: Path
) -> None:
    """It is plain commands: any Redis or Valkey takes them."""
    with connect(None) as client:
        client.set("a", "1")
    made = backups.write_backup(running.parent / "b.aof")
    assert scan(Path(made.path)).intact
    (short_directory / "other").mkdir()
    other = Server(other_program, short_directory / "other").start()
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(other.socket))
            link.sendall(Path(made.path).read_bytes())
            link.shutdown(socket.SHUT_WR)
            while link.recv(4096):
                pass
        with open_client(other.url) as client:
            assert client.get("a") == "1"
    finally:
        other.kill()
