"""Who may have a lock, and what a denial tells of its holder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.integration.daemon.client import Client, agent
from tests.support.store_fixtures import try_in_queue

from octet.base.errors import LockHeld
from octet.client.api import Octet
from octet.core.agents.registry import Registration
from octet.core.locks.waiting import QueuePlace


def test_a_developer_does_not_move_main_but_guardian_and_guest_do(
    clients: list[Client], octet: Octet, repository: Path
) -> None:
    """Main is the guardian's; a developer is told how work gets there; a session without a role
    commits as ever.
    """
    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    developer, guardian, guest = clients
    developer.start(agent_type="octet:developer")
    guardian.start(agent_type="octet:repository-guardian")
    guest.start()
    assert "octet task submit" in developer.shell("git merge octet/7")
    assert developer.shell("git status") == ""
    assert guardian.shell("git merge octet/7") == ""
    assert "repository-guardian-1" in guest.shell("git commit -m x")
    guardian.stop()
    assert guest.shell("git commit -m x") == ""
    guest.stop()
    octet.locks.acquire(agent(octet, "developer-1"), ["repository:main"])
    assert developer.shell("git merge octet/7") == ""


def test_a_denial_tells_who_waits_and_when_it_ends(clients: list[Client], octet: Octet) -> None:
    """What the store knows reaches the model: a directory that covers the file, a lock that lapses,
    who waits, whose turn it is.
    """
    one, two, _ = clients
    one.start()
    two.start()
    person = octet.agents.register(
        Registration(role="person", kind="person", name="person-ann")
    ).agent
    token = octet.locks.acquire(person, ["path:src/"], ttl_ms=250_000)["path:src/"]
    place = QueuePlace()
    with pytest.raises(LockHeld):
        try_in_queue(octet, agent(octet, "guest-2"), ["path:src/a.py"], place)
    denial = one.write("src/a.py")
    for part in (
        "src/a.py is held by person-ann",
        "with all of path:src/",
        "1 queued",
        "or for 4 min",
        "octet lock wait path:src/a.py",
    ):
        assert part in denial
    octet.locks.release("path:src/", token)
    assert "src/a.py goes to guest-2 first" in one.write("src/a.py")
    try_in_queue(octet, agent(octet, "guest-2"), ["path:src/a.py"], place, scope="turn")
    assert "guest-2" in one.write("src/a.py")
    two.stop()
    assert one.write("src/a.py") == ""


def test_a_command_whose_paths_are_known_in_part_waits_for_whoever_holds_one(
    clients: list[Client], octet: Octet
) -> None:
    """`find -exec sed -i` over a tree in which another agent holds a file is denied, elsewhere it
    is not; no lock is taken.
    """
    one, two, _ = clients
    one.start()
    two.start()
    one.write("src/a.py")
    told = two.shell("find src -name '*.py' -exec sed -i s/a/b/ {} +")
    assert "src/a.py (which this may change) is held by guest-1" in told
    assert two.shell("find docs -name '*.py' -exec sed -i s/a/b/ {} +") == ""
    assert two.shell("find src -name '*.txt' -delete") == ""
    assert one.shell("find src -name '*.py' -exec sed -i s/a/b/ {} +") == ""
    assert [lock.resource for lock in octet.locks.list()] == ["path:src/a.py"]
