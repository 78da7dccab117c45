"""The project's keys and primitives, on real servers."""

from __future__ import annotations

import math

from octet.client.api import Octet
from octet.patterns.inventory import (
    delete_unused,
    list_keys,
    list_primitives,
    list_without_expiry,
    primitive_names,
)


def fill(octet: Octet) -> None:
    octet.counter("c").incr()
    octet.map("m").start(["a"])
    octet.errors("m").add("x")
    octet.run("nightly").queue("q").push("x")
    octet.tasks.add("work")


def test_a_primitive_is_all_its_keys(octet: Octet) -> None:
    """A map's queue belongs to the map; tasks are no primitives."""
    fill(octet)
    found = {(one.run, one.kind, one.name): one for one in list_primitives(octet.store)}
    assert set(found) == {
        ("", "counter", "c"),
        ("", "error", "m"),
        ("", "map", "m"),
        ("nightly", "queue", "q"),
    }
    assert len(found["", "map", "m"].keys) > 1
    assert all(one.idle_s is not None and one.idle_s < 60 for one in found.values())
    assert [one.kind for one in list_primitives(octet.store, "nightly", dated=False)] == ["queue"]
    assert {kind for run, kind, _ in primitive_names(octet.store) if not run} == {
        "counter",
        "error",
        "map",
        "queue",
    }


def test_only_what_is_unused_is_deleted(octet: Octet) -> None:
    """With all its keys, and nothing else."""
    fill(octet)
    (mapped,) = (one for one in list_primitives(octet.store) if one.kind == "map")
    assert not delete_unused(octet.store, mapped, 60)
    assert delete_unused(octet.store, mapped, 0)
    assert octet.store.client.exists(*mapped.keys) == 0
    assert [one.kind for one in list_primitives(octet.store)] == ["counter", "error", "queue"]


def test_keys_have_kind_type_and_expiry(octet: Octet) -> None:
    """The kind of a primitive's key, or the first word of another's."""
    fill(octet)
    found = {key.name: key for key in list_keys(octet.store)}
    assert (found["counter:c"].kind, found["counter:c"].type) == ("counter", "string")
    assert found["counter:c"].ttl_ms > 0
    assert found["counter:c"].bytes > 0
    assert (found["run:nightly:queue:q"].run, found["run:nightly:queue:q"].kind) == (
        "nightly",
        "queue",
    )
    assert found["tasks:status:1"].kind == "tasks"
    assert [key.name for key in list_keys(octet.store, "counter:")] == ["counter:c"]


def test_what_never_expires_is_found(octet: Octet) -> None:
    """Made by redis-cli, or kept for ever."""
    fill(octet)
    octet.store.client.lpush("workflow:{p}:queue:raw", "x")
    octet.state("s", ttl_s=math.inf).set("a", 1)
    assert [one.name for one in list_without_expiry(octet.store)] == ["raw", "s"]
