"""Messages between agents: into the model's context once, framed as another's data."""

from __future__ import annotations

from tests.support.sandbox import Sandbox
from tests.support.scripted_model import Model, Text, Tool, marker


def test_a_message_reaches_the_model_with_its_next_prompt_and_once(
    either_way: Sandbox, model: Model
) -> None:
    """Sent by one session's command, it is in the other's next request with its sender's name, and
    in no later delivery.
    """
    model.script("B", Text("Hello."), Text("Read it."), Text("Nothing new."))
    second = either_way.start(None)
    second.send(marker("B") + " hello")
    second.wait_for_results(1)
    recipient = either_way.agent_of(second)["id"]

    send = {
        "command": f"octet msg send {recipient} 'parse_date is renamed'",
        "description": "Tell it",
    }
    model.script("A", Tool("Bash", send), Text("Told it."))
    first = either_way.start(None, mode="default")
    first.send(marker("A") + " tell it")
    first.wait_for_results(1)
    sender = either_way.agent_of(first)["id"]

    for count in (2, 3):
        second.send(marker("B") + " go on")
        second.wait_for_results(count)
    told = [text for text in model.requests_of("B")[-1].texts() if "parse_date is renamed" in text]
    assert "".join(told).count("parse_date is renamed") == 1
    assert sender in told[0]
    assert model.requests_of("B")[1].says("parse_date is renamed")
    for client in (first, second):
        client.finish()
