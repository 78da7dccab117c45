"""Fencing tokens after a power failure: no token comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.store.embedded_server import (
    kill,
    log_of,
    lose_power,
)
from tests.support.redis_fixtures import Server, find_program
from tests.support.store_fixtures import join

from octet.base.errors import StaleToken
from octet.client.api import Octet
from octet.store import embedded
from octet.store.connection import connect, open_client
from octet.store.token_epoch import EPOCH_STEP


def test_a_lost_claims_token_is_not_given_again(running: Path) -> None:
    """Who holds a claim of the second that a power failure took is refused, though the task is
    claimed again meanwhile.

    Without the step the second claim of the task has the first one's token, and the first agent's
    completion counts as the second's.
    """
    with Octet(connect(None), "p") as octet:
        octet.tasks.add("x")
        safe = log_of(running).read_bytes()
        first = octet.tasks.claim(join(octet))
        lose_power(running, safe)
        second = octet.tasks.claim(join(octet))
        assert second.id == first.id
        assert int(second.token) > int(first.token)
        with pytest.raises(StaleToken):
            octet.tasks.complete(first.id, first.token)
        octet.tasks.complete(second.id, second.token)


def test_a_lost_locks_token_is_not_given_again(
    running: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for locks, and in power failures one upon the other: the step is safe on disk before
    the first token.
    """
    tokens = []
    safe = b""
    flush = embedded.flush_to_disk

    def flush_and_look(directory: Path | None = None) -> None:
        nonlocal safe
        flush(directory)
        safe = log_of(running).read_bytes()

    monkeypatch.setattr("octet.store.token_epoch.flush_to_disk", flush_and_look)
    with Octet(connect(None), "p") as octet:
        octet.tasks.add("x")
        safe = log_of(running).read_bytes()
        for _ in range(3):
            tokens.append(int(octet.locks.acquire(join(octet), ["name:deploy"])["name:deploy"]))
            lose_power(running, safe)
    assert tokens == sorted(set(tokens))


def test_every_projects_tokens_advance(running: Path) -> None:
    """Also those of a project whose clients find the scripts loaded already, by another's."""
    with Octet(connect(None), "p") as one, Octet(connect(None), "q") as other:
        counters = [octet.store.keys.token for octet in (one, other)]
        for octet in (one, other):
            join(octet)
        before = [int(one.store.client.get(key)) for key in counters]
        one.store.client.set("workflow:{p}:counter:token", "5")  # a user's own, of a similar name
        kill(running)
        join(one)
        after = [int(one.store.client.get(key)) for key in counters]
        assert min(now - then for now, then in zip(after, before, strict=True)) >= EPOCH_STEP
        assert one.store.client.get("workflow:{p}:counter:token") == "5"
        join(other)
        assert (
            int(other.store.client.get(counters[1])) < after[1] + 10
        )  # once for each run of the server


def test_tokens_advance_on_a_server_of_others(short_directory: Path, server_program: Path) -> None:
    """A Redis that people run themselves, whatever became of its last second."""
    own = Server(
        server_program, short_directory, "--appendonly", "yes", "--appendfsync", "always"
    ).start()
    try:
        with Octet(open_client(own.url), "p") as octet:
            before = int(octet.tasks.claim(join(octet), task_id=octet.tasks.add("x").id).token)
            own.kill()
            own.start()
            assert int(join(octet).incarnation) > before + EPOCH_STEP // 2
    finally:
        own.kill()


def test_a_user_with_few_rights_advances_its_own_tokens(short_directory: Path) -> None:
    """Whom the ACL denies INFO and other keys gets the step of its own project's counter."""
    own = Server(find_program("redis"), short_directory).start()
    try:
        with open_client(own.url) as admin:
            admin.set("workflow:{p}:token", "7")
            admin.set("workflow:{q}:token", "7")
            admin.acl_setuser(
                "p",
                enabled=True,
                nopass=True,
                commands=["+@all", "-info"],
                keys=["workflow:{p}:*"],
                channels=["workflow:{p}:*"],
            )
            with Octet(open_client(f"unix://p:x@{own.socket}"), "p") as octet:
                join(octet)
            assert int(admin.get("workflow:{p}:token") or 0) > EPOCH_STEP
            assert admin.get("workflow:{q}:token") == "7"
    finally:
        own.kill()
