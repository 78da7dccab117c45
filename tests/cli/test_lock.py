"""`octet lock …`"""

from __future__ import annotations

import json
import os

import pytest
from tests.cli.conftest import Shop
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import join, try_in_queue

from octet.base.errors import LockHeld
from octet.core.locks.waiting import QueuePlace


def test_acquire_list_release(shop: Shop) -> None:
    """A lock is taken with a token, listed with its holder, and freed by its own holder without
    naming the token.
    """
    assert shop.run("lock", "list").out == "no locks\n"
    taken = shop.json("lock", "acquire", "path:a.py", "name:db", "--ttl", "300")
    assert (taken["agent"], set(taken["tokens"])) == ("person-ann", {"path:a.py", "name:db"})
    assert [(lock["resource"], lock["holder"]) for lock in shop.json("lock", "list")] == [
        ("name:db", "person-ann"),
        ("path:a.py", "person-ann"),
    ]
    assert all(290_000 < lock["ttl_ms"] <= 300_000 for lock in shop.json("lock", "list"))
    assert "person-ann holds path:a.py" in shop.run("lock", "acquire", "path:a.py").out
    assert shop.run("lock", "release", "path:a.py").out == "path:a.py is free\n"
    assert shop.json("lock", "release", "name:db", "--token", taken["tokens"]["name:db"]) == {
        "resource": "name:db",
        "state": "free",
    }
    assert shop.json("lock", "list") == []


def test_a_held_lock(shop: Shop) -> None:
    """1 for another agent's lock, with holder, purpose and advice; nothing is taken."""
    other = join(shop.octet)
    shop.octet.tasks.add("x", task_id="login")
    shop.octet.tasks.claim(other)
    shop.octet.locks.acquire(other, ["path:a"], scope="turn")
    line = shop.refuses("lock", "acquire", "path:b", "path:a")
    assert f"path:a is held by {other.id} for task login" in line
    assert f"octet msg send {other.id}" in line
    assert f"held by {other.id}, not by you" in shop.refuses("lock", "release", "path:a")
    assert "is over" in shop.refuses("lock", "release", "path:a", "--token", "*")
    assert [lock.resource for lock in shop.octet.locks.list()] == ["path:a"]


def test_break(shop: Shop) -> None:
    """A person's yes takes a lock away and tells its holder; a no, or no answer, does not."""
    other = join(shop.octet)
    shop.octet.locks.acquire(other, ["repository:main"])
    assert "add --yes" in shop.run("lock", "break", "repository:main", code=1).err.splitlines()[-1]
    assert "stays locked" in shop.run("lock", "break", "repository:main", code=1, stdin="n\n").err
    assert shop.octet.locks.get("repository:main").holder == other.id
    assert (
        "broke developer-1's lock" in shop.run("lock", "break", "repository:main", stdin="y\n").out
    )
    (message,) = shop.octet.messages.read(other)
    assert (message.sender, "repository:main was broken" in message.text) == ("person-ann", True)
    assert "is not locked" in shop.refuses("lock", "break", "repository:main", "--yes", code=2)


def test_a_lock_by_hand(shop: Shop) -> None:
    """A lock that redis-cli set is shown by name, cannot be acquired or released, and can be
    broken; its holder need not exist.
    """
    shop.octet.store.client.set(
        shop.octet.store.keys.lock("repository:main"), "agent:dev:001\x1b[2J", nx=True, ex=300
    )
    assert "held by agent:dev:001 [2J" in shop.refuses("lock", "release", "repository:main")
    assert "held by agent:dev:001 [2J" in shop.refuses("lock", "acquire", "repository:main")
    listed = shop.run("lock", "list").out
    assert "agent:dev:001" in listed
    assert "\x1b" not in listed
    assert shop.json("lock", "break", "repository:main", "--yes") == {
        "resource": "repository:main",
        "holder": "agent:dev:001\x1b[2J",
    }
    shop.run("lock", "acquire", "repository:main")


