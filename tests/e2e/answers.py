"""Answers of the Messages API, as the scripted model gives them: blocks, whole messages, streamed events, errors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Text:
    """A text block of an answer."""

    text: str


@dataclass(frozen=True)
class Tool:
    """A tool call of an answer."""

    name: str
    input: dict[str, Any]


Block = Text | Tool


@dataclass(frozen=True)
class Failure:
    """An API error in place of an answer."""

    status: int
    kind: str
    message: str


_numbers = itertools.count(1)


def message(body: dict[str, Any], blocks: list[Block]) -> dict[str, Any]:
    """The whole answer to a request's `body`; ids are unique in the process."""
    tools = any(isinstance(block, Tool) for block in blocks)
    return {
        "id": f"msg_{next(_numbers):024d}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "scripted"),
        "content": [_block(block) for block in blocks],
        "stop_reason": "tool_use" if tools else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    }


def _block(block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    return {"type": "tool_use", "id": f"toolu_{next(_numbers):024d}", "name": block.name, "input": block.input}


def stream_events(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An answer as server-sent events, each block in one piece."""
    yield {"type": "message_start", "message": answer | {"content": [], "stop_reason": None}}
    for index, block in enumerate(answer["content"]):
        yield from _block_events(index, block)
    delta = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 10}}
    yield {"type": "message_stop"}


def _block_events(index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        empty, delta = block | {"text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        empty, delta = block | {"input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def error_body(failure: Failure) -> dict[str, Any]:
    return {"type": "error", "error": {"type": failure.kind, "message": failure.message}}
