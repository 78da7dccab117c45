"""Settings and states of a server that harm a project although every command works, and rights that
the user lacks.

    for trouble in examine(store):      # Trouble("eviction", True, "may delete Octet's data: …")

A server of Octet's own has none of these; a server that people run for another purpose often has: a
cache evicts, a container keeps nothing on disk. The examination changes nothing but one key, which
lives a few seconds and shows what the user may do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from octet.store.scripts import Store

NEARLY_FULL = 0.9
PROBE_MS = 5_000

# Every command that Octet's scripts and its library send, with arguments that change nothing on a
# key that holds a text; a test compares the names with the sources. `{k}` is the probe's key, and a
# channel. The commands that end the probe stand last.
_LISTING = """
GET {k} | EXISTS {k} | TYPE {k} | PTTL {k} | PERSIST {k} | PEXPIRE {k} 5000 | INCR {k}
INCRBY {k} 1 | OBJECT IDLETIME {k} | HGET {k} f | HSET {k} f v | HDEL {k} f | HGETALL {k}
HMGET {k} f | HEXISTS {k} f | HLEN {k} | HINCRBY {k} f 1
SADD {k} m | SREM {k} m | SMEMBERS {k} | SCARD {k} | SRANDMEMBER {k}
XADD {k} * f v | XRANGE {k} - + COUNT 1 | XREVRANGE {k} + - COUNT 1
XLEN {k} | XDEL {k} 1-1 | XINFO STREAM {k} | LTRIM {k} 0 0 | ZREMRANGEBYSCORE {k} 0 0
LPUSH {k} v | RPUSH {k} v | RPOP {k} | LLEN {k} | LINDEX {k} 0 | LRANGE {k} 0 0 | BLPOP {k} 0.01
ZADD {k} 1 m | ZREM {k} m | ZSCORE {k} m | ZCARD {k} | ZCOUNT {k} 0 1 | ZRANGE {k} 0 0
ZREVRANGE {k} 0 0 | ZRANGEBYLEX {k} - + | PUBLISH {k} x | TIME | SCAN 0 COUNT 1 | INFO server
EVAL return(1) 0 | EVALSHA {sha} 0 | SCRIPT EXISTS {sha} | UNLINK {k} | DEL {k}
"""
COMMANDS = tuple(
    words.strip() for line in _LISTING.split("\n") for words in line.split("|") if words.strip()
)
NO_SHA = "0" * 40


@dataclass(frozen=True)
class Trouble:
    """One finding. `grave`: data will be lost or commands fail; `what` also says what to do."""

    subject: str
    grave: bool
    what: str


def examine(store: Store) -> Iterator[Trouble]:
    """Every trouble of the server that holds a project; last what it says to a write.

    Raises:
        StoreUnreachable: it does not answer, or takes no write.
    """
    with store.errors():
        info, settings = _info(store.client), _settings(store.client)
    yield from _memory(info)
    yield from _disk(info, settings)
    yield from _replication(info)
    if settings.get("notify-keyspace-events") == "":
        yield Trouble(
            "expiry",
            False,
            "notify-keyspace-events is off: a dead machine is noticed by the sweep alone; "
            "`Ex` tells it sooner",
        )
    with store.errors():
        missing = missing_rights(store)
    if missing:
        yield Trouble(
            "rights",
            True,
            f"this user lacks {', '.join(missing)}: grant them with ACL SETUSER, keys and "
            "channels workflow:*",
        )


def missing_rights(store: Store) -> list[str]:
    """The commands, in small letters, and "keys" or "channels", that the server's ACL denies this
    user for the project.
    """
    key = store.keys.own + "kv:octet-doctor"
    try:
        # On a key that holds a text every other kind of write fails and changes nothing; and it is
        # gone by itself.
        store.client.set(key, "x", px=PROBE_MS)
    except NoPermissionError as error:
        return ["keys" if "key" in str(error) else "set"]
    one_node = not hasattr(
        store.client, "get_node_from_key"
    )  # a cluster's client sends a command without key anywhere
    return [
        name
        for words in COMMANDS
        if (one_node or "{k}" in words) and (name := _denied(store.client, key, words))
    ]


def _denied(client: Any, key: str, words: str) -> str:
    """What is denied of one command; empty when it may be run, whatever else is wrong with it."""
    command = [{"{k}": key, "{sha}": NO_SHA}.get(word, word) for word in words.split(" ")]
    try:
        client.execute_command(*command)
    except NoPermissionError as error:
        return "channels" if "channel" in str(error) else command[0].lower()
    except ResponseError:
        return ""
    return ""


def _info(client: Any) -> Mapping[str, Any]:
    try:
        reply = client.info()
    except NoPermissionError:
        return {}
    return (
        reply if "redis_version" in reply else next(iter(reply.values()), {})
    )  # a cluster may answer by node


def _settings(client: Any) -> Mapping[str, str]:
    """The settings that INFO lacks; empty where the user may not ask, as on most hosted servers."""
    found: dict[str, str] = {}
    try:
        for name in ("save", "appendfsync", "notify-keyspace-events"):
            found |= client.config_get(name)
    except ResponseError:
        return {}
    return found


def _memory(info: Mapping[str, Any]) -> Iterator[Trouble]:
    limit, policy = int(info.get("maxmemory", 0)), str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction" and limit:
        yield Trouble(
            "eviction",
            True,
            f"maxmemory-policy {policy} deletes Octet's data when memory is full: set it to "
            "noeviction",
        )
    elif policy != "noeviction":
        yield Trouble(
            "eviction",
            False,
            f"maxmemory-policy is {policy}, without effect as long as maxmemory is 0; "
            "noeviction is safe",
        )
    used = int(info.get("used_memory", 0))
    if limit and used > limit * NEARLY_FULL:
        yield Trouble(
            "memory",
            True,
            f"{used / limit:.0%} of its maxmemory ({limit:,} bytes) is used: raise it, or "
            "remove data",
        )


def _disk(info: Mapping[str, Any], settings: Mapping[str, str]) -> Iterator[Trouble]:
    appends = bool(int(info.get("aof_enabled", 1)))
    if not appends and settings.get("save") == "":
        yield Trouble(
            "disk",
            True,
            "it keeps nothing on disk, a restart loses every task: CONFIG SET appendonly yes",
        )
    elif not appends:
        yield Trouble(
            "disk",
            False,
            "without appendonly a crash loses what came after its last snapshot: CONFIG SET "
            "appendonly yes",
        )
    elif settings.get("appendfsync", "always") != "always":
        yield Trouble(
            "disk",
            False,
            f"appendfsync {settings['appendfsync']}: a power failure may take the last "
            "second or more",
        )
    for name, what in (
        ("aof_last_write_status", "append to its file"),
        ("rdb_last_bgsave_status", "write its snapshot"),
    ):
        if info.get(name, "ok") != "ok":
            yield Trouble(
                "disk", True, f"it could not {what}: free space on its disk, and see its log"
            )


def _replication(info: Mapping[str, Any]) -> Iterator[Trouble]:
    if info.get("role") == "slave":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        yield Trouble(
            "role",
            True,
            f"it is a read-only replica of {primary}: give that, or "
            "redis+sentinel://host:port/service",
        )
