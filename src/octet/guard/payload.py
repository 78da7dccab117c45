"""A hook's JSON → one typed, frozen record per event. `parse` refuses whatever it cannot read.

    event = parse(raw, {"event": "PreToolUse", "source": "plugin", "pid": "4242"})
    event.tool_name, event.tool_input["file_path"], event.client.pid

The header is the wire's: what the hook's own command line and environment say. For a guard event
(`is_guard`) the caller turns a `PayloadError` into a block, for any other into a notice: a key that
a later client renames must not silently switch a guard off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from octet.base.errors import UsageError

# More than the client could send by hand: its own tools refuse files of some hundred kilobytes.
SIZE_LIMIT = 64 << 20


class PayloadError(UsageError):
    """A hook received something other than the client sends; one line says what is wrong."""


@dataclass(frozen=True)
class Client:
    """What the hook's process knows of its client besides the payload; "" and None for unknown."""

    source: str = ""
    pid: int | None = None
    project_dir: str = ""
    env_file: str = ""


@dataclass(frozen=True)
class Event:
    """What every event has; "" where the client sends nothing."""

    session_id: str
    cwd: str
    client: Client
    # A sub-agent's.
    agent_id: str
    # A sub-agent's, or that of a session started with `--agent`.
    agent_type: str
    # The session's transcript, a JSON-lines file.
    transcript_path: str
    # Such as "default" or "bypassPermissions".
    permission_mode: str
    # Of the prompt that is being answered.
    prompt_id: str


@dataclass(frozen=True)
class SessionStart(Event):
    """`source`: startup, resume, clear, compact or fork."""

    source: str
    model: str


@dataclass(frozen=True)
class UserPromptSubmit(Event):
    """Also runs for each machine wake, with the injected text as `prompt`."""

    prompt: str


@dataclass(frozen=True)
class ToolUse(Event):
    """What the two events of a tool share."""

    tool_name: str
    tool_input: Mapping[str, Any]
    tool_use_id: str


@dataclass(frozen=True)
class PreToolUse(ToolUse):
    """A tool is about to run."""


@dataclass(frozen=True)
class PostToolUse(ToolUse):
    """A tool has run."""


@dataclass(frozen=True)
class PostToolUseFailure(PostToolUse):
    """A tool has run and failed, as a shell command that exits with another code than 0."""


@dataclass(frozen=True)
class PostToolBatch(Event):
    """All tools of one model answer have run or failed; what is said now is in its next request."""


@dataclass(frozen=True)
class BackgroundTask:
    """A task that still runs when a turn ends. `kind` is its `type`, such as "subagent"."""

    task_id: str
    kind: str
    status: str
    description: str


@dataclass(frozen=True)
class TurnEnd(Event):
    """What the ends of a session's turn and of a sub-agent share. `stop_hook_active`: the turn went
    on because of a hook's feedback.
    """

    stop_hook_active: bool
    last_assistant_message: str
    background_tasks: tuple[BackgroundTask, ...]


@dataclass(frozen=True)
class Stop(TurnEnd):
    """A session's turn has ended."""


@dataclass(frozen=True)
class SubagentStop(TurnEnd):
    """A sub-agent has ended. Compaction sends orphans too, with a fresh `agent_id` and an empty
    `agent_type`.
    """

    agent_transcript_path: str


@dataclass(frozen=True)
class StopFailure(Event):
    """A turn has ended in an error of the API."""

    error: str
    last_assistant_message: str


@dataclass(frozen=True)
class SubagentStart(Event):
    """A sub-agent begins."""


@dataclass(frozen=True)
class SessionEnd(Event):
    """`reason`: clear, resume, logout, prompt_input_exit or other."""

    reason: str


@dataclass(frozen=True)
class Notification(Event):
    """`kind` is the client's `notification_type`, such as "idle_prompt"."""

    kind: str
    message: str


def is_guard(event_name: str) -> bool:
    """Whether an unreadable payload of this event must block, and not only be reported."""
    return event_name == "PreToolUse"


def parse(raw: bytes, header: Mapping[str, str]) -> Event:
    """The record of `header["event"]`; `header` may hold `source`, `pid`, `project` and `envfile`.

    Raises:
        PayloadError: not the JSON that the client sends for this event, or an unknown event.
    """
    name = header.get("event", "")
    build = _BUILDERS.get(name)
    if build is None:
        raise PayloadError(f"no hook of Octet handles the event {name[:40]!r}")
    fields = _Fields(_decode(raw))
    if (named := fields.required("hook_event_name")) != name:
        raise PayloadError(f"the payload is of the event {named[:40]!r}, not {name!r}")
    return build(fields, _client(header))


def _decode(raw: bytes) -> Any:
    if len(raw) > SIZE_LIMIT:
        raise PayloadError(f"the payload is larger than {SIZE_LIMIT >> 20} MB")
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise PayloadError("the payload is not UTF-8") from error
    except json.JSONDecodeError as error:
        problem = (
            f"is not JSON: {error.msg} at character {error.pos}" if raw.strip() else "is empty"
        )
        raise PayloadError(f"the payload {problem}") from error
    except ValueError as error:
        raise PayloadError("the payload has a number too large to read") from error
    except RecursionError as error:
        raise PayloadError("the payload is nested too deeply") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    # The guard and the tool could read different values of a doubled key.
    if len(found) != len(pairs):
        raise PayloadError("the payload has a key twice in one object")
    return found


