"""The scripts as texts: what they declare is what they use, they call nothing forbidden, and leak
no global.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support import lua_source as source

from octet.store.script_files import load_script
from octet.store.scripts import Reply

# All of them in Redis 6.2; none is @dangerous, walks the keyspace, blocks, or gives what differs
# between two servers.
COMMANDS = {
    *{
        "DEL",
        "EXISTS",
        "GET",
        "SET",
        "INCR",
        "INCRBY",
        "PERSIST",
        "PEXPIRE",
        "PTTL",
        "TIME",
        "PUBLISH",
    },
    *{"HDEL", "HEXISTS", "HGET", "HGETALL", "HINCRBY", "HLEN", "HMGET", "HSET"},
    *{
        "LINDEX",
        "LLEN",
        "LPUSH",
        "LTRIM",
        "RPOP",
        "RPUSH",
        "SADD",
        "SCARD",
        "SMEMBERS",
        "SREM",
        "SRANDMEMBER",
    },
    *{
        "XADD",
        "XDEL",
        "XINFO",
        "XLEN",
        "XRANGE",
        "ZADD",
        "ZCARD",
        "ZCOUNT",
        "ZREM",
        "ZRANGE",
        "ZRANGEBYLEX",
        "ZREMRANGEBYSCORE",
        "ZREVRANGE",
        "ZSCORE",
    },
}
PROBES = {"HLEN", "LLEN", "SCARD", "STRLEN", "XLEN", "ZCARD"}
GLOBALS = {
    "ARGV",
    "KEYS",
    "cjson",
    "ipairs",
    "math",
    "pcall",
    "redis",
    "string",
    "table",
    "tonumber",
    "type",
    "unpack",
}


@pytest.mark.parametrize("name", source.NAMES)
def test_declared_is_used(name: str) -> None:
    """Each KEYS, ARGV and reply code of the header is used, and no other; KEYS are numbered without
    a gap.
    """
    declared, used = source.declared(name), source.used(name)
    assert set(declared.keys) == set(used.keys) == set(range(1, len(declared.keys) + 1))
    assert declared.args == used.args == set(range(1, len(declared.args) + 1))
    assert declared.open_ended == used.open_ended
    assert declared.codes == used.codes


def test_reply_codes_equal_the_enum() -> None:
    """`Reply` has the codes that scripts answer, and no other."""
    assert {code for name in source.NAMES for code in source.declared(name).codes} == {
        str(code) for code in Reply
    }


@pytest.mark.parametrize("name", source.NAMES)
def test_commands(name: str) -> None:
    """A script calls what is allowed, by name; only the probe for a key's type is a variable."""
    assert source.commands(name) - COMMANDS <= {"probe"}
    text = source.body(name)
    assert text.count("expect(") == sum(text.count(f"expect('{probe}'") for probe in PROBES) + 2 * (
        "local function expect" in text
    )


@pytest.mark.parametrize("name", source.NAMES)
def test_globals(name: str) -> None:
    """In the compiled script, dead branches included, no global is written and none read beyond the
    server's own few.
    """
    read, written = source.globals_of(load_script(name).text)
    assert written == set()
    assert read <= GLOBALS


def test_a_leaked_global_would_be_seen() -> None:
    """The check on globals sees a leak in a function that is never called."""
    read, written = source.globals_of("local function never() leak = other end return {'OK'}")
    assert (read, written) == ({"other"}, {"leak"})


@pytest.mark.parametrize("path", source.FILES, ids=lambda path: path.stem)
def test_size(path: Path) -> None:
    """One transition fits on a page."""
    assert len(path.read_text().splitlines()) <= 80
    assert max(map(len, path.read_text().splitlines())) <= 140


def test_every_include_is_included() -> None:
    """No script asks for an include twice, and no include is left over."""
    asked = set()
    for name in source.NAMES:
        lines = [
            line
            for line in (source.FOLDER / f"{name}.lua").read_text().splitlines()
            if line.startswith(source.INCLUDE)
        ]
        assert len(lines) == len(set(lines))
        asked |= {line.removeprefix(source.INCLUDE) for line in lines}
    assert asked == {path.stem for path in (source.FOLDER / "include").iterdir()}
