"""`octet event …`"""

from __future__ import annotations

import json
import signal

import pytest
from tests.cli.conftest import Shop
from tests.support.redis_fixtures import wait_for


def test_publish_and_log(shop: Shop) -> None:
    """An event is kept and read back with its fields as they were."""
    assert shop.run("event", "log").out == "no events\n"
    assert shop.json("event", "publish", "note", '{"files": [], "n": 12345678901234567890}') == {
        "type": "note"
    }
    (event,) = shop.json("event", "log")
    assert (event["type"], event["files"], event["n"]) == ("note", [], 12345678901234567890)
    shop.run("event", "publish", "ping")
    assert shop.run("event", "log", "-n", "1").out.split()[1:] == ["ping"]


@pytest.mark.parametrize(
    "words",
    [
        ["note", "{"],
        ["note", "[]"],
        ["note", "[" * 50_000],
        ["note", '{"id": 1}'],
        ["note", '{"x": NaN}'],
        ["note", '{"x": 1e999}'],
        ["a b"],
        [""],
    ],
    ids=lambda words: words[-1][:12],
)
def test_what_makes_no_sense(shop: Shop, words: list[str]) -> None:
    """2 for a type that is no word and for fields that are no object of JSON."""
    shop.refuses("event", "publish", *words, code=2)
    assert shop.json("event", "log") == []


def test_hostile_events_stay_on_their_line(shop: Shop) -> None:
    """Whatever somebody put into the log is shown on a line of its own."""
    client, keys = shop.octet.store.client, shop.octet.store.keys
    client.xadd(
        keys.log,
        {
            "type": "\x1b[2J\n",
            "data": json.dumps({"\x1b[2J\nname": "\x1b]0;x\x07\n", "id": "\x1b[1A"}),
        },
    )
    client.xadd(keys.log, {"data": "\x1b[2J not JSON\n"})
    shown = shop.run("event", "log").out
    assert shown.count("\n") == 2
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_watch(shop: Shop) -> None:
    """A watcher prints each event as it comes, a line of JSON each, until Ctrl-C, which ends it
    with 130 and one line.
    """
    watcher = shop.start("event", "watch", "task_*", "--json")
    wait_for(lambda: shop.octet.store.client.pubsub_numpat() > 0, "the watcher has subscribed")
    shop.octet.events.publish("note", {})
    shop.octet.tasks.add("seen\x1b[2J")
    assert watcher.stdout is not None
    event = json.loads(watcher.stdout.readline())
    assert (event["type"], event["title"]) == ("task_added", "seen\x1b[2J")
    watcher.send_signal(signal.SIGINT)
    _, err = watcher.communicate(timeout=30)
    assert (watcher.returncode, err.strip()) == (130, b"octet: interrupted")
