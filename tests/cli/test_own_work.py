"""`octet map`, `pipeline`, `errors` and `progress` at the command line."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Shop
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
    """With --fail-fast the second error ends the work: no further item is given out, and whoever
    waits is told.
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
    """SIGKILL to one of two in the middle: its command dies with it, and the other does its items
    too.
    """
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


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_a_pipeline_by_hand(shop: Shop) -> None:
    """A step waits for the one before it and is given its result; one that failed stops what
    follows until it is begun again.
    """
    shop.run("pipeline", "start", "p", "search", "analyse", "report")
    assert "comes after search" in shop.refuses("pipeline", "step", "start", "p", "analyse")
    first = shop.run("pipeline", "step", "start", "p").out
    assert first.startswith("step search\ntoken ")
    waiting = shop.start("pipeline", "step", "start", "p", "analyse", "--wait", "20s", "--json")
    wait_for(lambda: bool(shop.octet.store.client.pubsub_channels()), "it waits")
    shop.run("pipeline", "step", "done", "p", token_of(first), '["file1.ts", "file2.ts"]')
    turn = json.loads(waiting.communicate(timeout=20)[0])
    assert (turn["step"], turn["given"]) == ("analyse", ["file1.ts", "file2.ts"])
    shop.run("pipeline", "step", "extend", "p", turn["token"])
    assert "is doing step analyse" in shop.refuses("pipeline", "step", "start", "p")
    shop.run("pipeline", "step", "fail", "p", turn["token"], "cannot parse")
    for words in (["step", "start", "p", "report"], ["step", "start", "p"], ["wait", "p"]):
        assert "step analyse of pipeline p failed: cannot parse" in shop.refuses("pipeline", *words)
    assert shop.json("pipeline", "wait", "p", "--step", "search")["result"] == [
        "file1.ts",
        "file2.ts",
    ]
    again = shop.run("pipeline", "step", "start", "p", "--again").out
    shop.run("pipeline", "step", "done", "p", token_of(again), "500")
    shop.run(
        "pipeline", "step", "done", "p", token_of(shop.run("pipeline", "step", "start", "p").out)
    )
    assert [(s["name"], s["state"], s["tries"]) for s in shop.json("pipeline", "show", "p")] == [
        ("search", "done", 1),
        ("analyse", "done", 2),
        ("report", "done", 1),
    ]
    assert "done already" in shop.refuses("pipeline", "step", "start", "p", "search")
    assert "other steps" in shop.refuses("pipeline", "start", "p", "search")
    assert shop.json("pipeline", "list")[0]["pipeline"] == "p"
    shop.run("pipeline", "clear", "p")
    assert "no pipeline" in shop.refuses("pipeline", "show", "p")


STEPS = {
    "steps.json": '{"find": "echo one >>log; ls *.ts", "count": "test -e go && wc -l"}',
    "steps.toml": "[steps]\nfind = \"echo one >>log; ls *.ts\"\ncount = 'test -e go && wc -l'\n",
    "steps.md": "# Count\n\n1. find: `echo one >>log; ls *.ts`\n2. count: `test -e go && wc -l`\n",
}


@pytest.mark.parametrize("name", STEPS)
def test_pipeline_run_goes_on_from_the_step_that_failed(shop: Shop, name: str) -> None:
    """Each step reads the result of the one before; what was done is not done again."""
    (shop.root / name).write_text(STEPS[name])
    for file in ("a.ts", "b.ts"):
        (shop.root / file).touch()
    assert "step count of pipeline p failed: exit code 1" in shop.refuses(
        "pipeline", "run", "p", "--file", name
    )
    (shop.root / "go").touch()
    assert shop.run("pipeline", "run", "p", "--file", name).out.strip() == "1"
    assert (shop.root / "log").read_text() == "one\n"
    shop.run("pipeline", "run", "q", "--step", "find=ls *.ts", "--step", "count=wc -l")


