"""What a project has in the store: every key with its type, size and end, and what nobody has used
for long.

A thing (a queue, a map with its queue and errors) is several keys, and goes as a whole or stays.
Tasks, agents, locks, messages and the log are never among the things.
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

STEP = 500
MAP_QUEUE = "map:"
_RUN = re.compile(rf"run:({RUN_NAME.pattern}):(.*)", re.DOTALL)
_STARTS = {start: kind for kind, starts in KINDS.items() for start in starts}


@dataclass(frozen=True)
class Key:
    """One key: its name without the project's prefix, kind and run ("": none), `ttl_ms` (-1: for
    ever), size as the server says.
    """

    name: str
    kind: str
    run: str
    type: str
    ttl_ms: int
    bytes: int


@dataclass(frozen=True)
class Thing:
    """What belongs together under one name; `idle_s` is since its last use, where that was asked
    for.
    """

    kind: str
    name: str
    run: str
    keys: tuple[str, ...]
    idle_s: int | None = None


def keys_of(store: Store, prefix: str = "") -> Iterator[Key]:
    """Every key of the project whose name begins with `prefix`; asks the server bit by bit."""
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


def things(store: Store, run: str | None = None, *, dated: bool = True) -> list[Thing]:
    """Everything for people's own use, in the project and its runs, or in one run ("": in none);
    `dated`: with how long it was not used.

    Raises:
        Refused: the server does not know how long a key was not used (its maxmemory-policy counts
            uses instead).
    """
    found = _grouped(store, run)
    return [replace(thing, idle_s=_idle_of(store, thing)) for thing in found] if dated else found


def _grouped(store: Store, run: str | None = None) -> list[Thing]:
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
        Thing(kind, name, in_run, tuple(keys))
        for (in_run, kind, name), keys in sorted(grouped.items())
    ]


def places(store: Store) -> set[tuple[str, str, str]]:
    """Run ("": none), kind and name of every thing."""
    start = _base(store)
    return {
        (run, kind, name)
        for key in scan_keys(store, start)
        for run, kind, name in [_placed(key.removeprefix(start))]
        if kind
    }


def collect(store: Store, thing: Thing, older_than_s: float) -> bool:
    """Delete a thing if it was not used for so long until this very moment; whether it was deleted."""
    if isinstance(
        store.client, RedisCluster
    ):  # redis-py watches no keys there; a use in this very moment is not seen
        with store.errors():
            return _idle_s(store.client, thing.keys) >= older_than_s and bool(
                store.client.unlink(*thing.keys)
            )
    with store.errors(), store.client.pipeline(transaction=True) as pipe:
        try:
            pipe.watch(*thing.keys)
            if _idle_s(pipe, thing.keys) < older_than_s:
                return False
            pipe.multi()
            pipe.unlink(*thing.keys)
            pipe.execute()
        except WatchError:
            return False  # somebody has just used it
    return True


def endless(store: Store) -> list[Thing]:
    """The things whose keys have no end, because redis-cli made them or somebody asked for that."""
    return [thing for thing in _grouped(store) if _lives_for_ever(store, thing)]


def _idle_of(store: Store, thing: Thing) -> int:
    with store.errors():
        return _idle_s(store.client, thing.keys)


def _lives_for_ever(store: Store, thing: Thing) -> bool:
    with store.errors():
        pipe = store.client.pipeline(transaction=False)
        for key in thing.keys:
            pipe.pttl(key)
        return -1 in pipe.execute()


def _idle_s(client: object, keys: Sequence[str]) -> int:
    """Since the last use of any of the keys."""
    try:
        found = [client.object("idletime", key) for key in keys]  # type: ignore[attr-defined]
    except ResponseError as error:
        if "LFU" not in str(error):
            raise
        raise Refused(
            "this server does not keep how long a key was not used (maxmemory-policy is "
            "LFU): delete by --run instead"
        ) from error
    return min((int(idle) for idle in found if idle is not None), default=0)


def _base(store: Store) -> str:
    return replace(store.keys, run="").own


def _placed(rest: str) -> tuple[str, str, str]:
    """Run, kind and name of a thing's key; kind "" for a key that belongs to the crew."""
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
        if len(batch) == STEP:
            yield batch
            batch = []
    if batch:
        yield batch


def _int(reply: object, default: int) -> int:
    return reply if isinstance(reply, int) else default
