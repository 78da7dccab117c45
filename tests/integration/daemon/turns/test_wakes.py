"""Who is woken and when; on a real server, with waiters that are sockets."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.redis_fixtures import Server, wait_for

from octet.base.errors import LockHeld
from octet.base.process import identify
from octet.client.api import Octet
from octet.core.agents import identity
from octet.core.agents.registry import Agent, Registration
from octet.core.agents.work_states import CREW_DOWN
from octet.daemon.projects import news
from octet.daemon.projects.sessions import Projects
from octet.daemon.protocol.wire import Later, Request, decode_reply
from octet.daemon.turns import wake_reasons, wakes
from octet.daemon.turns.session_turns import MAX_FRUITLESS
from octet.daemon.turns.wakes import Wakes

SOON_S = 15.0


class Session:
    """An idle session: a process, its agent, and the waiter's end of the connection."""

    def __init__(self, bench: Bench, role: str, event: str = "SessionStart") -> None:
        self.bench = bench
        self.process = subprocess.Popen(["sleep", "120"])
        process = identify(self.pid)
        assert process is not None
        self.agent: Agent = bench.octet.agents.register(
            Registration(
                role=role,
                kind="session",
                process=identity.process_key(process),
                host=process.host,
                pid=self.pid,
            )
        ).agent
        self.status = bench.root / f"{self.pid}.json"
        self.link = self.arm(event)

    @property
    def pid(self) -> int:
        return self.process.pid

    def arm(self, event: str = "SessionStart", *, since: float | None = None) -> socket.socket:
        """Another waiter of this session."""
        self.link, theirs = socket.socketpair()
        self.bench.links.append(self.link)
        since = time.monotonic() - 60 if since is None else since
        payload = b"\0".join([b"%f" % since, event.encode(), os.fsencode(self.status)])
        reply = self.bench.wakes.answer(
            Request(
                "Wake",
                str(self.bench.root),
                payload=payload,
                pid=self.pid,
                redis_url=self.bench.url,
            )
        )
        assert isinstance(reply, Later)
        reply.take(theirs)
        return self.link

    def stop(self) -> None:
        """The end of the turn that it was woken to, with another waiter."""
        self.arm()
        self.bench.wakes.ends(self.pid)

    def woken(self, within_s: float = SOON_S, link: socket.socket | None = None) -> str:
        """The line that woke it; "" when it was let go. Raises TimeoutError when neither."""
        link = link or self.link
        link.settimeout(within_s)
        data = b""
        while chunk := link.recv(4096):
            data += chunk
        reply = decode_reply(data)
        assert (reply.exit_code == 2) == bool(reply.stderr)
        return reply.stderr.decode()

    def sleeps(self, for_s: float = 0.5) -> bool:
        """Whether nothing wakes it for so long."""
        try:
            self.woken(for_s)
        except TimeoutError:
            return True
        return False

    def is_noted(self, status: str) -> None:
        """What its client has written down of itself, now."""
        self.status.write_text(
            json.dumps({"status": status, "statusUpdatedAt": time.time() * 1000 + 1})
        )


class Bench:
    def __init__(self, projects: Projects, octet: Octet, root: Path, url: str) -> None:
        self.octet, self.root, self.url = octet, root, url
        self.wakes = Wakes(projects)
        self.sessions: list[Session] = []
        self.links: list[socket.socket] = []

    def session(self, role: str = "guest", **options: Any) -> Session:
        """One that is idle, known to be so, and listened for."""
        made = Session(self, role, **options)
        self.sessions.append(made)
        self.wakes.ends(made.pid)
        self.settle()
        return made

    def settle(self) -> None:
        """Wait until all that was said so far has been acted upon, and a waiter listens."""
        done = threading.Event()
        self.wakes._do(done.set)
        assert done.wait(SOON_S)
        wait_for(lambda: self.octet.store.client.pubsub_numpat() > 0, "a subscription")

    def close(self) -> None:
        self.wakes.stop()
        for link in self.links:
            link.close()
        for session in self.sessions:
            session.process.kill()
            session.process.wait()


