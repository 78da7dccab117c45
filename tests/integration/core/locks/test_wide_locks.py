"""Locks on directories and globs, on real servers: what they cover is kept from others, both ways,
and nothing else is.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.store_fixtures import contradictions, join

from octet.base.errors import LockHeld
from octet.base.globs import matches
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.locks.names import canonical

MEETING = [
    ("path:src/auth/", "path:src/auth/a.py"),
    ("path:src/auth/**", "path:src/auth/deep/er/a.py"),
    ("path:src/auth/", "path:src/auth"),
    ("path:src/", "path:src/auth/"),
    ("path:**", "path:a.py"),
    ("path:**", "path:src/"),
    ("path:*.md", "path:README.md"),
    ("path:*.md", "path:docs/a.md"),
    ("path:*.md", "path:docs/"),
    ("path:src/*.py", "path:src/a.py"),
    ("path:src/*/test.py", "path:src/a/"),
    ("path:src/**/test_*.py", "path:src/test_a.py"),
    ("path:src/a?.py", "path:src/ab.py"),
    ("path:app/[id]/", "path:app/[id]/page.tsx"),
    ("path:/*.py", "path:a.py"),
    ("path:ü/", "path:ü/ß.py"),
    ("path:x\udcff/", "path:x\udcff/a"),
]
APART = [
    ("path:src/auth/", "path:src/authors.py"),
    ("path:src/auth/", "path:lib/src/auth/a.py"),
    ("path:src/", "path:README.md"),
    ("path:*.md", "path:README.py"),
    ("path:docs/**/*.md", "path:docs"),
    ("path:src/*.py", "path:src/a/b.md"),
    ("path:/*.py", "path:src/a.py"),
    ("path:app/[id]/", "path:app/i/page.tsx"),
    ("path:app/i/", "path:app/[id]/page.tsx"),
    ("path:**", "name:**"),
    ("path:**", "repository:main"),
]


def tries(octet: Octet, agent: Agent, resource: str) -> str:
    """The lock in the way, "" for none."""
    try:
        octet.locks.acquire(agent, [resource])
    except LockHeld as held:
        return held.by if held.resource == canonical(resource) else f"refused {held.resource}"
    return ""


@pytest.mark.parametrize(("one", "other"), MEETING + [(b, a) for a, b in MEETING])
def test_what_meets_is_kept_apart(octet: Octet, one: str, other: str) -> None:
    """Whichever came first; its holder has both; after the first is released the other is free."""
    first, second = join(octet), join(octet)
    octet.locks.acquire(first, [one])
    assert tries(octet, second, other) == canonical(one)
    assert tries(octet, first, other) == ""
    octet.agents.leave(first)
    assert tries(octet, second, other) == ""
    assert contradictions(octet) == []


@pytest.mark.parametrize(("one", "other"), APART + [(b, a) for a, b in APART])
def test_what_does_not_meet_is_free(octet: Octet, one: str, other: str) -> None:
    """Names that begin alike, other places, other kinds."""
    octet.locks.acquire(join(octet), [one])
    assert tries(octet, join(octet), other) == ""


def test_one_name_however_it_is_written(octet: Octet) -> None:
    """A directory is taken, found and released under any of its names."""
    agent = join(octet)
    token = octet.locks.acquire(agent, ["path:src/auth/**"])["path:src/auth/**"]
    assert octet.locks.acquire(agent, ["path:./src//auth/"]) == {"path:./src//auth/": token}
    assert octet.locks.get("path:src/auth/**").wide
    octet.locks.release("path:src/auth/", token)
    assert octet.locks.list() == []
    assert octet.store.client.keys("*locks:*") == []


def test_all_or_nothing_with_a_directory(octet: Octet) -> None:
    """One file of another agent's in the directory, and nothing is taken."""
    first, second = join(octet), join(octet)
    octet.locks.acquire(first, ["path:src/z.py"])
    with pytest.raises(LockHeld, match=rf"path:src/ is held by {first.id}, who has path:src/z.py"):
        octet.locks.acquire(second, ["path:a", "path:src/"])
    assert [lock.resource for lock in octet.locks.list()] == ["path:src/z.py"]


def test_a_subagent_works_in_its_sessions_directory(octet: Octet) -> None:
    """The session's directory lets its sub-agents in; what one of them has there, its sister and
    the session itself have not.
    """
    parent, stranger = join(octet), join(octet)
    one, two = (
        join(octet, parent=parent.id, process=f"{parent.process}#{name}") for name in ("a", "b")
    )
    octet.locks.acquire(parent, ["path:src/"])
    assert tries(octet, one, "path:src/a.py") == ""
    assert tries(octet, two, "path:src/a.py") == "path:src/a.py"
    assert tries(octet, parent, "path:src/a.py") == "path:src/a.py"
    assert tries(octet, two, "path:src/b.py") == ""
    assert tries(octet, stranger, "path:src/c.py") == "path:src/"


def test_a_directory_that_ran_out_is_free(octet: Octet) -> None:
    """What is left of its name in the index blocks no agent, and goes."""
    octet.locks.acquire(join(octet), ["path:src/", "path:lib/a"])
    octet.store.client.delete(
        octet.store.keys.lock("path:src/"), octet.store.keys.lock("path:lib/a")
    )
    agent = join(octet)
    octet.locks.acquire(agent, ["path:src/a.py", "path:lib/"])
    assert octet.store.client.smembers(octet.store.keys.lock("wide")) == {"path:lib/"}
    assert octet.store.client.zrange(octet.store.keys.locks_index, 0, -1) == [
        "path:lib/",
        "path:src/a.py",
    ]


def test_a_directory_set_by_hand_counts_once_it_was_seen(octet: Octet) -> None:
    """A lock that redis-cli set is known by its own name, and to `lock list`."""
    octet.store.client.set(octet.store.keys.lock("path:src/"), "ann")
    assert tries(octet, join(octet), "path:src/") == "path:src/"
    assert tries(octet, join(octet), "path:src/a.py") == "path:src/"


SEGMENT = st.sampled_from(["a", "b", "ab", "a.py", "*", "*.py", "a*", "?", "**"])
PLAIN = st.lists(st.sampled_from(["a", "b", "ab", "a.py", "b.py"]), min_size=1, max_size=4).map(
    "/".join
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(glob=st.lists(SEGMENT, min_size=1, max_size=4).map("/".join), path=PLAIN)
def test_what_a_glob_takes_in_it_keeps(single_octet: Octet, glob: str, path: str) -> None:
    """Whatever the glob matches by `path_globs`, its lock keeps from others: an overlap may be seen
    too many, never one too few.
    """
    octet = single_octet
    octet.store.client.flushall()
    octet.locks.acquire(join(octet), [f"path:{glob}"])
    held = tries(octet, join(octet), f"path:{path}") != ""
    if "*" in glob or "?" in glob:
        assert held or not matches(path, glob.replace("**/**", "**"))
