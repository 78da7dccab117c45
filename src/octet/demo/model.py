"""A stand-in for the model: an HTTP server on 127.0.0.1 that speaks as much of the Messages API as
Claude Code needs.

    with ModelServer(lambda request: [Text("done")], lambda request, error: print(error)) as model:
        subprocess.run(["claude", "-p", marker("A") + " begin"], env={..., "ANTHROPIC_BASE_URL":
        model.url})

What to answer is asked for each request; a marker in the prompt tells whose it is. The end-to-end
tests script it too.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from octet.demo.answers import Block, Failure, compose_message, stream_events

MARKER = re.compile(r"\[\[session:([\w.-]+)\]\]")
MAIN_LOOP_TOOLS = 2
STOP_WITHIN_S = 10.0

Message = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What a tool call came to, as the client tells the model."""

    text: str
    failed: bool


@dataclass(frozen=True)
class Request:
    """One call of the Messages API, as it came."""

    body: dict[str, Any]

    @property
    def session(self) -> str:
        """Whose request it is, by the last marker that came from outside; "" where there is none."""
        found = [name for text in texts_in(self.messages) for name in MARKER.findall(text)]
        return found[-1] if found else ""

    @property
    def is_main(self) -> bool:
        """Whether it is of a session's main loop. Those with few or no tools are side calls of the
        client: titles, summaries.
        """
        return len(self.body.get("tools", [])) >= MAIN_LOOP_TOOLS

    @property
    def messages(self) -> list[Message]:
        """The conversation, oldest first."""
        found: list[Message] = self.body.get("messages", [])
        return found

    @property
    def results(self) -> list[Result]:
        """What the tool calls of the model's last answer came to."""
        latest = itertools.takewhile(
            lambda message: message["role"] != "assistant", reversed(self.messages)
        )
        return results_in(list(latest)[::-1])


Answer = Callable[[Request], Sequence[Block] | Failure]
Fault = Callable[[Request, Exception], None]


def marker(session: str) -> str:
    """The text that ties a prompt to a session of the model."""
    return f"[[session:{session}]]"


def texts_in(messages: Iterable[Message]) -> list[str]:
    """The texts of the user's side that are no tool results, in order."""
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
    """The texts of one message or tool result, which are a bare string or among its blocks."""
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content if block["type"] == "text"]


class ModelServer:
    """The server; a context manager that listens from entry to exit.

    Args:
        answer: from a request to the blocks of its answer, or a failure; called in a thread of the
            request's own, and may block.
        fault: told of an exception in `answer`; the client then gets an error.
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
    # an answer may wait for what never comes once its client is dead: closing waits for none
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, answer: Answer, fault: Fault) -> None:
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
        except Exception as error:  # noqa: BLE001 - the thread's edge: the client gets an error, and `fault` the exception
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
