"""A stand-in for the model: an HTTP server on 127.0.0.1 that speaks as much of the Messages API as Claude Code needs.

    with Model(lambda request: [Text("done")]) as model:
        subprocess.run(["claude", "-p", marker("A") + " begin"], env={..., "ANTHROPIC_BASE_URL": model.url})

What to answer is asked for each request of a session's main loop; a marker in the prompt tells whose it is. Requests with few or no
tools are side calls of the client (titles, summaries), and get a short text.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

MARKER = re.compile(r"\[\[session:([\w.-]+)\]\]")
MAIN_LOOP_TOOLS = 2
STOP_WITHIN_S = 10.0


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
class Result:
    """What a tool call came to, as the client tells the model."""

    text: str
    failed: bool


@dataclass(frozen=True)
class Request:
    """One call of the Messages API, as it came; `session` is "" where no marker was found."""

    body: dict[str, Any]

    @property
    def session(self) -> str:
        found = [name for message in self._messages for text in _texts(message["content"]) for name in MARKER.findall(text)]
        return found[-1] if found else ""

    @property
    def is_main(self) -> bool:
        return len(self.body.get("tools", [])) >= MAIN_LOOP_TOOLS

    @property
    def news(self) -> list[str]:
        """The texts that came from outside since the model's last answer: prompts, reminders, context of hooks."""
        return [text for message in self._since_the_answer() for text in _texts(message["content"])]

    @property
    def results(self) -> list[Result]:
        """What the tool calls of the model's last answer came to."""
        blocks = [block for message in self._since_the_answer() if isinstance(message["content"], list) for block in message["content"]]
        found = [block for block in blocks if block["type"] == "tool_result"]
        return [Result("\n".join(_texts(block.get("content", ""))), bool(block.get("is_error"))) for block in found]

    @property
    def _messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body.get("messages", [])
        return found

    def _since_the_answer(self) -> list[dict[str, Any]]:
        mine = itertools.takewhile(lambda message: message["role"] != "assistant", reversed(self._messages))
        return list(mine)[::-1]


def marker(session: str) -> str:
    """The text that ties a prompt to a session of the model."""
    return f"[[session:{session}]]"


class Model:
    """The server; a context manager that listens from entry to exit.

    Args:
        answer: from a request to the blocks of its answer; called in a thread of the request's own, and may block.
        fault: told of an exception in `answer`; the client then gets an error.
    """

    def __init__(self, answer: Callable[[Request], Sequence[Block]], fault: Callable[[Request, Exception], None]) -> None:
        self._server = _Server(answer, fault)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(STOP_WITHIN_S)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # an answer may wait for what never comes once its client is dead
    request_queue_size = 64

    def __init__(self, answer: Callable[[Request], Sequence[Block]], fault: Callable[[Request, Exception], None]) -> None:
        self.answer = answer
        self.fault = fault
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed half-way is no error of the server's."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: who wants to know has `answer`."""

    def do_HEAD(self) -> None:
        self._send_json(200, {})

    def do_GET(self) -> None:
        self._send_json(404, _error("not_found_error", self.path))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            self._send_json(200, {"input_tokens": len(raw) // 4})
        elif path == "/v1/messages":
            self._answer(Request(json.loads(raw)))
        else:
            self._send_json(404, _error("not_found_error", path))

    def _answer(self, request: Request) -> None:
        try:
            blocks = self.server.answer(request) if request.is_main else [Text("A session of the demo")]
        except Exception as error:  # noqa: BLE001 - the thread's edge: the client gets an error, and `fault` the exception
            self.server.fault(request, error)
            return self._send_json(400, _error("invalid_request_error", str(error)))
        message = _message(request.body, blocks)
        return self._send_stream(message) if request.body.get("stream") else self._send_json(200, message)

    def _send_json(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("x-should-retry", "false")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_stream(self, message: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for event in _events(message):
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()
        self.close_connection = True


_numbers = itertools.count(1)


def _message(body: dict[str, Any], blocks: Sequence[Block]) -> dict[str, Any]:
    calls = any(isinstance(block, ToolCall) for block in blocks)
    return {
        "id": f"msg_{next(_numbers):024d}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "scripted"),
        "content": [_block(block) for block in blocks],
        "stop_reason": "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    }


def _block(block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    return {"type": "tool_use", "id": f"toolu_{next(_numbers):024d}", "name": block.name, "input": block.input}


def _events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A message as server-sent events, each block in one piece."""
    yield {"type": "message_start", "message": message | {"content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block)
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
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


def _error(kind: str, words: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": words}}


def _texts(content: str | list[dict[str, Any]]) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content if block["type"] == "text"]
