"""A copy of Octet with one thing broken in it: what the checker must catch.

The copy is put in front of the real package on PYTHONPATH of a run of the torture, so that nothing
in Octet knows of such tests.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import octet

PACKAGE = Path(octet.__file__).parent
Patch = tuple[str, str]


@dataclass(frozen=True)
class Bug:
    """`patches`: what is replaced by what, by file of the package; each text is there exactly once.

    `mix`: what the workers do; `kills`: whether some are killed; `buries`: whether it shows only
    where an agent expires, which is done every quarter of a second.
    """

    name: str
    invariant: int
    mix: str
    patches: Mapping[str, tuple[Patch, ...]] = field(hash=False)
    kills: bool = False
    buries: bool = False


BUGS = (
    Bug(
        "a write is not asked for its token",
        1,
        "tasks",
        {
            "store/lua/include/held_task.lua": (
                ("held.token == token and held.holder", "held.holder"),
            )
        },
    ),
    Bug(
        "a claimed task is given to the next",
        1,
        "tasks",
        {
            "store/lua/task/claim.lua": (
                (
                    "unqueue(IS_WORK and queue_of(stage, f[4] or '') or K.stage .. stage, id)",
                    "",
                ),
            ),
            "store/lua/include/claimable.lua": (
                ("if state == A.waiting then return id end", "if state then return id end"),
            ),
        },
    ),
    Bug(
        "a claim has the token of the one before",
        1,
        "tasks",
        {"store/lua/task/claim.lua": (("redis.call('INCR', K.token)", "7"),)},
    ),
    Bug(
        "an added task is acknowledged and not stored",
        2,
        "tasks",
        {
            "store/lua/task/add.lua": (
                (
                    "  new_task(K.task .. id, id, order, fields)",
                    "  if order % 9 == 0 then return id end",
                ),
            )
        },
    ),
    Bug(
        "a burial forgets the claims",
        2,
        "tasks",
        {
            "store/lua/include/retire.lua": (
                ("if requeue(id, agent, why, counts) then", "if true then"),
            )
        },
        kills=True,
        buries=True,
    ),
    Bug(
        "a burial forgets the locks",
        3,
        "locks",
        {
            "store/lua/include/retire.lua": (
                ("function() return true end", "function() return false end"),
            )
        },
        kills=True,
        buries=True,
    ),
    Bug(
        "a lock is freed without its token",
        3,
        "locks",
        {"store/lua/lock/release.lua": (("lock.token ~= A.token", "false"),)},
    ),
    Bug(
        "a directory's lock does not cover its files",
        3,
        "locks",
        {
            "store/lua/include/lock_paths.lua": (
                ("if other ~= resource and meets(other, resource) then", "if false then"),
            )
        },
    ),
    Bug(
        "a lock's renewal shortens it",
        3,
        "locks",
        {
            "store/lua/include/take_locks.lua": (
                (
                    "if left_ms >= 0 and left_ms < terms.ttl_ms then redis.call('PEXPIRE', "
                    "key, terms.ttl_ms) end",
                    "redis.call('PEXPIRE', key, 1)",
                ),
            )
        },
    ),
    Bug(
        "the living are declared dead",
        4,
        "tasks",
        {
            "core/agents/registry.py": (("if not beats]", "if beats]"),),
            "store/lua/agent/retire.lua": (("A.why == 'expired' and", "false and"),),
        },
        buries=True,
    ),
    Bug(
        "a message is not marked as given out",
        6,
        "messages",
        {"store/lua/msg/settle.lua": (("redis.call('XDEL', K.inbox .. name, id)", ""),)},
    ),
    Bug(
        "an inbox keeps too few messages",
        6,
        "messages",
        {
            "store/lua/include/post_message.lua": (
                (
                    "redis.call('XLEN', key) >= MAX_WAITING",
                    "redis.call('XTRIM', key, 'MAXLEN', 2) == 'never'",
                ),
            )
        },
    ),
    Bug(
        "a state's version is not compared",
        2,
        "values",
        {"store/lua/state/set.lua": (("if version ~= A.version then", "if false then"),)},
    ),
    Bug(
        "a queue gives an item and keeps it",
        1,
        "queues",
        {
            "store/lua/queue/reserve.lua": (
                ("redis.call('RPOP', K.queue)", "redis.call('LINDEX', K.queue, -1)"),
            )
        },
    ),
    Bug(
        "an item of another worker is done",
        1,
        "queues",
        {
            "store/lua/queue/ack.lua": (
                (
                    "if redis.call('ZREM', K.queue_leased, A.token) == 0 then return { "
                    "'STALE' } end",
                    "redis.call('ZREM', K.queue_leased, A.token)",
                ),
            )
        },
    ),
    Bug(
        "a lease runs out by the client's clock",
        1,
        "queues",
        {
            "patterns/queue.py": (
                (
                    '"queue/reserve", worker=worker,',
                    '"queue/reserve", clock_ms=client_clock_ms(), worker=worker,',
                ),
                (
                    "LEASE_S = 300.0\nMAX",
                    "LEASE_S = 300.0\n\n\ndef client_clock_ms():\n    import time\n\n"
                    "    return int(time.time() * 1000) + os.getpid() % 2 * 900\n\n\nMAX",
                ),
            ),
            "store/lua/queue/reserve.lua": (
                ("-- ARGV ttl_ms", "-- ARGV clock_ms · ttl_ms"),
                ("found, dropped = now_ms(),", "found, dropped = tonumber(A.clock_ms),"),
            ),
        },
    ),
)


def plant(bug: Bug, directory: Path) -> Path:
    """A copy of the package with the bug in it; returns what goes in front of PYTHONPATH.

    Raises:
        AssertionError: as `spoiled`.
    """
    texts = spoiled(bug)
    shutil.copytree(PACKAGE, directory / "octet", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in texts.items():
        (directory / "octet" / name).write_text(text, encoding="utf-8")
    return directory


def spoiled(bug: Bug) -> dict[str, str]:
    """The text of each file with the bug in it.

    Raises:
        AssertionError: the text to be replaced is not there exactly once: Octet has changed, and
            the bug must follow.
    """
    texts = {}
    for name, patches in bug.patches.items():
        text = (PACKAGE / name).read_text(encoding="utf-8")
        for old, new in patches:
            assert text.count(old) == 1, f"{name} has not exactly one {old!r}"
            text = text.replace(old, new)
        texts[name] = text
    return texts
