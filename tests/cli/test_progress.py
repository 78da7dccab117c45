"""`octet progress` at the command line."""

from __future__ import annotations

import os
from typing import Any

from tests.cli.conftest import Shop


def test_progress(shop: Shop) -> None:
    """Set, added, also by HINCRBY; percent and time left; --watch ends with the work."""
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
