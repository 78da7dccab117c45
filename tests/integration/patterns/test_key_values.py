"""Values under keys on real servers."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest
from tests.support.store_fixtures import woken

from octet.base.errors import NothingThere
from octet.client.api import Octet


def test_put_get_take(octet: Octet) -> None:
    """A value stays until it is taken; of many that take it one gets it."""
    kv, client = octet.kv, octet.store.client
    assert kv.put("agent:search:results", {"files": ["a.ts", "b.ts"]}, ttl_s=3600)
    assert not kv.put("agent:search:results", 1, new=True)
    assert kv.get("agent:search:results") == {"files": ["a.ts", "b.ts"]}
    taken: list[Any] = []
    threads = [
        threading.Thread(target=lambda: taken.append(kv.take("agent:search:results")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [value for value in taken if value is not None] == [{"files": ["a.ts", "b.ts"]}]
    client.set("workflow:{p}:kv:by-hand", "text", ex=60)
    assert [(m.key, m.value) for m in kv.list()] == [("by-hand", "text")]
    assert kv.list("by-*") == kv.list("x") == []
    assert kv.delete("by-hand", "nothing") == 1


@pytest.mark.usefixtures("only_words")
def test_waiting_for_a_value(octet: Octet) -> None:
    """Woken when it is put; null is a value too."""
    found = woken(
        octet, lambda: octet.kv.wait("k", wait_s=60, take=True), lambda: octet.kv.put("k", None)
    )
    assert found is None
    with pytest.raises(NothingThere):
        octet.kv.wait("k", wait_s=0.1)


def test_time_to_live_of_a_value(octet: Octet) -> None:
    """A day, what was said, or for ever when that was said; put again counts anew."""
    client, key = octet.store.client, octet.store.keys.kv
    octet.kv.put("kept", 1, ttl_s=math.inf)
    assert client.pttl(key("kept")) == -1
    octet.kv.put("kept", 1)
    assert 86_000_000 < client.pttl(key("kept")) <= 86_400_000
    octet.kv.put("kept", 1, ttl_s=1)
    assert 0 < client.pttl(key("kept")) <= 1000
    assert octet.kv.list()[0].ttl_ms <= 1000
