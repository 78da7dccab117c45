"""What is stored comes back as it went, also past redis-cli; names and sizes are bounded."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.base.errors import UsageError
from octet.patterns.values import (
    MAX_BYTES,
    check_field,
    check_key_name,
    decode,
    encode,
    is_same,
    ttl_ms,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_every_value_comes_back(value: Any) -> None:
    """JSON of every kind, and each text that looks like it, is the same after storing."""
    try:
        stored = encode(value)
    except UsageError:
        return
    assert is_same(decode(stored), value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("analyze:src/app.ts", "analyze:src/app.ts"),
        ("42", 42),
        ('"42"', "42"),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("{", "{"),
        ("", ""),
    ],
)
def test_what_redis_cli_left(text: str, value: Any) -> None:
    """JSON is taken as JSON and anything else as text."""
    assert decode(text) == value


@pytest.mark.parametrize("text", ["analyze:src/app.ts", "in_progress", "", "a b\n"])
def test_plain_text_is_stored_as_it_is(text: str) -> None:
    """A reader with redis-cli sees no quotes."""
    assert encode(text) == text


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        {1, 2},
        b"x",
        object(),
        "\ud800",
        ["\ud800"],
        "x" * (MAX_BYTES + 1),
        "é" * 40_000,
    ],
)
def test_values_that_cannot_be(value: Any) -> None:
    """What is no JSON, no Unicode or too large is refused in words."""
    with pytest.raises(UsageError):
        encode(value)


def test_a_value_too_deep() -> None:
    """Nesting too deep to write is an error of usage; as text from redis-cli it is a text."""
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UsageError, match="deep"):
        encode(deep)
    assert decode("[" * 100_000) == "[" * 100_000


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "-a", ":a", "a*", "a?", "[a]", "a\\", "{a}", "a\n", "é", "a" * 201]
)
def test_names_that_cannot_be(name: str) -> None:
    """A name is safe in a key, in a pattern and on a command line."""
    with pytest.raises(UsageError):
        check_key_name("queue", name)


@pytest.mark.parametrize("field", ["", "a\n", "\x00", "a" * 1025])
def test_fields_that_cannot_be(field: str) -> None:
    """A field is one line."""
    with pytest.raises(UsageError):
        check_field(field)


def test_times_to_live() -> None:
    """No time asked for renews to a day, for ever must be said, nonsense is refused."""
    assert [ttl_ms(None), ttl_ms(math.inf), ttl_ms(1.5)] == [-86_400_000, 0, 1500]
    for nonsense in (0, -1, math.nan, 1e12, 0.0001):
        with pytest.raises(UsageError):
            ttl_ms(nonsense)


def test_same_json() -> None:
    """true is not 1, and the order of fields does not matter."""
    assert not is_same(True, 1)
    assert is_same({"a": 1, "b": [2]}, {"b": [2], "a": 1})
