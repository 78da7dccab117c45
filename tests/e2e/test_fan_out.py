"""A session fans work out to three sub-agents over a map, collects their results and cleans up,
without a permission prompt.
"""

from __future__ import annotations

import json
import re

from tests.support.sandbox import Sandbox
from tests.support.scripted_model import Block, Gate, Model, Text, Tool, Turn, marker

FILES = ("src/app.ts", "src/utils.ts", "src/config.ts")
WORKERS = ("A.1", "A.2", "A.3")


def bash(command: str) -> Tool:
    return Tool("Bash", {"command": command, "description": "Share work"})


def analyst(worker: str) -> Tool:
    call = {
        "description": "Analyse",
        "prompt": f"{marker(worker)} analyse",
        "subagent_type": "general-purpose",
    }
    return Tool("Agent", call)


class HandIn(Turn):
    """The answer to `octet map take`: the result of the item that it gave out, with its token."""

    def __init__(self, model: Model, worker: str, gate: Gate) -> None:
        super().__init__(gate=gate)
        self._model, self._worker = model, worker

    def blocks(self) -> list[Block]:
        super().blocks()
        taken = re.search(r"(src/\S+)\ntoken (\d+)", self._model.tool_results(self._worker)[-1])
        if taken is None:
            return [Text("Nothing was given out.")]
        result = json.dumps({"file": taken[1], "by": self._worker})
        return [bash(f"octet map done analysis {taken[2]} '{result}'")]


def test_three_sub_agents_share_a_map(either_way: Sandbox, model: Model) -> None:
    """In the default permission mode; each item is done once, by another agent, and the store is
    empty of it at the end.
    """
    gates = [Gate() for _ in WORKERS]
    end = Gate()
    model.script(
        "A",
        bash(f"octet map start analysis {' '.join(FILES)}"),
        Turn(*map(analyst, WORKERS)),
        bash("octet map wait analysis --wait 1m"),
        bash("octet map results analysis --json"),
        Turn(bash("octet map clear analysis"), gate=end),
        Text("All is done."),
    )
    for worker, gate in zip(WORKERS, gates, strict=True):
        model.script(
            worker, bash("octet map take analysis"), HandIn(model, worker, gate), Text("Handed in.")
        )
    client = either_way.start(marker("A") + " have three files analysed", mode="default")
    for gate in gates:
        gate.await_arrival()  # all three have an item at once
    held = either_way.store.zrange(either_way.key("queues:leased:map:analysis"), 0, -1)
    assert len(held) == 3
    for gate in gates:
        gate.open()
    end.await_arrival()
    results = json.loads(model.tool_results("A")[-1])
    assert {result["item"] for result in results} == set(FILES)
    assert all(result["value"]["file"] == result["item"] for result in results)
    assert {result["value"]["by"] for result in results} == set(WORKERS)
    assert len({result["worker"] for result in results}) == 3, "each is an agent of its own"
    end.open()
    client.finish()
    said = [text for session in ("A", *WORKERS) for text in model.tool_results(session)]
    assert not [
        text for text in said if "permission" in text.lower() or "requires approval" in text.lower()
    ], said
    assert list(either_way.store.scan_iter(either_way.key("*map*"))) == []
