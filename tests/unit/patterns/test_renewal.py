"""A lease that is renewed while a block runs."""

from __future__ import annotations

import threading

import pytest

from octet.base.errors import OctetError, Refused, StaleToken
from octet.patterns.renewal import renewing


def test_it_is_renewed_until_the_block_ends() -> None:
    """Again and again, also after an error of the store; never after the block."""
    renewed, calls = threading.Event(), list[int]()

    def renew() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise Refused("not now")
        renewed.set()

    with renewing(renew, 0.02, "lease"):
        assert renewed.wait(10)
    count = len(calls)
    assert "lease" not in [thread.name for thread in threading.enumerate()]
    assert len(calls) == count >= 3


def test_a_lost_lease_is_not_renewed_again() -> None:
    """The block goes on, and what settles its item says so."""
    lost, calls = threading.Event(), list[int]()

    def renew() -> None:
        calls.append(1)
        lost.set()
        raise StaleToken("gone")

    with renewing(renew, 0.02, "lost lease"):
        assert lost.wait(10)
        for thread in threading.enumerate():
            if thread.name == "lost lease":
                thread.join(10)
    assert calls == [1]


def test_an_error_of_the_block_is_raised() -> None:
    """And the thread has ended then."""
    with pytest.raises(OctetError, match="mine"), renewing(lambda: None, 60, "own lease"):
        raise OctetError("mine")
    assert "own lease" not in [thread.name for thread in threading.enumerate()]
