"""What a model answers, as the Messages API sends it: blocks, the whole message, the events of a
stream, errors.

message = compose_message(request_body, [Text("done")])      # the answer as one JSON object
for event in stream_events(message): ...                     # the same, piece by piece
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Text:
    """A text block of an answer."""

    text: str


@dataclass(frozen=True)
class ToolCall:
    """A tool call of an answer."""

    name: str
    input: dict[str, Any]


Block = Text | ToolCall


@dataclass(frozen=True)
class Failure:
    """An API error in place of an answer: the HTTP status, and the API's own name for the kind of
    error.
    """

    status: int
    kind: str
    message: str

    @property
    def body(self) -> dict[str, Any]:
        return {"type": "error", "error": {"type": self.kind, "message": self.message}}


_numbers = itertools.count(1)


def compose_message(body: dict[str, Any], blocks: Sequence[Block]) -> dict[str, Any]:
    """The whole answer to a request's `body`; ids are unique in the process."""
    calls = any(isinstance(block, ToolCall) for block in blocks)
    return {
        "id": f"msg_{next(_numbers):024d}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "scripted"),
        "content": [_compose_block(block) for block in blocks],
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 100,
            "output_tokens": 10,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


def stream_events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A message as server-sent events, each block in one piece."""
    yield {"type": "message_start", "message": message | {"content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block)
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 10}}
    yield {"type": "message_stop"}


def _compose_block(block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    return {
        "type": "tool_use",
        "id": f"toolu_{next(_numbers):024d}",
        "name": block.name,
        "input": block.input,
    }


def _block_events(index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        empty, delta = block | {"text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        empty, delta = (
            block | {"input": {}},
            {"type": "input_json_delta", "partial_json": json.dumps(block["input"])},
        )
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}
