"""What the header of a Lua file declares, and how a call is put in its order."""

from __future__ import annotations

from typing import Any

import pytest

from octet.store.keys import Keys
from octet.store.script_files import (
    DeclaredKey,
    Signature,
    included_files,
    load_script,
    preamble,
    read_signature,
)
from octet.store.scripts import Store

HEADER = """-- a/b.lua: an example.
-- KEYS log STREAM · task* HASH · sent(sender) LIST ·
--   channel* PUBSUB
-- ARGV agent · ttl_ms: how long · names…: one
--   or more
-- Returns {OK}.
local K = {}
-- KEYS token STRING
"""


def test_a_header() -> None:
    """Entries over several lines, prefixes, keys made of a value, channels, notes and a list."""
    assert read_signature("a/b", [HEADER]) == Signature(
        keys=(
            DeclaredKey("log", "STREAM"),
            DeclaredKey("task", "HASH", prefix=True),
            DeclaredKey("sent", "LIST", of="sender"),
        ),
        channels=(DeclaredKey("channel", "PUBSUB", prefix=True),),
        args=("agent", "ttl_ms"),
        rest="names",
    )


def test_what_two_files_declare_counts_once() -> None:
    """An include's names come first, and a name that both have has one place."""
    include = "-- KEYS token STRING · log STREAM\n-- ARGV ttl_ms\n"
    found = read_signature("a/b", [include, HEADER])
    assert [key.name for key in found.keys] == ["token", "log", "task", "sent"]
    assert found.args == ("ttl_ms", "agent")


@pytest.mark.parametrize(
    "files",
    [
        ["-- KEYS log\n"],
        ["-- KEYS log STREAM, token STRING\n"],
        ["-- ARGV agent and more\n"],
        ["-- ARGV agents… · names…\n"],
        ["-- KEYS lock* STRING\n", "-- KEYS lock(resource) STRING\n"],
    ],
)
def test_a_header_that_cannot_be_read(files: list[str]) -> None:
    """A mistake in a declaration is an error where the script is loaded."""
    with pytest.raises(ValueError, match=r"^a/b\.lua: "):
        read_signature("a/b", files)


def test_the_preamble_names_what_the_server_numbers() -> None:
    """Keys and channels are fields of K, arguments of A, a list takes what is left."""
    assert preamble(read_signature("a/b", [HEADER])) == (
        "local K, A = { log = KEYS[1], task = KEYS[2], sent = KEYS[3], channel = ARGV[1] }, "
        "{ agent = ARGV[2], ttl_ms = ARGV[3] } A.names = {} "
        "for i = 4, #ARGV do A.names[i - 3] = ARGV[i] end"
    )


def test_each_include_comes_once_and_before_its_user() -> None:
    """Includes of includes stand in front of what uses them."""
    files = included_files("task/claim")
    assert len(files) == len(set(files))
    assert files[-1] == "task/claim"
    assert files.index("include/globs") < files.index("include/scopes")
    assert load_script("task/claim").text.count("local function now_ms") == 1


def command(**values: Any) -> list[Any]:
    return Store(None, Keys("p")).command("lock/touch_path", **values)  # type: ignore[arg-type]


TOUCH = {"agent": "dev-1", "incarnation": "7", "branch": "b", "ttl_ms": 5}


def test_a_command_has_keys_and_arguments_in_the_script_s_order() -> None:
    """Fixed keys, a key made of a value, the channel, the arguments and the list."""
    script, words = load_script("lock/touch_path"), command(**TOUCH, paths=["x", "y"])
    count = len(script.signature.keys)
    assert words[:3] == ["EVALSHA", script.sha, count]
    keys = dict(zip([key.name for key in script.signature.keys], words[3:], strict=False))
    assert keys["claims"] == Keys("p").claims("dev-1")
    assert keys["touched"] == Keys("p").touched("")
    assert words[3 + count :] == [Keys("p").channel(""), "dev-1", "7", "b", 5, "x", "y"]


def test_a_call_gives_exactly_the_values_of_the_script() -> None:
    """A value too few or too many is the caller's mistake, named."""
    with pytest.raises(TypeError, match="lock/touch_path needs the value 'paths'"):
        command(**TOUCH)
    with pytest.raises(TypeError, match="lock/touch_path takes no value more"):
        command(**TOUCH, paths=[], more=1)