@pytest.fixture
def bench(
    projects: Projects,
    octet: Octet,
    repository: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    monkeypatch.setattr(news, "LISTEN_S", 0.2)
    made = Bench(projects, octet, repository, redis_url)
    yield made
    made.close()


def test_a_message_wakes_its_recipient_and_nobody_else(bench: Bench) -> None:
    """With its name and how many there are; ten at once are one wake, and what was there before the
    waiter came counts.
    """
    first, second = bench.session(), bench.session()
    bench.octet.messages.send(first.agent.id, "hello", sender="x")
    assert first.woken() == f"Octet: 1 message came for {first.agent.id}.\n"
    assert second.sleeps()
    for number in range(10):
        bench.octet.messages.send(second.agent.id, str(number), sender="x")
    assert second.agent.id in second.woken()
    first.stop()
    assert "1 message" in first.woken()


def test_mail_to_a_role_wakes_one_and_the_next_when_that_one_does_not_take_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which they came to be idle."""
    monkeypatch.setattr(wake_reasons, "GRACE_MS", 700)
    first, second = bench.session("developer"), bench.session("developer")
    bench.octet.messages.send("developer", "who has time?", sender="x")
    assert "1 message" in first.woken()
    assert second.sleeps(0.3)
    assert "1 message" in second.woken()


def test_a_task_wakes_as_many_as_there_are_tasks(bench: Bench) -> None:
    """Of five idle developers one for one task, two more for two more once the first has claimed;
    no other role, no guest.
    """
    developers = [bench.session("developer") for _ in range(5)]
    others = [bench.session("code-sentinel"), bench.session("guest")]
    bench.octet.tasks.add("build it")
    first = next_woken(developers)
    assert all(session.sleeps(0.2) for session in developers)
    bench.octet.tasks.claim(first.agent)
    bench.octet.tasks.add_many([wakes_task("a"), wakes_task("b")])
    next_woken(developers)
    next_woken(developers)
    assert all(session.sleeps(0.2) for session in [*developers, *others])


def next_woken(sessions: list[Session]) -> Session:
    """The first of them that is woken for a task, taken out of the list: the longest idle, unless
    one was being looked at just then.
    """
    ready, _, _ = select.select([session.link for session in sessions], [], [], SOON_S)
    woken = next(session for session in sessions if session.link in ready)
    assert "a task waits for the build stage" in woken.woken()
    sessions.remove(woken)
    return woken


def wakes_task(title: str) -> Any:
    from octet.core.tasks.plans import NewTask

    return NewTask(title=title)


def test_the_next_is_woken_for_a_task_that_the_first_does_not_take(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been ended, or told to do something else."""
    monkeypatch.setattr(wake_reasons, "GRACE_MS", 700)
    first, second = bench.session("developer"), bench.session("developer")
    bench.octet.tasks.add("build it")
    assert first.woken()
    assert second.woken()


def test_who_is_paused_or_has_a_task_is_not_woken_for_another(bench: Bench) -> None:
    """The next one is."""
    paused, busy, free = (bench.session("developer") for _ in range(3))
    bench.octet.work_states.pause(paused.agent)
    for session in (paused, busy):
        bench.wakes.ends(session.pid)
    bench.octet.tasks.add("held")
    assert busy.woken()
    bench.octet.tasks.claim(busy.agent)
    busy.stop()
    bench.settle()
    bench.octet.tasks.add("free")
    assert free.woken()
    assert paused.sleeps(0.2)
    assert busy.sleeps(0.2)


def test_mail_waits_for_a_paused_agent_to_be_resumed(bench: Bench) -> None:
    """A pause costs no tokens, from any sender; an agent whose crew goes down is told to finish."""
    paused, leaving = (bench.session("developer") for _ in range(2))
    bench.octet.work_states.pause(paused.agent, "budget")
    bench.octet.work_states.pause(leaving.agent, "", CREW_DOWN)
    for session in (paused, leaving):
        bench.octet.messages.send(session.agent.id, "hello", sender="x")
    assert "1 message" in leaving.woken()
    assert paused.sleeps(0.2)
    bench.octet.work_states.resume(paused.agent)
    assert "1 message" in paused.woken()


def test_a_session_in_a_turn_is_woken_at_its_end(bench: Bench) -> None:
    """A hook says when it begins and ends."""
    session = bench.session()
    bench.wakes.begins(session.pid)
    bench.octet.messages.send(session.agent.id, "hello", sender="x")
    assert session.sleeps()
    bench.wakes.ends(session.pid)
    assert "1 message" in session.woken()


def test_a_turn_that_ended_without_a_hook_is_seen(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Esc the client's own note says idle; while it says busy, or what it said before, the
    turn goes on.
    """
    monkeypatch.setattr(wakes, "RECHECK_S", 0.1)
    session = bench.session()
    session.is_noted("idle")
    time.sleep(0.01)
    bench.wakes.begins(session.pid)
    bench.octet.messages.send(session.agent.id, "hello", sender="x")
    assert session.sleeps(0.4)
    session.is_noted("busy")
    assert session.sleeps(0.4)
    session.is_noted("idle")
    assert "1 message" in session.woken()


def test_a_waiter_of_a_turn_waits_for_its_end(bench: Bench) -> None:
    """UserPromptSubmit's own waiter may be here before that hook: what the hook is about to deliver
    is no reason to wake.
    """
    session = bench.session()
    bench.octet.messages.send(session.agent.id, "hello", sender="x")
    session.woken()
    session.arm("UserPromptSubmit", since=time.monotonic())
    assert session.sleeps()
    bench.octet.messages.read(session.agent)
    bench.wakes.ends(session.pid)
    assert session.sleeps()


def test_a_turn_that_ended_while_no_daemon_was_there_is_seen(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A young waiter comes back to a new daemon: its turn counts from its own beginning, so that
    the client's word of the end is newer.
    """
    monkeypatch.setattr(wakes, "RECHECK_S", 0.1)
    session, began = bench.session(), time.monotonic()
    bench.wakes._turns.clear()  # as its successor begins
    time.sleep(0.01)
    session.is_noted("idle")
    time.sleep(0.05)
    session.arm("UserPromptSubmit", since=began)
    bench.octet.messages.send(session.agent.id, "hello", sender="x")
    assert "1 message" in session.woken()


def test_a_newer_waiter_takes_the_place_of_an_older_one(bench: Bench) -> None:
    """Also where the older one comes later, as after the daemon was replaced; the replaced one goes
    silently.
    """
    session = bench.session()
    first = session.link
    second = session.arm(since=time.monotonic() - 30)
    assert session.woken(link=first) == ""
    late = session.arm(since=time.monotonic() - 3600)
    assert session.woken(link=late) == ""
    bench.octet.messages.send(session.agent.id, "hello", sender="x")
    assert "1 message" in session.woken(link=second)


def test_a_freed_lock_wakes_whom_it_was_denied_once(bench: Bench) -> None:
    """Only once it is free, and not the agent that got it meanwhile; kept in the store."""
    holder, denied, patient = bench.session(), bench.session(), bench.session()
    token = bench.octet.locks.acquire(holder.agent, ["path:a.py"])["path:a.py"]
    deny(bench.octet, denied, "path:a.py")
    deny(bench.octet, patient, "path:a.py")
    for session in (denied, patient):
        bench.wakes.ends(session.pid)
    assert denied.sleeps(0.2)
    bench.octet.locks.release("path:a.py", token)
    assert "path:a.py" in denied.woken()
    assert patient.sleeps(0.2)
    bench.octet.locks.acquire(denied.agent, ["path:a.py"], scope="turn")
    bench.octet.locks.end_turn(denied.agent)
    denied.stop()
    assert denied.sleeps(0.2)
    assert bench.octet.locks.freed(denied.agent) == (0, [])


def deny(octet: Octet, session: Session, resource: str) -> None:
    with pytest.raises(LockHeld):
        octet.locks.acquire(session.agent, [resource], scope="turn")


def test_a_waiter_that_has_gone_costs_nobody_a_wake(bench: Bench) -> None:
    """The next idle one gets what it cannot."""
    gone, there = bench.session("developer"), bench.session("developer")
    gone.link.close()
    bench.octet.tasks.add("build it")
    assert there.woken()


def test_waking_in_vain_becomes_rare(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that never takes its mail is left alone after a few times, until something comes of
    waking it.
    """
    monkeypatch.setattr(wake_reasons, "GRACE_MS", 10)
    session = bench.session()
    bench.octet.messages.send(session.agent.id, "hello", sender="x")
    for _ in range(MAX_FRUITLESS):
        assert session.woken()
        time.sleep(0.02)
        session.stop()
    assert session.sleeps()
    bench.wakes.progresses(session.pid)
    bench.wakes.ends(session.pid)
    assert session.woken()


def test_after_an_outage_everything_is_looked_at(
    server_program: Path,
    short_directory: Path,
    projects: Projects,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came during the outage, and what was never published, wakes all the same."""
    monkeypatch.setattr(wakes, "SWEEP_S", 0.3)
    monkeypatch.setattr(news, "LISTEN_S", 0.2)
    server = Server(
        server_program, short_directory, "--appendonly", "yes", "--appendfsync", "always"
    ).start()
    bench = Bench(
        projects, projects.find(str(repository), server.url).connected(), repository, server.url
    )
    try:
        first, second = bench.session(), bench.session("developer")
        server.kill()
        server.start()
        bench.octet.messages.send(first.agent.id, "hello", sender="x")
        assert first.woken(30)
        bench.octet.store.client.lpush(bench.octet.store.keys.pending, "by hand")
        assert second.woken(30)
    finally:
        bench.close()
        server.stop()


def test_who_takes_part_no_more_is_let_go(bench: Bench) -> None:
    """`octet init --undo` ends the waiters without a word."""
    session = bench.session()
    (bench.root / ".claude" / "octet.toml").unlink()
    bench.wakes.ends(session.pid)
    assert session.woken() == ""


@pytest.mark.parametrize("payload", [b"", b"x", b"1\0", b"nan", b"\xff\0\0", b"1\0a\0b\0c"])
def test_what_is_no_waiter_is_sent_away(bench: Bench, payload: bytes) -> None:
    """Other waiters are unaffected."""
    ours, theirs = socket.socketpair()
    reply = bench.wakes.answer(
        Request("Wake", str(bench.root), payload=payload, pid=1, redis_url=bench.url)
    )
    assert isinstance(reply, Later)
    reply.take(theirs)
    ours.settimeout(SOON_S)
    assert ours.recv(10) == b""
    ours.close()
