"""A project's keys with type, size and expiry, and its primitives with the time of their last use.

A primitive (a queue, a map with its queue and errors) has several keys, which are deleted together
or not at all. Tasks, agents, locks, messages and the log are not among them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from redis.cluster import RedisCluster
from redis.exceptions import ResponseError, WatchError

from octet.base.errors import Refused
from octet.base.vocabulary import RUN_NAME
from octet.patterns.runs import KINDS
from octet.store.scan import scan_keys
from octet.store.scripts import Store

KEYS_PER_CALL = 500
MAP_QUEUE = "map:"
_RUN = re.compile(rf"run:({RUN_NAME.pattern}):(.*)", re.DOTALL)
_STARTS = {start: kind for kind, starts in KINDS.items() for start in starts}


@dataclass(frozen=True)
class Key:
    """One key."""

    name: str  # without the project's prefix
    kind: str  # of its primitive, or the first part of its name
    run: str  # "": none
    type: str  # as the server names it
    ttl_ms: int  # -1: for ever
    bytes: int  # as the server says


@dataclass(frozen=True)
class Primitive:
    """One queue, state, counter or another kind, with all its keys."""

    kind: str
    name: str
    run: str  # "": none
    keys: tuple[str, ...]
    idle_s: int | None = None  # since its last use, where that was asked for


def list_keys(store: Store, prefix: str = "") -> Iterator[Key]:
    """Every key of the project whose name begins with `prefix`; scans the keyspace in steps."""
    start = _base(store)
    for names in _in_steps(scan_keys(store, start + prefix)):
        with store.errors():
            pipe = store.client.pipeline(transaction=False)
            for name in names:
                pipe.type(name).pttl(name).memory_usage(name)
            found = pipe.execute(raise_on_error=False)
        for i, name in enumerate(names):
            kind, ttl_ms, size = found[3 * i : 3 * i + 3]
            if kind != "none":  # it has expired meanwhile
                rest = name.removeprefix(start)
                run, own, _ = _placed(rest)
                yield Key(
                    rest,
                    own or rest.partition(":")[0],
                    run,
                    str(kind),
                    _int(ttl_ms, -1),
                    _int(size, 0),
                )


def list_primitives(store: Store, run: str | None = None, *, dated: bool = True) -> list[Primitive]:
    """The primitives of the project and its runs, or of one run ("": of none); `dated`: with the
    time since their last use.

    Raises:
        Refused: the server does not keep that time (its maxmemory-policy counts uses instead).
    """
    found = _grouped(store, run)
    return (
        [replace(primitive, idle_s=_idle_of(store, primitive)) for primitive in found]
        if dated
        else found
    )


def _grouped(store: Store, run: str | None = None) -> list[Primitive]:
    start, grouped = _base(store), dict[tuple[str, str, str], list[str]]()
    for key in scan_keys(store, start):
        in_run, kind, name = _placed(key.removeprefix(start))
        if kind and run in (None, in_run):
            grouped.setdefault((in_run, kind, name), []).append(key)
    for (in_run, kind, name), keys in [*grouped.items()]:
        if (
            kind == "queue"
            and name.startswith(MAP_QUEUE)
            and (of_map := grouped.get((in_run, "map", name.removeprefix(MAP_QUEUE))))
        ):
            of_map += keys
            del grouped[in_run, kind, name]
    return [
        Primitive(kind, name, in_run, tuple(keys))
        for (in_run, kind, name), keys in sorted(grouped.items())
    ]


def primitive_names(store: Store) -> set[tuple[str, str, str]]:
    """Run ("": none), kind and name of every primitive."""
    start = _base(store)
    return {
        (run, kind, name)
        for key in scan_keys(store, start)
        for run, kind, name in [_placed(key.removeprefix(start))]
        if kind
    }


def delete_unused(store: Store, primitive: Primitive, older_than_s: float) -> bool:
    """Delete a primitive that has not been used for so long; False if it has been."""
    # On a cluster redis-py watches no keys: a use at this very moment is missed.
    if isinstance(store.client, RedisCluster):
        with store.errors():
            return _idle_s(store.client, primitive.keys) >= older_than_s and bool(
                store.client.unlink(*primitive.keys)
            )
    with store.errors(), store.client.pipeline(transaction=True) as pipe:
        try:
            pipe.watch(*primitive.keys)
            if _idle_s(pipe, primitive.keys) < older_than_s:
                return False
            pipe.multi()
            pipe.unlink(*primitive.keys)
            pipe.execute()
        except WatchError:
            return False  # it has just been used
    return True


def list_without_expiry(store: Store) -> list[Primitive]:
    """The primitives whose keys never expire, because redis-cli made them or by `ttl_s`."""
    return [primitive for primitive in _grouped(store) if _lives_for_ever(store, primitive)]


def _idle_of(store: Store, primitive: Primitive) -> int:
    with store.errors():
        return _idle_s(store.client, primitive.keys)


def _lives_for_ever(store: Store, primitive: Primitive) -> bool:
    with store.errors():
        pipe = store.client.pipeline(transaction=False)
        for key in primitive.keys:
            pipe.pttl(key)
        return -1 in pipe.execute()


def _idle_s(client: object, keys: Sequence[str]) -> int:
    """The time since the last use of any of the keys."""
    try:
        found = [client.object("idletime", key) for key in keys]  # type: ignore[attr-defined]
    except ResponseError as error:
        if "LFU" not in str(error):
            raise
        raise Refused(
            "this server does not keep when a key was last used (maxmemory-policy is LFU): delete "
            "by --run instead"
        ) from error
    return min((int(idle) for idle in found if idle is not None), default=0)


def _base(store: Store) -> str:
    return replace(store.keys, run="").own


def _placed(rest: str) -> tuple[str, str, str]:
    """Run, kind and name of a primitive's key; kind "" for a key that belongs to the crew."""
    match = _RUN.fullmatch(rest)
    run, own = (match[1], match[2]) if match else ("", rest)
    for start, kind in _STARTS.items():
        if own.startswith(start):
            return run, kind, own.removeprefix(start)
    return run, "", own


def _in_steps(names: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for name in names:
        batch.append(name)
        if len(batch) == KEYS_PER_CALL:
            yield batch
            batch = []
    if batch:
        yield batch


def _int(reply: object, default: int) -> int:
    return reply if isinstance(reply, int) else default