def test_directories_and_globs(shop: Shop) -> None:
    """However a path is written, it is one lock, covers what lies in it, is marked in the list, and
    is released by any of its names.
    """
    (shop.root / "src/auth").mkdir(parents=True)
    (shop.root / "link").symlink_to("src")
    taken = shop.json("lock", "acquire", "path:link/auth", "path:*.md", "path:src/x*")
    assert set(taken["tokens"]) == {"path:src/auth/", "path:*.md", "path:src/x*"}
    listed = shop.run("lock", "list").out
    assert "path:src/auth/ (all in it)" in listed
    other = join(shop.octet)
    shop.octet.locks.acquire(other, ["path:lib/a.py"])
    assert f"path:lib/ is held by {other.id}, who has path:lib/a.py" in shop.refuses(
        "lock", "acquire", f"path:{shop.root}/lib/"
    )
    assert shop.run("lock", "release", "path:src/auth/**").out == "path:src/auth/ is free\n"
    assert "is not in" in shop.refuses("lock", "acquire", "path:/etc/passwd", code=2)
    assert "is not in" in shop.refuses("lock", "acquire", "path:../x", code=2)


def test_waiting(shop: Shop) -> None:
    """It ends with the lock as soon as that is free, in 1 when the time is over; meanwhile the list
    shows who waits, and for how long.
    """
    other, third = join(shop.octet), join(shop.octet)
    token = shop.octet.locks.acquire(other, ["path:a"], scope="turn")["path:a"]
    line = shop.refuses("lock", "wait", "path:a", "--wait", "0.1s")
    assert f"path:a is held by {other.id}, 0 s" in line
    assert "octet lock wait" in line
    waiter = shop.start(
        "lock", "wait", "path:a", "path:b", "--json", env={"CLAUDE_PID": str(os.getpid())}
    )
    wait_for(lambda: bool(shop.octet.locks.list()[0].waiting), "it waits")
    listed = shop.run("lock", "list").out
    assert "guest-1 (0 s)" in listed
    assert "end of turn" in listed
    with pytest.raises(LockHeld):
        shop.octet.locks.acquire(third, ["path:b"])
    assert "goes to guest-1 first" in shop.refuses("lock", "acquire", "path:b")
    shop.octet.locks.release("path:a", token)
    out, _ = waiter.communicate(timeout=20)
    assert set(json.loads(out)["tokens"]) == {"path:a", "path:b"}
    assert {(lock.holder, lock.scope) for lock in shop.octet.locks.list()} == {("guest-1", "turn")}


def test_a_wait_that_would_never_end(shop: Shop) -> None:
    """1, with the circle, and what to do."""
    other = join(shop.octet)
    shop.octet.locks.acquire(other, ["path:a"])
    shop.run("lock", "acquire", "path:b")
    place = QueuePlace()
    with pytest.raises(LockHeld):
        try_in_queue(shop.octet, other, ["path:b"], place)
    line = shop.refuses("lock", "wait", "path:a", "--wait", "5s")
    assert (
        f"person-ann would wait for path:a of {other.id}, who waits for path:b of person-ann"
        in line
    )
    assert "Release" in line


def test_when_a_lock_ends(shop: Shop) -> None:
    """A person's lapses by its TTL; that of a process lasts until it is released."""
    shop.run("lock", "acquire", "name:mine", "--ttl", "300", "--wait", "20h")
    shop.octet.locks.acquire(join(shop.octet), ["name:theirs"])
    mine, theirs = shop.run("lock", "list").out.splitlines()[1:]
    assert "in 4 min" in mine or "in 5 min" in mine
    assert "released" in theirs


def test_what_makes_no_sense(shop: Shop) -> None:
    """2 for a resource of no known kind, for one that is not locked, and for a TTL that is none."""
    assert "path:FILE" in shop.refuses("lock", "acquire", "a.py", code=2)
    assert "path:FILE" in shop.refuses("lock", "acquire", "path:a\x1b[2J", code=2)
    assert "is not locked" in shop.refuses("lock", "release", "path:a", code=2)
    shop.run("lock", "acquire", "path:a", "--ttl", "0", code=2)
    shop.run("lock", "acquire", code=2)
