"""`octet map` at the command line."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest
from tests.cli.conftest import Shop, alive
from tests.support.redis_fixtures import wait_for

FAILING = "import sys; sys.exit(0 if open(sys.argv[1]).read() else 'it is empty')"


def token_of(out: str) -> str:
    return out.splitlines()[-1].removeprefix("token ")


def test_a_map_by_hand(shop: Shop) -> None:
    """Items out, results in, an error, and what came of it all; then nothing is left of it."""
    assert shop.json("map", "start", "a", "-", stdin="src/app.ts\nsrc/utils.ts\n") == {
        "map": "a",
        "new": 2,
        "total": 2,
    }
    assert shop.json("map", "start", "a", "src/utils.ts", "src/config.ts")["new"] == 1
    first = shop.run("map", "take", "a").out
    assert first.splitlines()[0] == "src/app.ts"
    assert "2 are left" in shop.run("map", "done", "a", token_of(first), '{"lines": 100}').out
    second = shop.json("map", "take", "a")
    assert shop.json("map", "fail", "a", second["token"], "busy", "--again")["returned"]
    second = shop.json("map", "take", "a")
    assert (second["value"], second["deliveries"]) == ("src/utils.ts", 2)
    assert (
        shop.json("map", "extend", "a", second["token"], "--lease", "1h")["until_ms"]
        > second["until_ms"]
    )
    shop.run("map", "fail", "a", second["token"], "syntax error")
    assert "not in force" in shop.refuses("map", "done", "a", second["token"], "1")
    shown = shop.json("map", "show", "a")
    assert (shown["total"], shown["done"], shown["failed"], shown["ready"], shown["left"]) == (
        3,
        1,
        1,
        1,
        1,
    )
    shop.run("map", "done", "a", shop.json("map", "take", "a")["token"], "-", stdin="all\nwell\n")
    assert "no item left" in shop.refuses("map", "take", "a", "--wait", "1m")
    results = [(r["item"], r["value"], r["error"]) for r in shop.json("map", "results", "a")]
    assert results == [
        ("src/app.ts", {"lines": 100}, None),
        ("src/utils.ts", None, "syntax error"),
        ("src/config.ts", "all\nwell", None),
    ]
    [error] = shop.json("errors", "list", "a")
    assert (error["text"], error["item"], error["by"]) == (
        "syntax error",
        "src/utils.ts",
        "person-ann",
    )
    assert shop.json("map", "retry", "a")["again"] == 1
    assert shop.json("map", "list")[0]["ready"] == 1
    shop.run("map", "clear", "a")
    assert shop.octet.store.client.keys("*map*") == shop.octet.store.client.keys("*error*") == []
    assert "no map" in shop.refuses("map", "results", "a")


def test_map_wait_is_woken(shop: Shop) -> None:
    """It ends with the last result, and says by its exit code that an item failed."""
    shop.run("map", "start", "a", "x", "y", "--run", "r")
    waiting = shop.start("map", "wait", "a", "--run", "r", "--json")
    client = shop.octet.store.client
    wait_for(lambda: bool(client.pubsub_channels()), "it waits")
    mapped = shop.octet.run("r").map("a")
    mapped.done(mapped.take(), 1)
    mapped.fail(mapped.take(), "no")
    out, err = waiting.communicate(timeout=20)
    assert (waiting.returncode, err) == (1, b"")
    assert [(r["value"], r["error"]) for r in json.loads(out)] == [(1, None), (None, "no")]


def test_map_run_runs_a_command_for_each_item(shop: Shop) -> None:
    """Items are words and nothing more, whatever stands in them; what is printed is the result; the
    same call again does what failed.
    """
    names = ["a b.txt", "$(touch oops)", "'; touch oops; '", "-n"]
    for name in names[:3]:
        (shop.root / name).write_text(name)
    (shop.root / "empty").write_text("")
    lines = "".join(f"./{name}\n" for name in [*names[:3], "empty"])
    command = ["--", sys.executable, "-c", FAILING, "{}"]
    found = shop.run(
        "map", "run", "--json", "m", "--items", "-", "--workers", "2", *command, stdin=lines, code=1
    ).json
    assert [result["error"] for result in found] == [None, None, None, "exit code 1: it is empty"]
    assert not (shop.root / "oops").exists()
    (shop.root / "empty").write_text("full")
    shop.run("map", "retry", "m")
    again = shop.run("map", "run", "--json", "m", *command).json
    assert [result["error"] for result in again] == [None] * 4
    assert [r["at_ms"] for r in again[:3]] == [r["at_ms"] for r in found[:3]], (
        "what was done is not done again"
    )
    (result,) = shop.run(
        "map",
        "run",
        "--json",
        "n",
        "--items",
        "-",
        "--",
        "sh",
        "-c",
        'echo "{\\"got\\": \\"$(cat)\\"}"',
        stdin="it\n",
    ).json
    assert result["value"] == {"got": "it"}
    assert "no map" in shop.refuses("map", "run", "other", "--", "true")


def test_errors_stop_a_map(shop: Shop) -> None:
    """With --fail-fast the second error ends the work: no further item is given out, and waiting
    callers are told.
    """
    lines = "".join(f"{n}\n" for n in range(20))
    line = shop.refuses(
        "map",
        "run",
        "m",
        "--items",
        "-",
        "--workers",
        "1",
        "--fail-fast",
        "2",
        "--",
        "sh",
        "-c",
        "exit 3",
        stdin=lines,
    )
    assert "errors m stop the work: 2, the last: exit code 3" in line
    assert shop.json("map", "show", "m")["ready"] == 18
    for words in (["map", "take", "m"], ["map", "wait", "m"], ["errors", "check", "m"]):
        assert "stop the work" in shop.refuses(*words)
    shop.run("errors", "clear", "m")
    shop.run("map", "take", "m")


@pytest.mark.chaos
def test_a_killed_map_run_leaves_no_command_and_no_item_behind(shop: Shop) -> None:
    """SIGKILL to one of two: its command dies with it, and the other does its items too."""
    shop.run("map", "start", "m", *"abcdef")
    (shop.root / "pids").mkdir()
    slow = ["sh", "-c", 'echo $$ >"pids/$1"; [ -e go ] || exec sleep 60; echo ok', "_", "{}"]
    first = shop.start("map", "run", "m", "--workers", "2", "--lease", "1s", "--", *slow)
    pids = shop.root / "pids"
    wait_for(
        lambda: len([path for path in pids.iterdir() if path.read_text()]) == 2, "two commands run"
    )
    begun = [int(path.read_text()) for path in pids.iterdir()]
    first.kill()
    first.communicate()
    wait_for(lambda: not any(alive(pid) for pid in begun), "the commands are gone")
    (shop.root / "go").touch()
    found = shop.run("map", "run", "--json", "m", "--lease", "1s", "--", *slow).json
    assert [(r["item"], r["value"]) for r in found] == [(name, "ok") for name in "abcdef"]


def test_an_interrupted_map_run_gives_its_item_back(shop: Shop) -> None:
    """Ctrl-C ends the command with it; the item is not a failure."""
    shop.run("map", "start", "m", "x")
    process = shop.start(
        "map", "run", "m", "--", "sh", "-c", "echo $$ >pid; exec sleep 60", start_new_session=True
    )
    pid = shop.root / "pid"
    wait_for(lambda: pid.exists() and bool(pid.read_text()), "the command runs")
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip().splitlines()[-1]) == (130, b"octet: interrupted"), (
        out,
        err,
    )
    wait_for(lambda: not alive(int(pid.read_text())), "its command is gone")
    assert shop.json("map", "show", "m")["failed"] == 0
    assert shop.json("map", "show", "m")["ready"] == 1
