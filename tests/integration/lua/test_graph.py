"""Dependencies, capabilities, scopes and offers, on the real servers."""

from __future__ import annotations

import pytest
from tests.support.store_fixtures import contradictions, join, snapshot

from octet.base.errors import IllegalTransition, NotFound, NothingToClaim, Refused, UsageError
from octet.base.globs import matches
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.plans import NewTask
from octet.core.tasks.record import Task


def build(octet: Octet, agent: Agent, task_id: str | None = None) -> Task:
    task = octet.tasks.claim(agent, task_id=task_id)
    octet.tasks.submit(task.id, task.token, branch=f"octet/{task.id}", commit="c0ffee")
    return task


def merge(octet: Octet, guardian: Agent, task_id: str) -> None:
    task = octet.tasks.claim(guardian, "merge", task_id)
    octet.tasks.complete(task.id, task.token)


def test_a_task_waits_for_all_its_dependencies(octet: Octet) -> None:
    """It is blocked until the last is merged, and pending in the very step that merges it."""
    developer, guardian = join(octet), join(octet, "repository-guardian")
    octet.tasks.add_many(
        [NewTask("c", id="c", after=("a", "b")), NewTask("a", id="a"), NewTask("b", id="b")]
    )
    for task_id in ("a", "b"):
        assert octet.tasks.get("c").state == "blocked"
        build(octet, developer, task_id)
        merge(octet, guardian, task_id)
    assert octet.tasks.claim(developer).id == "c"
    assert contradictions(octet) == []


def test_all_or_none(octet: Octet) -> None:
    """A plan with one fault in it stores nothing at all, and the message shows the round."""
    octet.tasks.add("there", task_id="there")
    before = snapshot(octet.store.client)
    for wrong, kind, words in (
        (
            [
                NewTask("a", id="a", after=("c",)),
                NewTask("b", id="b", after=("a",)),
                NewTask("c", id="c", after=("b",)),
            ],
            UsageError,
            "a after",
        ),
        ([NewTask("a", id="a", after=("a",))], UsageError, "a after a"),
        ([NewTask("a"), NewTask("b", after=("nowhere",))], NotFound, "nowhere"),
        ([NewTask("a"), NewTask("b", id="there")], UsageError, "there"),
        ([NewTask("a", id="x"), NewTask("b", id="x")], UsageError, "x"),
    ):
        with pytest.raises(kind, match=words):
            octet.tasks.add_many(wrong)
    assert snapshot(octet.store.client) == before


def test_a_thousand_tasks_in_one_step(octet: Octet) -> None:
    """A chain as long as a plan may be is stored at once, numbers and names together, and none
    takes another's place.
    """
    plan = [
        NewTask("first", id="t0"),
        *(NewTask(str(n), id=f"t{n}", after=(f"t{n - 1}",)) for n in range(1, 990)),
    ]
    plan += [NewTask("numbered"), NewTask("named like a number", id="991"), NewTask("numbered too")]
    assert len({task.id for task in octet.tasks.add_many(plan)}) == len(plan)
    assert octet.tasks.counts()["blocked"] == 989


def test_cancel_and_retry(octet: Octet) -> None:
    """A cancelled dependency keeps what waits for it blocked; its holder's token is stale; tried
    again, it can be done.
    """
    agent = join(octet)
    octet.tasks.add("a", task_id="a")
    octet.tasks.add("b", task_id="b", after=["a"])
    held = octet.tasks.claim(agent)
    assert octet.tasks.cancel("a") == agent.id
    with pytest.raises(Refused):
        octet.tasks.complete("a", held.token)
    with pytest.raises(
        IllegalTransition, match=r"cancelled: cannot cancel it .allowed from blocked"
    ):
        octet.tasks.cancel("a")
    assert octet.tasks.get("b").state == "blocked"
    assert octet.tasks.retry("a") == "pending"
    task = octet.tasks.claim(agent)
    octet.tasks.complete(task.id, task.token)
    assert octet.tasks.claim(agent).id == "b"
    assert contradictions(octet) == []


def test_capabilities(octet: Octet) -> None:
    """A task goes to the first capable agent; one that no agent here can do holds up no other."""
    plain, expert = join(octet), join(octet, capabilities=("go", "sql"))
    octet.tasks.add("both", priority=9, needs=["sql", "go"])
    octet.tasks.add("one", priority=5, needs=["sql"])
    octet.tasks.add("any", priority=1)
    assert octet.tasks.claim(plain).title == "any"
    assert [octet.tasks.claim(expert, max_claims=9).title for _ in range(2)] == ["both", "one"]
    assert octet.tasks.counts()["pending"] == 0
    assert contradictions(octet) == []


GLOBS = [
    "src/**",
    "src/a.py",
    "*.py",
    "/a.py",
    "docs/*.md",
    "src/*/b.py",
    "src/a*.py",
    "src/*b.py",
    "a.py",
    "src/x/",
    "**/x/*",
    "t[ab].c",
]
PATHS = [
    "src/a.py",
    "src/ab.py",
    "src/x/b.py",
    "a.py",
    "docs/n.md",
    "src/x/y/z",
    "x/q",
    "ta.c",
    "lib/x/y",
    "docs/n.txt",
]


def takes_in(glob: str, path: str) -> bool:
    """Whether a scope has a path in it: as in .gitignore, but a bare name is the one at the top."""
    return matches(path, glob if set("/*?[") & set(glob) else f"/{glob}")


