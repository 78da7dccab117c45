"""The keys with a prefix: every one, no other, once."""

from __future__ import annotations

import pytest

from octet.client.api import Octet
from octet.store import scan
from octet.store.scan import delete_keys, scan_keys

PREFIX = "workflow:{p}:[*?]"


def test_all_keys_with_the_prefix_and_no_other(octet: Octet) -> None:
    """Characters of a pattern in the prefix stand for themselves."""
    made = {f"{PREFIX}{n}" for n in range(2500)}
    client = octet.store.client
    client.mset(dict.fromkeys([*made, "workflow:{p}:*x", "workflow:{p}:x", "other"], "1"))
    found = list(scan_keys(octet.store, PREFIX))
    assert len(found) == len(made)
    assert set(found) == made


def test_deletion_in_steps(octet: Octet, monkeypatch: pytest.MonkeyPatch) -> None:
    """More keys than a step deletes at once are all deleted, and counted; others stay."""
    monkeypatch.setattr(scan, "STEP", 10)
    client = octet.store.client
    client.mset(dict.fromkeys([f"{PREFIX}{n}" for n in range(25)], "1"))
    client.set("workflow:{p}:x", "1")
    assert delete_keys(octet.store, PREFIX) == 25
    assert delete_keys(octet.store, PREFIX) == 0
    assert client.keys("workflow:*") == ["workflow:{p}:x"]
