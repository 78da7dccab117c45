"""A settings file as text: hooks go in and out, and the rest stays as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.base.errors import ConfigError
from octet.install.client_settings import add_hooks, remove_hooks


def group(event: str, matcher: str = "", version: str = "") -> dict[str, Any]:
    arguments = ["-c", f"x{version}", "${CLAUDE_PROJECT_DIR}/.claude/octet/launch", event, "dropin"]
    return {
        **({"matcher": matcher} if matcher else {}),
        "hooks": [{"type": "command", "command": "/bin/sh", "args": arguments}],
    }


HOOKS = {
    "PreToolUse": [group("PreToolUse", "Bash"), group("PreToolUse", "Write|Edit")],
    "Stop": [group("Stop")],
}
THEIRS = {"hooks": [{"type": "command", "command": "make lint"}]}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
events = st.sampled_from(["PreToolUse", "Stop", "Notification"])
commands = st.lists(st.just({"type": "command", "command": "make"}), max_size=2)
theirs = st.fixed_dictionaries({"hooks": commands}, optional={"matcher": st.text()})
settings = st.builds(
    lambda rest, hooks: {**rest, **({} if hooks is None else {"hooks": hooks})},
    st.dictionaries(st.text().filter(lambda key: key != "hooks"), json_values, max_size=4),
    st.none() | st.dictionaries(events, st.lists(theirs, min_size=1, max_size=3), min_size=1),
)
written = st.builds(
    lambda value, indent, escaped, newline, end: (
        json.dumps(value, indent=indent, ensure_ascii=escaped).replace("\n", newline) + end
    ),
    settings,
    st.sampled_from([None, 1, 2, 4, "\t"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\n"]),
).filter(lambda text: json.loads(text) != {})


@given(written)
def test_what_went_in_comes_out_to_the_byte(text: str) -> None:
    """Adding and removing give the same text, however it was laid out."""
    assert remove_hooks(add_hooks(text, HOOKS)) == text


@given(written)
def test_nothing_is_lost_or_reordered(text: str) -> None:
    """Every setting and hook that was there is there after, in its order, and ours come last."""
    before, after = json.loads(text), json.loads(add_hooks(text, HOOKS))
    assert {**after, "hooks": None} == {**before, "hooks": None}
    old = before.get("hooks", {})
    for event, groups in after["hooks"].items():
        assert groups == old.get(event, []) + HOOKS.get(event, [])
    assert list(after["hooks"])[: len(old)] == list(old)


@given(written)
def test_adding_twice_is_adding_once(text: str) -> None:
    """A second run changes nothing."""
    once = add_hooks(text, HOOKS)
    assert add_hooks(once, HOOKS) == once


def test_an_older_versions_hooks_are_replaced() -> None:
    """They are known by the launcher they name, not by being equal."""
    old = add_hooks(
        json.dumps({"hooks": {"Stop": [THEIRS]}}),
        {"Stop": [group("Stop", version="1")], "SessionEnd": [group("SessionEnd")]},
    )
    assert json.loads(add_hooks(old, HOOKS))["hooks"] == {
        "Stop": [THEIRS, *HOOKS["Stop"]],
        "PreToolUse": HOOKS["PreToolUse"],
    }


def test_a_hook_that_was_put_into_our_group_stays() -> None:
    """Only our hook goes; the group belongs to the hooks left in it."""
    mixed = {"hooks": {"Stop": [{"hooks": [*group("Stop")["hooks"], *THEIRS["hooks"]]}]}}
    assert json.loads(remove_hooks(json.dumps(mixed))) == {"hooks": {"Stop": [THEIRS]}}


def test_the_layout_of_the_file_is_followed() -> None:
    """Indent and line ends are the file's own."""
    added = add_hooks('{\r\n\t"model": "opus"\r\n}\r\n', {"Stop": [group("Stop")]})
    assert added.startswith('{\r\n\t"model": "opus",\r\n\t"hooks": {\r\n\t\t"Stop": [\r\n')
    assert "\n" not in added.replace("\r\n", "")


@pytest.mark.parametrize("text", ["", "  \n", "{}", "{\n}\n", "\ufeff{}"])
def test_an_empty_file_gets_the_hooks(text: str) -> None:
    """No content, an empty object and a byte order mark are as good as no file."""
    assert json.loads(add_hooks(text, HOOKS).removeprefix("\ufeff")) == {"hooks": HOOKS}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '{"a": 1,}',
        '{"hooks": []}',
        '{"hooks": {"Stop": {}}}',
        "// comment\n{}",
        "[" * 100_000,
        '{"hooks": null}',
    ],
    ids=lambda text: text[:20],
)
@pytest.mark.parametrize(
    "edit", [lambda text: add_hooks(text, HOOKS), remove_hooks], ids=["add", "remove"]
)
def test_what_cannot_be_understood_is_refused(edit: Any, text: str) -> None:
    """One error, with what is wrong; nothing is guessed."""
    with pytest.raises(ConfigError):
        edit(text)
