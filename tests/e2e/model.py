"""A scripted stand-in for the model: an HTTP server on 127.0.0.1 that speaks enough of the Messages API for Claude Code.

A test gives each session a script, a list of turns, and puts the session's marker into its prompt:

    model.script("A", Turn(Tool("Write", {...})), Turn(Text("done"), gate=gate))
    claude.start(marker("A") + " write a.py")

The server answers the session's n-th request with the n-th turn and keeps every request, so that a test asserts what reached
the model. A sub-agent has a marker of its own in the prompt that its parent's script gives it. Requests without tools are
side calls of the client (titles, compaction) and advance no script.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from .answers import Block, Failure, Text, Tool, error_body, message, stream_events

__all__ = ["Failure", "Gate", "Model", "Request", "Text", "Tool", "Turn", "marker"]

DEADLINE_S = 30.0
MARKER = re.compile(r"\[\[session:([\w.-]+)\]\]")
SUMMARY_REQUEST = "Your task is to create a detailed summary"


def marker(session: str) -> str:
    """The text that ties a prompt to the script of `session`."""
    return f"[[session:{session}]]"


class Gate:
    """A point at which a scripted answer waits until the test, or another script, opens it."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._opened = threading.Event()

    def open(self) -> None:
        self._opened.set()

    def await_arrival(self, deadline_s: float = DEADLINE_S) -> None:
        """Block until a request waits here, or has passed."""
        if not self._reached.wait(deadline_s):
            raise TimeoutError(f"no request reached the gate within {deadline_s:g} s")

    def pass_through(self) -> None:
        self._reached.set()
        if not self._opened.wait(DEADLINE_S):
            raise TimeoutError(f"the gate was not opened within {DEADLINE_S:g} s")


class Turn:
    """One answer: blocks, or a function from the request to blocks; sent once `gate` is open."""

    def __init__(self, *blocks: Block, gate: Gate | None = None, answer: Callable[[Request], list[Block]] | None = None) -> None:
        self._blocks = list(blocks)
        self._gate = gate
        self._answer = answer

    def blocks(self, request: Request) -> list[Block]:
        if self._gate:
            self._gate.pass_through()
        return self._answer(request) if self._answer else self._blocks


@dataclass(frozen=True)
class Request:
    """One call of the Messages API, as it came; `session` is "" where no marker was found."""

    session: str
    body: dict[str, Any]
    at_s: float
    main: bool

    @property
    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body.get("messages", [])
        return found

    @property
    def tool_names(self) -> list[str]:
        return [tool["name"] for tool in self.body.get("tools", [])]

    @property
    def system(self) -> str:
        system = self.body.get("system", "")
        return system if isinstance(system, str) else "\n".join(block.get("text", "") for block in system)

    def user_texts(self) -> list[str]:
        """Texts of the user's side that are no tool results: prompts, reminders, additional context; in order."""
        return [text for message in self.messages if message["role"] != "assistant" for text in _texts(message["content"])]

    def tool_results(self) -> list[str]:
        """Contents of all tool results, in order, errors included."""
        blocks = (block for message in self.messages if isinstance(message["content"], list) for block in message["content"])
        return ["\n".join(_texts(block.get("content", ""))) for block in blocks if block["type"] == "tool_result"]

    def texts(self) -> list[str]:
        """Everything that reached the model from outside it, in no special order."""
        return self.user_texts() + self.tool_results()

    def says(self, words: str) -> bool:
        return any(words in text for text in self.texts())


def _texts(content: str | list[dict[str, Any]]) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content if block["type"] == "text"]


@dataclass
class _Script:
    turns: list[Turn]
    used: int = 0


@dataclass
class _State:
    scripts: dict[str, _Script] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    summary: str = "The conversation so far, in short."
    failure: Failure | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)


