"""Claims that wait, on real servers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from tests.support.redis_fixtures import wait_for
from tests.support.store_fixtures import join

from octet.base.errors import NothingToClaim
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.tasks import ClaimOrder
from octet.core.tasks.waiting import claim_when_there


def wait_for_count(count: Callable[[], int], wanted: int) -> None:
    wait_for(lambda: count() == wanted, f"{wanted} agents wait or have theirs")


def test_a_blocking_claim_wakes(octet: Octet) -> None:
    """Whoever waits has the task as soon as it is there, in the order in which they came, and
    leaves no place behind.
    """
    agents, got = [join(octet) for _ in range(3)], list[str]()
    waiters = octet.store.keys.waiters("build:build")

    def wait(agent: Agent) -> None:
        claim_when_there(octet.store, agent, "build", 20)
        got.append(agent.id)

    threads = [threading.Thread(target=wait, args=(agent,)) for agent in agents]
    for number, thread in enumerate(threads, 1):
        thread.start()
        wait_for_count(lambda: octet.store.client.zcard(waiters), number)
    for number, thread in enumerate(threads, 1):
        octet.tasks.add("work")
        wait_for_count(lambda: len(got), number)
        thread.join(10)
    assert got == [agent.id for agent in agents]
    assert octet.store.client.exists(waiters) == 0


def test_a_waiter_that_died_holds_up_nobody(octet: Octet) -> None:
    """The place of one that does not come is passed over after a moment."""
    dead, alive = join(octet), join(octet)
    with pytest.raises(NothingToClaim):
        octet.tasks.claim(dead, turn=ClaimOrder.WAIT)
    octet.tasks.add("work")
    began = time.monotonic()
    assert claim_when_there(octet.store, alive, "build", 20).holder == alive.id
    assert time.monotonic() - began < 10
