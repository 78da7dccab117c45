"""The Messages API on 127.0.0.1, as much of it as Claude Code needs, answered by the test.

    with ModelServer(lambda request: [Text("done")], lambda request, error: print(error)) as model:
        environment = {..., "ANTHROPIC_BASE_URL": model.url}
        subprocess.run(["claude", "-p", marker("A") + " begin"], env=environment)

The server asks the test for the answer to each request. A marker in the prompt names the session.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

MARKER = re.compile(r"\[\[session:([\w.-]+)\]\]")
MAIN_LOOP_TOOLS = 2
STOP_WITHIN_S = 10.0

Message = dict[str, Any]


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
    """An API error instead of an answer: the HTTP status, and the API's name for the error."""

    status: int
    kind: str
    message: str

    @property
    def body(self) -> dict[str, Any]:
        return {"type": "error", "error": {"type": self.kind, "message": self.message}}


@dataclass(frozen=True)
class Result:
    """The result of a tool call, as the client tells the model."""

    text: str
    failed: bool


@dataclass(frozen=True)
class Request:
    """One call of the Messages API, as received."""

    body: dict[str, Any]

    @property
    def session(self) -> str:
        """The session that the last marker from outside names; "" without a marker."""
        found = [name for text in texts_in(self.messages) for name in MARKER.findall(text)]
        return found[-1] if found else ""

    @property
    def is_main(self) -> bool:
        """Whether it belongs to a session's main loop. The client's side calls (titles, summaries)
        have few tools or none.
        """
        return len(self.body.get("tools", [])) >= MAIN_LOOP_TOOLS

    @property
    def messages(self) -> list[Message]:
        """The conversation, oldest message first."""
        found: list[Message] = self.body.get("messages", [])
        return found

    @property
    def latest(self) -> list[Message]:
        """The messages since the model's last answer, oldest first."""
        latest = itertools.takewhile(
            lambda message: message["role"] != "assistant", reversed(self.messages)
        )
        return list(latest)[::-1]

    @property
    def results(self) -> list[Result]:
        """The results of the tool calls in the model's last answer."""
        return results_in(self.latest)


def marker(session: str) -> str:
    """The text that ties a prompt to a session of the model."""
    return f"[[session:{session}]]"


def texts_in(messages: Iterable[Message]) -> list[str]:
    """The texts of the user's side, in order, without tool results."""
    return [
        text
        for message in messages
        if message["role"] != "assistant"
        for text in texts_of(message["content"])
    ]


def results_in(messages: Iterable[Message]) -> list[Result]:
    """The tool results, in order, errors included."""
    blocks = [
        block
        for message in messages
        if isinstance(message["content"], list)
        for block in message["content"]
    ]
    found = [block for block in blocks if block["type"] == "tool_result"]
    return [
        Result("\n".join(texts_of(block.get("content", ""))), bool(block.get("is_error")))
        for block in found
    ]


def texts_of(content: str | list[dict[str, Any]]) -> list[str]:
    """The texts of one message or tool result: a bare string, or some of its blocks."""
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content if block["type"] == "text"]


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
        arguments = json.dumps(block["input"])
        empty = block | {"input": {}}
        delta = {"type": "input_json_delta", "partial_json": arguments}
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


Answer = Callable[[Request], Sequence[Block] | Failure]
Fault = Callable[[Request, Exception], None]


class ModelServer:
    """The server; a context manager that listens from entry to exit.

    Args:
        answer: returns the blocks of the answer to a request, or a failure. Each request calls it
            in a thread of its own, so it may block.
        fault: receives an exception of `answer`; the client then gets an error.
    """

    def __init__(self, answer: Answer, fault: Fault) -> None:
        self._server = _Server(answer, fault)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(STOP_WITHIN_S)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"


class _Server(ThreadingHTTPServer):
    # An answer may wait for an event that never comes once its client is dead: closing must not
    # wait for its thread.
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Answer, fault: Fault) -> None:
        self.answer = answer
        self.fault = fault
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed in the middle of a request is no error of the server."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `answer` sees each request."""

    def do_HEAD(self) -> None:
        self._send_json(200, {})

    def do_GET(self) -> None:
        self._fail(Failure(404, "not_found_error", self.path))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            self._send_json(200, {"input_tokens": len(raw) // 4})
        elif path == "/v1/messages":
            self._answer(Request(json.loads(raw)))
        else:
            self._fail(Failure(404, "not_found_error", path))

    def _answer(self, request: Request) -> None:
        try:
            answered = self.server.answer(request)
        except Exception as error:  # noqa: BLE001 - the thread's edge
            self.server.fault(request, error)
            answered = Failure(400, "invalid_request_error", str(error))
        if isinstance(answered, Failure):
            return self._fail(answered)
        message = compose_message(request.body, answered)
        return (
            self._send_stream(message)
            if request.body.get("stream")
            else self._send_json(200, message)
        )

    def _fail(self, failure: Failure) -> None:
        self._send_json(failure.status, failure.body)

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
        for event in stream_events(message):
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()
        self.close_connection = True
