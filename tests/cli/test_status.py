"""`octet status`"""

from __future__ import annotations

import signal

from tests.cli.conftest import Shop
from tests.support.store_fixtures import join


def test_nothing_there(shop: Shop) -> None:
    """An empty project is shown as such, with its name and its server."""
    lines = shop.run("status").out.splitlines()
    assert lines[0].startswith("shop  (the Redis server at ")
    assert lines[1:] == ["tasks   none", "agents  none"]


def test_everything_there(shop: Shop) -> None:
    """Who is here, on what, how far, and what is locked; as JSON the same in full."""
    agent = join(shop.octet)
    shop.octet.tasks.add("Fix the cart", task_id="cart")
    shop.octet.tasks.add("later")
    task = shop.octet.tasks.claim(agent)
    shop.octet.tasks.progress(task.id, task.token, 40)
    shop.octet.locks.acquire(agent, [f"path:{n}" for n in range(20)], scope="turn")
    shown = shop.run("status").out
    assert "1 pending, 1 claimed" in shown
    assert "developer-1 (task cart)" in shown
    assert "Fix the cart: developer-1, 40%" in shown
    assert "and 8 more locks" in shown
    data = shop.json("status")
    assert (data["project"], data["tasks"]["pending"], len(data["locks"])) == ("shop", 1, 20)
    assert [(found["id"], found["tasks"]) for found in data["agents"]] == [
        ("developer-1", ["cart"])
    ]
    assert [work["id"] for work in data["work"]] == ["cart"]


def test_what_waits_at_the_gates(shop: Shop) -> None:
    """Each gate with work, which role it lacks, and why the merge does not go on."""
    agent = join(shop.octet)
    join(shop.octet, "code-sentinel")
    for gates in (["review", "merge"], ["merge"]):
        task = shop.octet.tasks.claim(agent, task_id=shop.octet.tasks.add("work", gates=gates).id)
        shop.octet.tasks.submit(task.id, task.token, branch="b", commit="c")
    shop.octet.events.publish("merge_waiting", {"why": "a dirty checkout"})
    shown = shop.run("status").out
    assert "1 for review, 1 for merge (no repository-guardian here)" in shown
    assert "waits: a dirty checkout" in shown
    data = shop.json("status")
    assert (data["gates"]["review"], data["gates"]["merge"], data["merge_waits"]) == (
        1,
        1,
        "a dirty checkout",
    )


def test_work_that_nobody_here_does(shop: Shop) -> None:
    """A task of a stage whose role no agent has is named, where other roles are filled; people
    without any role see no warning.
    """
    shop.octet.tasks.add("settle the names", stage="design")
    shop.octet.tasks.add("build it")
    assert "waits   " not in shop.run("status").out
    join(shop.octet)
    assert "waits   1 for design (no architect here)" in shop.run("status").out
    assert shop.json("status")["stages"]["design"] == 1


def test_what_was_made_by_hand(shop: Shop) -> None:
    """Damaged locks, tasks, agents and claims are shown or left out; none moves the cursor."""
    client, keys = shop.octet.store.client, shop.octet.store.keys
    agent = join(shop.octet)
    shop.octet.tasks.add("gone\x1b[2J")
    task = shop.octet.tasks.claim(agent)
    client.hset(
        keys.task(task.id),
        mapping={"title": "\x1b[2J\n\x1b[1A", "progress": "\x1b", "claimed_ms": "inf"},
    )
    client.set(keys.lock("name:x\x1b[2J"), '{"holder": "\x1b[2Jx", "task": "\x1b[1A\\n"}')
    client.zadd(keys.locks_index, {"name:x\x1b[2J": 0})
    client.hset(
        keys.registry,
        "ghost",
        '{"id": "ghost", "role": "x\\u001b[2J", "incarnation": "1", "branch": "\\u001b"}',
    )
    client.sadd(keys.claims("ghost"), "nothing")
    for words in (("status",), ("lock", "list"), ("agent", "list"), ("task", "list")):
        shown = shop.run(*words).out
        assert all(c.isprintable() or c == "\n" for c in shown)
        shop.json(*words)


def test_watch_until_ctrl_c(shop: Shop) -> None:
    """`--watch` goes on until Ctrl-C; as JSON it prints a line a second."""
    watcher = shop.start("status", "--watch", "--json")
    assert watcher.stdout is not None
    assert watcher.stdout.readline().startswith(b'{"project": "shop"')
    watcher.send_signal(signal.SIGINT)
    _, err = watcher.communicate(timeout=30)
    assert (watcher.returncode, err.strip()) == (130, b"octet: interrupted")
