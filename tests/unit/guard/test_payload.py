"""A hook's JSON → a typed record, or a `PayloadError`; never anything else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.guard import payload
from octet.guard.payload import PayloadError

RECORDED = sorted((Path(__file__).parents[2] / "hooks/payloads").glob("*.json"))
USED = {
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolBatch",
    "Stop",
    "StopFailure",
    "SubagentStart",
    "SubagentStop",
    "SessionEnd",
    "Notification",
}
WRITE = {
    "session_id": "s1",
    "transcript_path": "/t.jsonl",
    "cwd": "/srv/shop",
    "permission_mode": "default",
    "hook_event_name": "PreToolUse",
    "tool_name": "Write",
    "tool_input": {"file_path": "/srv/shop/a.py", "content": "x"},
    "tool_use_id": "t1",
}


def parse(fields: Any, event: str = "PreToolUse") -> payload.Event:
    return payload.parse(json.dumps(fields).encode(), {"event": event})


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_what_the_client_sends_is_read(path: Path) -> None:
    """Every recorded payload of an event in use becomes its record."""
    name = json.loads(path.read_text())["hook_event_name"]
    if name not in USED:
        with pytest.raises(PayloadError, match="no hook"):
            payload.parse(path.read_bytes(), {"event": name})
        return
    event = payload.parse(path.read_bytes(), {"event": name})
    assert type(event).__name__ == name
    assert event.session_id
    assert event.cwd


def test_every_used_event_was_recorded() -> None:
    """No record is built on documentation alone."""
    assert {json.loads(path.read_text())["hook_event_name"] for path in RECORDED} >= USED


def test_the_fields_arrive() -> None:
    """What the payload and the header say is in the record."""
    header = {
        "event": "PreToolUse",
        "source": "plugin",
        "pid": "42",
        "project": "/srv/shop",
        "envfile": "/e",
    }
    event = payload.parse(
        json.dumps({**WRITE, "agent_id": "a1", "agent_type": "octet:developer"}).encode(), header
    )
    assert isinstance(event, payload.PreToolUse)
    assert event.client == payload.Client("plugin", 42, "/srv/shop", "/e")
    assert (event.agent_id, event.agent_type, event.tool_use_id) == ("a1", "octet:developer", "t1")
    assert event.tool_input["file_path"] == "/srv/shop/a.py"


def test_a_record_cannot_be_changed() -> None:
    """No later step can rewrite what the client said."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse(WRITE).cwd = "/"  # type: ignore[misc]


@pytest.mark.parametrize("pid", ["", "-1", "x", "1" * 20, "٣"])
def test_an_odd_pid_is_no_pid(pid: str) -> None:
    """What is no process id is None, and no reason to fail."""
    assert (
        payload.parse(json.dumps(WRITE).encode(), {"event": "PreToolUse", "pid": pid}).client.pid
        is None
    )


@pytest.mark.parametrize(
    "missing", ["session_id", "cwd", "hook_event_name", "tool_name", "tool_input"]
)
@pytest.mark.parametrize("value", [..., None, 3, True, [], ""])
def test_a_required_field_is_required(missing: str, value: Any) -> None:
    """Missing, null, empty or of another kind: the error names the field."""
    fields = {key: field for key, field in WRITE.items() if key != missing}
    if value is not ...:
        fields[missing] = value
    with pytest.raises(PayloadError, match=missing):
        parse(fields)


@pytest.mark.parametrize("key", ["session_id", "cwd", "tool_name", "agent_id", "tool_use_id"])
@pytest.mark.parametrize("value", ["a\0b", "a\ud800"])
def test_names_hold_no_nul_and_no_half_characters(key: str, value: str) -> None:
    """What becomes part of a key or a path is valid text."""
    with pytest.raises(PayloadError, match=key):
        parse({**WRITE, key: value})


def test_free_text_is_made_valid() -> None:
    """A lone surrogate in a message is replaced, so that it can be stored."""
    fields = {**WRITE, "hook_event_name": "Stop", "last_assistant_message": "a\ud800b"}
    event = parse(fields, "Stop")
    assert isinstance(event, payload.Stop)
    assert event.last_assistant_message == "a?b"


NOT_JSON = {
    "empty": b"",
    "blank": b" \n",
    "null": b"null",
    "array": b"[]",
    "number": b"1",
    "string": b'"x"',
    "half": b'{"session_id": "s',
    "two": b"{}{}",
    "not utf-8": b'{"session_id": "\xff"}',
    "utf-16": '{"session_id": "s"}'.encode("utf-16"),
    "mark": b"\xef\xbb\xbf{}",
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep list": b"[" * 100_000,
    "huge number": b'{"session_id": ' + b"1" * 100_000 + b"}",
    "nul": b"\0",
    "encoded surrogate": b'{"session_id": "\xed\xa0\x80"}',
    "double key": b'{"session_id": "a", "session_id": "b"}',
    "double key inside": json.dumps(WRITE).replace('"content"', '"file_path"').encode(),
}


@pytest.mark.parametrize("raw", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_no_payload_is_refused_in_one_line(raw: bytes) -> None:
    """Each is a `PayloadError` with a short message."""
    with pytest.raises(PayloadError) as raised:
        payload.parse(raw, {"event": "PreToolUse"})
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 200


def test_ten_megabytes_are_read() -> None:
    """Large content is no way around the guard."""
    event = parse({**WRITE, "tool_input": {"file_path": "/a", "content": "x\u00e9\n" * 3_000_000}})
    assert isinstance(event, payload.PreToolUse)
    assert event.tool_input["file_path"] == "/a"


def test_what_is_larger_than_any_tool_takes_is_refused() -> None:
    """There is an end to what is read into memory."""
    with pytest.raises(PayloadError, match="larger"):
        payload.parse(b" " * (payload.SIZE_LIMIT + 1), {"event": "PreToolUse"})


def test_the_payloads_event_must_be_the_hooks() -> None:
    """A payload of another event, or an unknown event, is refused."""
    with pytest.raises(PayloadError, match="PreToolUse"):
        parse(WRITE, "Stop")
    with pytest.raises(PayloadError, match="no hook"):
        parse(WRITE, "PreCompact")
    with pytest.raises(PayloadError, match="no hook"):
        payload.parse(b"{}", {})


def test_only_the_start_of_a_tool_must_block() -> None:
    """An unreadable payload of any other event is only reported."""
    assert [name for name in sorted(USED) if payload.is_guard(name)] == ["PreToolUse"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


FIELDS = [
    *WRITE,
    "agent_id",
    "source",
    "prompt",
    "background_tasks",
    "stop_hook_active",
    "last_assistant_message",
]


@given(event=st.sampled_from(sorted(USED)), changes=st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_field_raises_anything_else(event: str, changes: dict[str, Any]) -> None:
    """Any value in any field gives a record or a `PayloadError`."""
    try:
        assert parse({**WRITE, "hook_event_name": event, **changes}, event).session_id
    except PayloadError:
        pass  # the other valid answer


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    """Any bytes give a record or a `PayloadError`."""
    with pytest.raises(PayloadError):
        payload.parse(raw, {"event": "Stop"})
