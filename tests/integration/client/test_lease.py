"""A lock for a block of code."""

from __future__ import annotations

import threading

import pytest
from tests.support.store_fixtures import join

from octet.base.errors import LockHeld, UsageError
from octet.client.api import Octet
from octet.client.lease import Lease, LeaseLost


def test_threads_exclude_each_other(octet: Octet) -> None:
    """Of ten threads that add without any other care none loses an addition, and no agent is left
    on the registry.
    """
    key = "workflow:{p}:counter:c"

    def add() -> None:
        with octet.lock("name:c", wait_s=60):
            value = int(octet.store.client.get(key) or 0)
            octet.store.client.set(key, value + 1)

    threads = [threading.Thread(target=add) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert octet.counter("c").get() == 10
    assert (octet.locks.list(), octet.agents.list()) == ([], [])


def test_a_lock_that_is_not_had(octet: Octet) -> None:
    """The holder is named when the time is over, and nothing is left behind."""
    with octet.lock("name:x") as lease:
        (holder,) = octet.agents.list()
        assert octet.locks.get("name:x").token == lease.token
        for wait_s in (0, 0.2):
            with pytest.raises(LockHeld, match=holder.id), octet.lock("name:x", wait_s=wait_s):
                raise AssertionError
        assert octet.agents.list() == [holder]
    assert octet.agents.list() == []
    with pytest.raises(UsageError), octet.lock("nonsense"):
        raise AssertionError
    assert octet.agents.list() == []


def test_a_lock_is_freed_by_an_error(octet: Octet) -> None:
    """The block's own error is the one that is raised."""
    with pytest.raises(ZeroDivisionError), octet.lock("name:x"):
        raise ZeroDivisionError
    assert octet.locks.list() == []


def test_a_lease_tells_that_it_was_lost_for_a_while(octet: Octet) -> None:
    """Broken and free again: it is taken anew with another token, and what was begun under the old
    one must not go on.
    """
    agent = join(octet)
    with Lease(octet, agent, "repository:main") as lease:
        lease.check()
        octet.locks.break_lock("repository:main", "person-ann")
        with pytest.raises(LeaseLost):
            lease.check()
        lease.check()
    assert octet.locks.list() == []