WORSE = [("x.yaml", "a: b"), ("x.json", "[" * 100_000), ("x.toml", "=")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.json", "[]"),
        ("x.json", "{"),
        ("x.json", '{"a": 1}'),
        ("x.json", '{"a": "b", "a": "c"}'),
        ("x.toml", "a = 1"),
        ("x.md", "hello"),
        *WORSE,
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(shop: Shop, name: str, text: str) -> None:
    """One line that names the file."""
    (shop.root / name).write_text(text)
    assert name in shop.refuses("pipeline", "run", "p", "--file", name, code=2)


def test_a_pipeline_of_no_steps_is_refused(shop: Shop) -> None:
    """Steps without a name, without a command, twice, or from nowhere."""
    for words in (
        [],
        ["--step", "a"],
        ["--step", "=x"],
        ["--step", "a=x", "--step", "a=y"],
        ["--file", "none.json"],
        ["--step", "a b=x"],
    ):
        shop.refuses("pipeline", "run", "p", *words, code=2)


@pytest.mark.chaos
def test_a_killed_pipeline_goes_on_with_its_step(shop: Shop) -> None:
    """SIGKILL in the second step: its command dies too, and the same call does that step and those
    that follow, no other.
    """
    steps = [
        "--step",
        "one=echo 1 >>log; echo 1",
        "--step",
        "two=[ -e go ] || { echo $$ >pid; exec sleep 60; }; cat",
        "--step",
        "three=cat",
    ]
    first = shop.start("pipeline", "run", "p", *steps)
    pid = shop.root / "pid"
    wait_for(lambda: pid.exists() and bool(pid.read_text()), "the second step runs")
    first.kill()
    first.communicate()
    wait_for(lambda: not alive(int(pid.read_text())), "its command is gone")
    (shop.root / "go").touch()
    shop.octet.store.client.hset(
        shop.octet.store.keys.pipeline("p"), "2:until", 1
    )  # as when its lease has run out
    assert shop.run("pipeline", "run", "p", *steps).out == "1\n"
    assert (shop.root / "log").read_text() == "1\n"


def test_errors(shop: Shop) -> None:
    """Reported by commands and by LPUSH, counted and listed; a limit turns the exit code."""
    assert (
        shop.json(
            "errors", "add", "e", "Agent 2: File not found - config.ts", "--item", "config.ts"
        )["count"]
        == 1
    )
    shop.octet.store.client.lpush("workflow:{shop}:error:e", "Agent 3: Syntax error in utils.ts")
    assert shop.run("errors", "count", "e").out == "2\n"
    assert [report["text"] for report in shop.json("errors", "list", "e")] == [
        "Agent 2: File not found - config.ts",
        "Agent 3: Syntax error in utils.ts",
    ]
    shop.run("errors", "check", "e")
    assert "stop the work: 2" in shop.refuses("errors", "check", "e", "--fail-fast", "2")
    shop.run("errors", "limit", "e", "3")
    shop.run("errors", "check", "e")
    ran = shop.octet.errors("e").add("third")
    assert ran.stopped
    assert "stop the work: 3, the last: third" in shop.refuses("errors", "check", "e")
    shop.run("queue", "push", "q", "x")
    assert "stop the work" in shop.refuses("queue", "reserve", "q", "--unless", "e")
    shop.run("errors", "limit", "e", "0")
    shop.run("errors", "check", "e")
    assert shop.json("errors", "clear", "e")["cleared"] == 3
    assert shop.run("errors", "list", "e").out == "no errors\n"


def test_progress(shop: Shop) -> None:
    """Set, added, also by HINCRBY; percent and how long the rest takes; --watch ends with the work."""
    shop.run("progress", "set", "p", "0", "--total", "100", "--note", "files")
    shop.octet.store.client.hincrby("workflow:{shop}:progress:p", "current", 10)
    shop.octet.store.client.hset(
        "workflow:{shop}:progress:p", "started_ms", shop.octet.now_ms() - 10_000
    )
    found = shop.json("progress", "add", "p", "10")
    assert (found["percent"], found["done"], found["note"]) == (20.0, False, "files")
    assert 1.5 < found["rate"] <= 2
    assert 40 <= found["eta_s"] < 55
    assert "20/100  20%" in shop.run("status").out
    watching = shop.start("progress", "show", "p", "--watch")
    assert watching.stdout
    assert b"20/100" in watching.stdout.readline()
    shop.run("progress", "set", "p", "100")
    out, _ = watching.communicate(timeout=20)
    assert b"100/100  100%" in out
    assert "100/100" not in shop.run("status").out, "what is done no longer runs"
    assert shop.json("progress", "wait", "p")["done"]
    assert shop.json("progress", "list")[0]["current"] == 100
    shop.run("progress", "delete", "p")
    assert "no progress p" in shop.refuses("progress", "show", "p")
    assert "nothing was reported" in shop.refuses("progress", "wait", "p", "--wait", "0s")


def test_progress_is_drawn_live_in_a_terminal(shop: Shop) -> None:
    """In one place of the screen, from the first reading to the end."""
    shop.octet.map("m").start(["a"])
    ours, theirs = os.openpty()
    watching = shop.start("map", "show", "m", "--watch", stdout=theirs, env={"TERM": "xterm"})
    os.close(theirs)
    seen = b""
    while b"0/1" not in seen:
        seen += os.read(ours, 4096)
    shop.octet.map("m").done(shop.octet.map("m").take())
    while b"1/1  100%" not in seen:
        seen += os.read(ours, 4096)
    assert watching.wait(20) == 0
    assert watching.communicate()[1] == b""
    assert b"\x1b[" in seen
    os.close(ours)


def test_status_shows_what_runs(shop: Shop) -> None:
    """Progress, maps and pipelines of the project and its runs, with JSON for a status line."""
    shop.run("map", "start", "files", "a", "b", "--run", "r")
    shop.run("pipeline", "start", "release", "one", "two")
    running: list[dict[str, Any]] = shop.json("status")["running"]
    assert [(r["kind"], r["run"], r["name"], r["current"], r["total"]) for r in running] == [
        ("pipeline", "", "release", 0, 2),
        ("map", "r", "files", 0, 2),
    ]
    assert "one waiting" in shop.run("status").out


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