def test_overlap_is_never_missed(octet: Octet) -> None:
    """Where one path is taken in by both scopes, the second task waits; where the globs cannot
    meet, it does not.
    """
    first, second = join(octet), join(octet)
    for one in GLOBS:
        for other in GLOBS:
            octet.tasks.add("one", paths=[one])
            held = octet.tasks.claim(first)
            added = octet.tasks.add("other", paths=[other])
            try:
                task = octet.tasks.claim(second)
                assert not [path for path in PATHS if takes_in(one, path) and takes_in(other, path)]
                octet.tasks.complete(task.id, task.token)
            except NothingToClaim:
                octet.tasks.cancel(added.id)
            octet.tasks.complete(held.id, held.token)
    for one, other in (
        ("src/**", "docs/**"),
        ("src/a.py", "src/b.py"),
        ("src/a*.py", "src/b*.py"),
        ("src/*.py", "src/*.md"),
        ("README.md", "src/**"),
    ):
        octet.tasks.add("one", paths=[one])
        octet.tasks.add("other", paths=[other])
        tasks = [octet.tasks.claim(agent) for agent in (first, second)]
        for task in tasks:
            octet.tasks.complete(task.id, task.token)


def test_a_scope_is_taken_until_the_merge(octet: Octet) -> None:
    """Submitted work keeps its scope, released work gives it up, and the task behind it in the
    queue is not held up.
    """
    one, two, guardian = join(octet), join(octet), join(octet, "repository-guardian")
    first = octet.tasks.add("first", priority=9, paths=["src/**"])
    octet.tasks.add("overlaps", priority=8, paths=["src/a.py"])
    octet.tasks.add("free", priority=1, paths=["docs/**"])
    build(octet, one)
    task = octet.tasks.claim(two)
    assert task.title == "free"
    octet.tasks.complete(task.id, task.token)
    with pytest.raises(NothingToClaim, match="same files"):
        octet.tasks.claim(two)
    merge(octet, guardian, first.id)
    assert octet.tasks.claim(two).title == "overlaps"
    assert contradictions(octet) == []


def test_a_wide_scope_does_not_starve(octet: Octet) -> None:
    """What was passed over 32 times keeps its scope: narrow tasks stop going before it, and it is
    claimed in the end.
    """
    agents = [join(octet), join(octet)]
    held = []
    for agent in agents:
        octet.tasks.add(
            "narrow", priority=2, paths=["src/a.py" if agent is agents[0] else "src/b.py"]
        )
        held.append(octet.tasks.claim(agent))
    octet.tasks.add("wide", priority=1, paths=["src/**"])
    for turn in range(200):
        octet.tasks.complete(held[turn % 2].id, held[turn % 2].token)
        octet.tasks.add("narrow", paths=[f"src/{'ab'[turn % 2]}.py"])
        try:
            held[turn % 2] = octet.tasks.claim(agents[turn % 2])
        except NothingToClaim:
            break
    other = held[(turn + 1) % 2]
    octet.tasks.complete(other.id, other.token)
    assert octet.tasks.claim(agents[0]).title == "wide"
    assert turn < 40


def test_a_task_of_low_priority_is_claimed_in_the_end(octet: Octet) -> None:
    """However many of higher priority keep coming, it waits for a bounded number of claims, and no
    urgent one waits for more than it.
    """
    agent = join(octet)
    octet.tasks.add("low", priority=-1000)
    octet.tasks.add("also low", priority=-1000, needs=["sql"])
    expert = join(octet, capabilities=("sql",))
    claimed = []
    for turn in range(130):
        octet.tasks.add("urgent", priority=1000)
        task = octet.tasks.claim(expert if turn > 104 else agent)
        octet.tasks.complete(task.id, task.token)
        claimed.append(task.title)
    assert [turn for turn, title in enumerate(claimed) if title != "urgent"] == [104, 112]
    assert contradictions(octet) == []


def test_returned_work_is_offered_to_its_author(octet: Octet) -> None:
    """While the author lives and for as long as the offer stands it is the author's, first of all;
    then anybody's.
    """
    author, other, guardian = join(octet), join(octet), join(octet, "repository-guardian")
    octet.tasks.add("mine", task_id="mine")
    build(octet, author)
    octet.tasks.add("urgent", priority=99)
    task = octet.tasks.claim(guardian, "merge")
    octet.tasks.send_back(task.id, task.token, "not yet", offer_ms=60_000)
    assert octet.tasks.claim(other).title == "urgent"
    with pytest.raises(NothingToClaim) as nothing:
        octet.tasks.claim(join(octet))
    assert 50_000 < nothing.value.offer_ms <= 60_000
    octet.tasks.add("more urgent", priority=100)
    again = octet.tasks.claim(author)
    assert (again.id, again.findings) == ("mine", "not yet")
    octet.tasks.submit(again.id, again.token, branch="b")
    task = octet.tasks.claim(guardian, "merge")
    octet.tasks.send_back(task.id, task.token, "still not", offer_ms=60_000)
    octet.agents.expire(author)
    assert [octet.tasks.claim(join(octet)).title for _ in range(2)] == ["more urgent", "mine"]
    assert contradictions(octet) == []


def test_gates_are_the_tasks_own(octet: Octet) -> None:
    """A task passes the gates that it has, in their order, and is done at the last one only."""
    developer = join(octet)
    octet.tasks.add("careful", gates=["review", "security", "test", "merge"])
    build(octet, developer)
    for gate, state in (("review", "in-review"), ("security", "in-review"), ("test", "testing")):
        task = octet.tasks.claim(join(octet), gate)
        assert task.state == state
        with pytest.raises(IllegalTransition):
            octet.tasks.complete(task.id, task.token)
        octet.tasks.pass_on(task.id, task.token)
    merge(octet, join(octet, "repository-guardian"), task.id)
    assert contradictions(octet) == []
