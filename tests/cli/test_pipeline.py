"""`octet pipeline` at the command line."""

from __future__ import annotations

import json

import pytest
from tests.cli.conftest import Shop, alive
from tests.support.redis_fixtures import wait_for


def token_of(out: str) -> str:
    return out.splitlines()[-1].removeprefix("token ")


def test_a_pipeline_by_hand(shop: Shop) -> None:
    """A step waits for the one before it and is given its result; one that failed stops what
    follows until it is begun again.
    """
    shop.run("pipeline", "start", "p", "search", "analyse", "report")
    assert "comes after search" in shop.refuses("pipeline", "step", "start", "p", "analyse")
    first = shop.run("pipeline", "step", "start", "p").out
    assert first.startswith("step search\ntoken ")
    waiting = shop.start("pipeline", "step", "start", "p", "analyse", "--wait", "20s", "--json")
    wait_for(lambda: bool(shop.octet.store.client.pubsub_channels()), "it waits")
    shop.run("pipeline", "step", "done", "p", token_of(first), '["file1.ts", "file2.ts"]')
    turn = json.loads(waiting.communicate(timeout=20)[0])
    assert (turn["step"], turn["given"]) == ("analyse", ["file1.ts", "file2.ts"])
    shop.run("pipeline", "step", "extend", "p", turn["token"])
    assert "is doing step analyse" in shop.refuses("pipeline", "step", "start", "p")
    shop.run("pipeline", "step", "fail", "p", turn["token"], "cannot parse")
    for words in (["step", "start", "p", "report"], ["step", "start", "p"], ["wait", "p"]):
        assert "step analyse of pipeline p failed: cannot parse" in shop.refuses("pipeline", *words)
    assert shop.json("pipeline", "wait", "p", "--step", "search")["result"] == [
        "file1.ts",
        "file2.ts",
    ]
    again = shop.run("pipeline", "step", "start", "p", "--again").out
    shop.run("pipeline", "step", "done", "p", token_of(again), "500")
    shop.run(
        "pipeline", "step", "done", "p", token_of(shop.run("pipeline", "step", "start", "p").out)
    )
    assert [(s["name"], s["state"], s["tries"]) for s in shop.json("pipeline", "show", "p")] == [
        ("search", "done", 1),
        ("analyse", "done", 2),
        ("report", "done", 1),
    ]
    assert "done already" in shop.refuses("pipeline", "step", "start", "p", "search")
    assert "other steps" in shop.refuses("pipeline", "start", "p", "search")
    assert shop.json("pipeline", "list")[0]["pipeline"] == "p"
    shop.run("pipeline", "clear", "p")
    assert "no pipeline" in shop.refuses("pipeline", "show", "p")


STEPS = {
    "steps.json": '{"find": "echo one >>log; ls *.ts", "count": "test -e go && wc -l"}',
    "steps.toml": "[steps]\nfind = \"echo one >>log; ls *.ts\"\ncount = 'test -e go && wc -l'\n",
    "steps.md": "# Count\n\n1. find: `echo one >>log; ls *.ts`\n2. count: `test -e go && wc -l`\n",
}


@pytest.mark.parametrize("name", STEPS)
def test_pipeline_run_goes_on_from_the_step_that_failed(shop: Shop, name: str) -> None:
    """Each step reads the result of the one before; what was done is not done again."""
    (shop.root / name).write_text(STEPS[name])
    for file in ("a.ts", "b.ts"):
        (shop.root / file).touch()
    assert "step count of pipeline p failed: exit code 1" in shop.refuses(
        "pipeline", "run", "p", "--file", name
    )
    (shop.root / "go").touch()
    assert shop.run("pipeline", "run", "p", "--file", name).out.strip() == "1"
    assert (shop.root / "log").read_text() == "one\n"
    shop.run("pipeline", "run", "q", "--step", "find=ls *.ts", "--step", "count=wc -l")


WORSE = [("x.yaml", "a: b"), ("x.json", "[" * 100_000), ("x.toml", "=")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.json", "[]"),
        ("x.json", "{"),
        ("x.json", '{"a": 1}'),
        ("x.json", '{"a": "b", "a": "c"}'),
        ("x.toml", "a = 1"),
        ("x.md", "hello"),
        *WORSE,
    ],
)
def test_a_file_that_is_no_pipeline_is_refused(shop: Shop, name: str, text: str) -> None:
    """One line that names the file."""
    (shop.root / name).write_text(text)
    assert name in shop.refuses("pipeline", "run", "p", "--file", name, code=2)


def test_a_pipeline_of_no_steps_is_refused(shop: Shop) -> None:
    """Steps without a name, without a command, twice, or from nowhere."""
    for words in (
        [],
        ["--step", "a"],
        ["--step", "=x"],
        ["--step", "a=x", "--step", "a=y"],
        ["--file", "none.json"],
        ["--step", "a b=x"],
    ):
        shop.refuses("pipeline", "run", "p", *words, code=2)


@pytest.mark.chaos
def test_a_killed_pipeline_goes_on_with_its_step(shop: Shop) -> None:
    """SIGKILL in the second step: its command dies too, and the same call does that step and those
    that follow, no other.
    """
    steps = [
        "--step",
        "one=echo 1 >>log; echo 1",
        "--step",
        "two=[ -e go ] || { echo $$ >pid; exec sleep 60; }; cat",
        "--step",
        "three=cat",
    ]
    first = shop.start("pipeline", "run", "p", *steps)
    pid = shop.root / "pid"
    wait_for(lambda: pid.exists() and bool(pid.read_text()), "the second step runs")
    first.kill()
    first.communicate()
    wait_for(lambda: not alive(int(pid.read_text())), "its command is gone")
    (shop.root / "go").touch()
    shop.octet.store.client.hset(
        shop.octet.store.keys.pipeline("p"), "2:until", 1
    )  # as when its lease has run out
    assert shop.run("pipeline", "run", "p", *steps).out == "1\n"
    assert (shop.root / "log").read_text() == "1\n"
