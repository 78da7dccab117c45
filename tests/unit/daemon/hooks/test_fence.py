"""Which agent of a process git's hooks judge."""

from __future__ import annotations

from tests.unit.daemon.fakes import agent

from octet.core.locks.locks import Lock
from octet.daemon.hooks.fence import GitCaller

SESSION, CHILD, OTHER = agent("developer-1"), agent("developer-2"), agent("developer-3")
FAMILY = (SESSION, CHILD)


def test_the_named_agent_then_the_holder_then_the_session() -> None:
    """A name or a holder that is not of this process changes nothing."""
    held = [Lock("repository:main", OTHER.id), Lock("repository:release", CHILD.id)]
    assert GitCaller(FAMILY).judged([]) == SESSION
    assert GitCaller(FAMILY).judged(held) == CHILD
    assert GitCaller(FAMILY, named=SESSION.id).judged(held) == SESSION
    assert GitCaller(FAMILY, named=OTHER.id).judged([]) == SESSION
    assert GitCaller(FAMILY).names == {SESSION.id, CHILD.id}
