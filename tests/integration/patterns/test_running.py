"""Work in progress of the primitives, on real servers."""

from __future__ import annotations

from octet.client.api import Octet
from octet.patterns.running import list_running


def test_what_is_not_done_is_listed(octet: Octet) -> None:
    """Progress, maps and pipelines of the project and its runs; what is done is left out."""
    octet.progress("half").set(1, total=2)
    octet.progress("whole").set(2, total=2)
    octet.map("m").start(["a", "b"])
    octet.map("m").done(octet.map("m").take(), 1)
    run = octet.run("nightly")
    run.pipeline("p").start("one", "two")
    run.pipeline("p").done(run.pipeline("p").begin(), 1)
    run.queue("q").push("x")
    found = list(list_running(octet.store))
    assert [(one.kind, one.run, one.reading.name) for one in found] == [
        ("map", "", "m"),
        ("progress", "", "half"),
        ("pipeline", "nightly", "p"),
    ]
    assert [(one.reading.current, one.reading.total) for one in found] == [(1, 2)] * 3
    assert found[2].reading.note == "two waiting"
    run.pipeline("p").done(run.pipeline("p").begin(), 2)
    assert [one.kind for one in list_running(octet.store)] == ["map", "progress"]
