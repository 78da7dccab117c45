"""The scripts as texts: what they declare is what they use, they call nothing forbidden, and leak
no global.
"""

from __future__ import annotations

import pytest
from tests.support import lua_source as source

from octet.store.script_files import INCLUDE, load_script, read_signature
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


@pytest.mark.parametrize("file", source.FILES)
def test_a_file_declares_what_it_uses(file: str) -> None:
    """Each name of `K` and `A` in a file's lines is in its header, and no other key is; a script
    also lists the arguments that its includes read.
    """
    declared, used = source.declared(file), source.used(source.read(file))
    made_of = {key.of for key in read_signature(file, [source.read(file)]).keys}
    assert declared.keys == used.keys
    assert used.args <= declared.args
    read = source.used(load_script(file).text) if file in source.NAMES else used
    assert declared.args - made_of <= read.args


@pytest.mark.parametrize("name", source.NAMES)
def test_a_script_lists_its_arguments_and_replies(name: str) -> None:
    """The header of a script names every argument, those of its includes too, and every code."""
    signature = load_script(name).signature
    assert source.declared(name).args == {*signature.args, signature.rest} - {""}
    assert source.returned_codes(name) == source.used_codes(name)


def test_reply_codes_equal_the_enum() -> None:
    """`Reply` has the codes that scripts answer, and no other."""
    assert {code for name in source.NAMES for code in source.returned_codes(name)} == {
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


@pytest.mark.parametrize("file", source.FILES)
def test_size(file: str) -> None:
    """One transition fits on a page."""
    lines = source.read(file).splitlines()
    assert len(lines) <= 80
    assert max(map(len, lines)) <= 100


def test_every_include_is_included() -> None:
    """No file asks for an include twice, and no include is left over."""
    asked = set()
    for file in source.FILES:
        lines = source.read(file).splitlines()
        includes = [line for line in lines if line.startswith(INCLUDE)]
        assert len(includes) == len(set(includes))
        asked |= {line.removeprefix(INCLUDE) for line in includes}
    assert asked == {path.stem for path in (source.FOLDER / "include").iterdir()}
