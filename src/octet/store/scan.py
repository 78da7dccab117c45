"""The keys with a given prefix, by SCAN: in steps, so that a server with millions keeps serving.

The keyspace itself is read, not an index beside it: an index would miss keys that redis-cli made,
and keep keys that have expired. All keys of a project are on one node of a cluster, and only that
one is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from octet.store.scripts import Store

STEP = 1000


def scan_keys(store: Store, prefix: str) -> Iterator[str]:
    """Each key with the prefix that exists throughout the scan, once."""
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
    only = {}
    with store.errors():
        if hasattr(store.client, "get_node_from_key"):
            only = {"target_nodes": store.client.get_node_from_key(prefix)}
        seen: set[str] = set()
        for key in store.client.scan_iter(pattern, count=STEP, **only):
            if key not in seen:
                seen.add(key)
                yield key


def delete_keys(store: Store, prefix: str) -> int:
    """Delete the keys with the prefix; returns how many. A key that is made meanwhile may stay."""
    batch, deleted = list[str](), 0
    for key in scan_keys(store, prefix):
        batch.append(key)
        if len(batch) == STEP:
            deleted += _unlink(store, batch)
            batch = []
    return deleted + (_unlink(store, batch) if batch else 0)


def _unlink(store: Store, keys: list[str]) -> int:
    with store.errors():
        return int(store.client.unlink(*keys))