class Model:
    """The server; a context manager that listens from entry to exit.

    `errors` holds what went wrong inside the server's threads: a gate never opened, a body that is no JSON.
    """

    def __init__(self) -> None:
        self._state = _State()
        self._server = _Server(self._state)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE_S)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def errors(self) -> list[str]:
        return self._state.errors

    def script(self, session: str, *turns: Turn | Block) -> None:
        """Set the answers of `session`; a bare block is a turn of its own, and past the last turn the answer is a short text."""
        with self._state.changed:
            self._state.scripts[session] = _Script([turn if isinstance(turn, Turn) else Turn(turn) for turn in turns])

    def summarise_as(self, text: str) -> None:
        """What the client gets when it asks for a summary at compaction; put the session's marker into it."""
        self._state.summary = text

    def fail_with(self, failure: Failure | None) -> None:
        """Answer every request of a session by this error, until called with None."""
        self._state.failure = failure

    def requests_of(self, session: str) -> list[Request]:
        """The main-loop requests of `session` so far, oldest first."""
        with self._state.changed:
            return [request for request in self._state.requests if request.session == session and request.main]

    def all_requests(self) -> list[Request]:
        with self._state.changed:
            return list(self._state.requests)

    def heard(self, session: str) -> list[str]:
        """Texts that reached the model of `session` from outside it, of its latest request."""
        requests = self.requests_of(session)
        return requests[-1].texts() if requests else []

    def tool_results(self, session: str) -> list[str]:
        """Contents of the tool results in the latest request of `session`, in order."""
        requests = self.requests_of(session)
        return requests[-1].tool_results() if requests else []

    def wait_for(self, predicate: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Block until `predicate` holds; it is asked again at every request that comes in.

        Raises:
            AssertionError: not within the deadline; says `what` was awaited.
        """
        with self._state.changed:
            if not self._state.changed.wait_for(predicate, deadline_s):
                raise AssertionError(f"{what}: not within {deadline_s:g} s")

    def wait_for_requests(self, session: str, count: int, deadline_s: float = DEADLINE_S) -> Request:
        """Block until `session` has sent `count` requests; return the latest of them."""
        self.wait_for(lambda: len(self.requests_of(session)) >= count, f"request {count} of session {session}", deadline_s)
        return self.requests_of(session)[count - 1]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, state: _State) -> None:
        self.state = state
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed half-way is no error of the server's."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the requests themselves are the log."""

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
            self._answer(json.loads(raw))
        else:
            self._fail(Failure(404, "not_found_error", path))

    def _answer(self, body: dict[str, Any]) -> None:
        state = self.server.state
        try:
            request = _record(state, body)
            if request.main and state.failure:
                return self._fail(state.failure)
            blocks = _choose(state, request)
        except Exception as error:  # noqa: BLE001 - reported by the test's teardown: a thread's own exception would be lost
            state.errors.append(f"{type(error).__name__}: {error}")
            return self._fail(Failure(400, "invalid_request_error", str(error)))
        answer = message(body, blocks)
        if body.get("stream"):
            return self._send_stream(answer)
        return self._send_json(200, answer)

    def _fail(self, failure: Failure) -> None:
        self._send_json(failure.status, error_body(failure))

    def _send_json(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("x-should-retry", "false")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_stream(self, answer: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for event in stream_events(answer):
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()
        self.close_connection = True


def _record(state: _State, body: dict[str, Any]) -> Request:
    probe = Request("", body, time.monotonic(), main=False)
    found = [name for text in probe.user_texts() for name in MARKER.findall(text)]
    main = len(probe.tool_names) >= 2 and not _wants_summary(probe)
    request = Request(found[-1] if found else "", body, probe.at_s, main)
    with state.changed:
        state.requests.append(request)
        state.changed.notify_all()
    return request


def _wants_summary(request: Request) -> bool:
    last = request.messages[-1:] or [{"content": ""}]
    return any(SUMMARY_REQUEST in text for text in _texts(last[0]["content"]))


def _choose(state: _State, request: Request) -> list[Block]:
    if not request.main:
        return [Text(state.summary if _wants_summary(request) else "Scripted session")]
    with state.changed:
        script = state.scripts.get(request.session, _Script([]))
        turn = script.turns[script.used] if script.used < len(script.turns) else Turn(Text("Nothing more to do."))
        script.used += 1
    return turn.blocks(request)
