"""What the commands of the primitives have in common: runs, values, refusals."""

from __future__ import annotations

import pytest
from tests.cli.conftest import Shop

P = "workflow:{shop}:"


def test_runs(shop: Shop) -> None:
    """A run, by option or by environment, is apart from the project and from other runs."""
    shop.run("counter", "incr", "c")
    shop.run("counter", "incr", "c", "--run", "r1")
    assert shop.run("counter", "incr", "c", OCTET_RUN="r1").out == "2\n"
    assert [
        shop.run("counter", "get", "c", *run).out for run in ([], ["--run", "r1"], ["--run", "r2"])
    ] == ["1\n", "2\n", "0\n"]
    assert shop.octet.store.client.get(P + "run:r1:counter:c") == "2"
    shop.refuses("counter", "incr", "c", "--run", "a:b", code=2)


@pytest.mark.parametrize(
    "words",
    [
        ["queue", "push", "q", '{"a": 1'],
        ["queue", "push", "q", "[" * 50_000],
        ["queue", "push", "q", "x" * 65_537],
        ["queue", "push", "a b", "x"],
        ["queue", "nack", "q", "1", "--delay", "soon"],
        ["state", "set", "s", "", "1"],
        ["state", "set", "s", "f", "1", "--if-version", "x"],
        ["state", "delete", "s", "--if-version", "1"],
        ["counter", "incr", "c", "--by", "9223372036854775808"],
        ["counter", "set", "c", "many"],
        ["kv", "put", "k", '"half'],
        ["kv", "put", "k", "1", "--ttl", "0s"],
        ["event", "log", "--since", "yesterday"],
        ["event", "watch", "--since", "1-99999999999999999999"],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_what_makes_no_sense(shop: Shop, words: list[str]) -> None:
    """2, and nothing is there."""
    assert "Traceback" not in shop.run(*words, code=2).err
    assert shop.octet.store.client.dbsize() == 0


def test_text_as_it_is(shop: Shop) -> None:
    """With --text a value that looks like JSON, or half of it, is a text."""
    shop.run("queue", "push", "q", "{", "42", "--text")
    assert shop.json("queue", "peek", "q") == ["{", "42"]


def test_hostile_values(shop: Shop) -> None:
    """What others pushed cannot move the cursor."""
    evil = "\x1b[2J\u202ex"
    shop.octet.queue("q").push(evil)
    shop.octet.state("s").set("f", evil)
    shop.octet.kv.put("k", evil)
    for words in (
        ["queue", "peek", "q"],
        ["queue", "reserve", "q"],
        ["queue", "held", "q"],
        ["state", "get", "s", "f"],
        ["kv", "list"],
    ):
        assert not set(shop.run(*words).out) & {"\x1b", "\u202e"}
