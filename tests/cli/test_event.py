"""`octet event …`"""

from __future__ import annotations

import json
import signal

import pytest
from tests.cli.conftest import Shop, started
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
    """Any text in the log is shown on a line of its own."""
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


def test_replay_of_events(shop: Shop) -> None:
    """The log since an event or a time, of one type; a watcher starts there and goes on."""
    for number in range(3):
        shop.octet.events.publish("note", {"n": number})
        shop.octet.events.publish("other")
    events = shop.json("event", "log", "--since", "10m")
    assert len(events) == 6
    assert shop.json("event", "log", "--since", events[1]["id"]) == events[2:]
    assert shop.json("event", "log", "--since", "2020-01-01T00:00:00Z", "note", "-n", "2") == [
        events[2],
        events[4],
    ]
    assert shop.json("event", "log", "note") == [events[0], events[2], events[4]]
    assert shop.json("event", "log", "--since", "0s") == []
    watching = started(shop, "event", "watch", "note", "--since", events[0]["id"], "--json")
    shop.octet.events.publish("note", {"n": 3})
    assert watching.stdout
    assert [json.loads(watching.stdout.readline())["n"] for _ in range(3)] == [1, 2, 3]
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=30)
