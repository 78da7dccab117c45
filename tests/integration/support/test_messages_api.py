"""The stand-in for the Messages API: what it reads in a request, and how it answers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from tests.support.messages_api import Failure, ModelServer, Request, Text, ToolCall, marker


def test_it_answers_by_marker_as_a_stream() -> None:
    """The session is found by its marker, the tool results of the last turn are read, the
    answer is streamed.
    """
    seen: list[Request] = []

    def answer(request: Request) -> list[Text | ToolCall]:
        seen.append(request)
        return [Text("well"), ToolCall("Bash", {"command": "true"})]

    body = {
        "stream": True,
        "tools": [{"name": "Bash"}, {"name": "Read"}],
        "messages": [
            {"role": "user", "content": f"{marker('dev-1')} begin"},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "1", "name": "Bash", "input": {}}],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "1",
                        "is_error": True,
                        "content": "Exit code 1",
                    }
                ],
            },
        ],
    }
    with ModelServer(answer, unexpected) as model:
        said = post(model.url, body)
    assert seen[0].session == "dev-1"
    assert [(result.text, result.failed) for result in seen[0].results] == [("Exit code 1", True)]
    events = [
        json.loads(line.removeprefix("data: "))
        for line in said.splitlines()
        if line.startswith("data: ")
    ]
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "message_stop"
    assert any(
        event.get("delta", {}).get("partial_json") == '{"command": "true"}' for event in events
    )


def test_a_side_call_is_told_from_the_main_loop() -> None:
    """A request without tools, for a title, is not the main loop's, whose marker it carries;
    its answer is one JSON object.
    """
    seen: list[Request] = []

    def answer(request: Request) -> list[Text]:
        seen.append(request)
        return [Text("a title")]

    with ModelServer(answer, unexpected) as model:
        said = json.loads(
            post(
                model.url,
                {"messages": [{"role": "user", "content": f"{marker('dev-1')} title?"}]},
            )
        )
    assert [(request.session, request.is_main) for request in seen] == [("dev-1", False)]
    assert (said["content"], said["stop_reason"]) == (
        [{"type": "text", "text": "a title"}],
        "end_turn",
    )


def test_a_failure_is_answered_as_the_api_does() -> None:
    """A scripted failure comes with its status and kind."""
    overloaded = Failure(529, "overloaded_error", "Overloaded")
    with ModelServer(lambda _request: overloaded, unexpected) as model:
        assert refusal(model.url) == (
            529,
            {"type": "overloaded_error", "message": "Overloaded"},
        )


def test_an_exception_is_reported_and_answered() -> None:
    """What goes wrong in an answer is told to its owner, and to the client as an error that it
    does not retry.
    """
    faults: list[str] = []

    def answer(_request: Request) -> list[Text]:
        raise ValueError("nobody knows")

    with ModelServer(answer, lambda _request, error: faults.append(str(error))) as model:
        assert refusal(model.url) == (
            400,
            {"type": "invalid_request_error", "message": "nobody knows"},
        )
    assert faults == ["nobody knows"]


def unexpected(_request: Request, error: Exception) -> None:
    raise AssertionError("the answer failed") from error


def post(url: str, body: dict[str, object]) -> str:
    request = urllib.request.Request(
        f"{url}/v1/messages", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return str(response.read().decode())


def refusal(url: str) -> tuple[int, dict[str, str]]:
    """Status and error of a request that is refused."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(url, {"messages": []})
    with caught.value as response:
        return response.code, json.loads(response.read())["error"]