def _client(header: Mapping[str, str]) -> Client:
    pid = header.get("pid", "")
    return Client(
        source=header.get("source", ""),
        pid=int(pid) if pid.isascii() and pid.isdigit() and len(pid) < 12 else None,
        project_dir=header.get("project", ""),
        env_file=header.get("envfile", ""),
    )


class _Fields:
    """A JSON object that gives its fields by kind, each checked."""

    def __init__(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise PayloadError(f"the payload is not a JSON object but {type(value).__name__}")
        self._values = value

    def required(self, key: str) -> str:
        """A non-empty string, fit for a key or a path: no NUL, no lone surrogate."""
        value = self.optional(key)
        if not value:
            self._refuse(key, "is missing")
        return value

    def optional(self, key: str) -> str:
        """The same, "" when it is missing or null."""
        value = self._values.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            self._refuse(key, "is not a string")
        if "\0" in value or not _is_unicode(value):
            self._refuse(key, "has characters that no name can have")
        return value

    def text(self, key: str, *, needed: bool = False) -> str:
        """Free text, "" when missing unless `needed`; made valid Unicode, for the store."""
        value = self._values.get(key)
        if value is None:
            return self._refuse(key, "is missing") if needed else ""
        if not isinstance(value, str):
            self._refuse(key, "is not a string")
        return value.encode("utf-8", "replace").decode("utf-8")

    def flag(self, key: str) -> bool:
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            self._refuse(key, "is not true or false")
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        value = self._values.get(key)
        if not isinstance(value, dict):
            self._refuse(key, "is not an object")
        return value

    def objects(self, key: str) -> list[_Fields]:
        value = self._values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self._refuse(key, "is not a list")
        return [_Fields(item) for item in value]

    def _refuse(self, key: str, problem: str) -> NoReturn:
        raise PayloadError(f"the payload's {key} {problem}")


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _common(fields: _Fields, client: Client, agent_id: str | None = None) -> dict[str, Any]:
    return {
        "session_id": fields.required("session_id"),
        "cwd": fields.required("cwd"),
        "client": client,
        "agent_id": fields.optional("agent_id") if agent_id is None else agent_id,
        "agent_type": fields.optional("agent_type"),
        "transcript_path": fields.optional("transcript_path"),
        "permission_mode": fields.optional("permission_mode"),
        "prompt_id": fields.optional("prompt_id"),
    }


def _tool(fields: _Fields) -> dict[str, Any]:
    return {
        "tool_name": fields.required("tool_name"),
        "tool_input": fields.mapping("tool_input"),
        "tool_use_id": fields.optional("tool_use_id"),
    }


def _post_tool_batch(fields: _Fields, client: Client) -> Event:
    return PostToolBatch(**_common(fields, client))


def _turn_end(fields: _Fields) -> dict[str, Any]:
    tasks = tuple(
        BackgroundTask(
            task.optional("id"),
            task.optional("type"),
            task.optional("status"),
            task.text("description"),
        )
        for task in fields.objects("background_tasks")
    )
    return {
        "stop_hook_active": fields.flag("stop_hook_active"),
        "last_assistant_message": fields.text("last_assistant_message"),
        "background_tasks": tasks,
    }


def _session_start(fields: _Fields, client: Client) -> Event:
    return SessionStart(
        **_common(fields, client), source=fields.required("source"), model=fields.optional("model")
    )


def _user_prompt_submit(fields: _Fields, client: Client) -> Event:
    return UserPromptSubmit(**_common(fields, client), prompt=fields.text("prompt", needed=True))


def _pre_tool_use(fields: _Fields, client: Client) -> Event:
    return PreToolUse(**_common(fields, client), **_tool(fields))


def _post_tool_use(fields: _Fields, client: Client) -> Event:
    return PostToolUse(**_common(fields, client), **_tool(fields))


def _post_tool_use_failure(fields: _Fields, client: Client) -> Event:
    return PostToolUseFailure(**_common(fields, client), **_tool(fields))


def _stop(fields: _Fields, client: Client) -> Event:
    return Stop(**_common(fields, client), **_turn_end(fields))


def _subagent_stop(fields: _Fields, client: Client) -> Event:
    common = _common(fields, client, fields.required("agent_id"))
    return SubagentStop(
        **common,
        **_turn_end(fields),
        agent_transcript_path=fields.optional("agent_transcript_path"),
    )


def _stop_failure(fields: _Fields, client: Client) -> Event:
    return StopFailure(
        **_common(fields, client),
        error=fields.text("error"),
        last_assistant_message=fields.text("last_assistant_message"),
    )


def _subagent_start(fields: _Fields, client: Client) -> Event:
    return SubagentStart(**_common(fields, client, fields.required("agent_id")))


def _session_end(fields: _Fields, client: Client) -> Event:
    return SessionEnd(**_common(fields, client), reason=fields.text("reason"))


def _notification(fields: _Fields, client: Client) -> Event:
    return Notification(
        **_common(fields, client),
        kind=fields.text("notification_type"),
        message=fields.text("message"),
    )


_BUILDERS = {
    "SessionStart": _session_start,
    "UserPromptSubmit": _user_prompt_submit,
    "PreToolUse": _pre_tool_use,
    "PostToolUse": _post_tool_use,
    "PostToolUseFailure": _post_tool_use_failure,
    "PostToolBatch": _post_tool_batch,
    "Stop": _stop,
    "StopFailure": _stop_failure,
    "SubagentStart": _subagent_start,
    "SubagentStop": _subagent_stop,
    "SessionEnd": _session_end,
    "Notification": _notification,
}
