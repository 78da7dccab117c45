"""The Lua scripts: one file a transition, loaded from `octet/store/lua`, called by SHA.

A line `-- include: NAME` is replaced by `lua/include/NAME.lua`. Every script answers with an array
whose first element is a `Reply` code. Design: docs/architecture.md, "Script replies".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoScriptError, ResponseError

from octet.base.errors import StoreSpoiled, UsageError
from octet.store.connection import translate_errors
from octet.store.keys import Keys
from octet.store.leap import leap_in_new_run

INCLUDE = "-- include: "
_FOLDER = resources.files("octet.store") / "lua"


class Reply(StrEnum):
    """First element of every script's answer."""

    OK = "OK"  # done; the fields follow
    HAS = "HAS"  # the agent holds as many claims as it may; the task follows
    EMPTY = "EMPTY"  # nothing to claim
    EXISTS = "EXISTS"  # the id is taken
    # there is a task, and others have waited longer; or it was offered to others just now
    LATER = "LATER"
    # there are too many different sets of needed capabilities, or too many messages in an inbox
    # (follows)
    FULL = "FULL"
    NEEDS = "NEEDS"  # the agent lacks a capability (follows)
    SCOPE = "SCOPE"  # the task overlaps one in flight (follows)
    MISSING = "MISSING"  # no such task, agent or lock
    STATE = "STATE"  # the state (follows) does not allow the step
    STALE = "STALE"  # the fencing token is not the current one
    MOVED = "MOVED"  # the task is at another commit (follows) than the one judged
    OWN = "OWN"  # the work is the agent's own, which it may not judge
    AUTHOR = "AUTHOR"  # only the task's author (follows) may
    # the agent writes as orchestrator, and another (follows, with its epoch and for how long, ms)
    # leads
    LED = "LED"
    GONE = "GONE"  # the agent, in this incarnation, is not registered
    # another agent holds the resource, or one that covers it; resource, value and TTL follow
    HELD = "HELD"
    BEHIND = "BEHIND"  # another agent (follows) has waited longer for the resource
    # whoever waited here would wait for itself; the resources and agents between follow
    DEADLOCK = "DEADLOCK"
    ALIVE = "ALIVE"  # the agent's heartbeat has not run out
    NUMBER = "NUMBER"  # the value (follows) is no whole number, or the sum would be none that fits
    SPOILED = "SPOILED"  # a key (follows) is not of the type it should be; nothing was written


@dataclass(frozen=True)
class Script:
    """A script's text with its includes in place, and its SHA-1."""

    name: str
    text: str
    sha: str


def _read(name: str) -> str:
    return _FOLDER.joinpath(*f"{name}.lua".split("/")).read_text(encoding="utf-8")


def script_names() -> list[str]:
    """Every script as `load_script` names it: `subject/verb`."""
    subjects = [
        folder for folder in _FOLDER.iterdir() if folder.is_dir() and folder.name != "include"
    ]
    return sorted(
        f"{subject.name}/{file.name.removesuffix('.lua')}"
        for subject in subjects
        for file in subject.iterdir()
        if file.name.endswith(".lua")
    )


@cache
def load_script(name: str) -> Script:
    """Read `lua/<name>.lua` and put its includes in place, each once."""
    lines: list[str] = []
    for line in _read(name).splitlines():
        if line.startswith(INCLUDE):
            lines.append(_read("include/" + line.removeprefix(INCLUDE).strip()))
        else:
            lines.append(line)
    text = "\n".join(lines)
    # SHA-1 is what EVALSHA names scripts by; nothing is protected by it.
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Store:
    """One project's keys on one Redis; every write goes through `run`."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        # Any: redis-py's annotations differ between its versions and speak of bytes and text at
        # once; ours are text.
        self.client: Any = client
        self.keys = keys

    def run(self, name: str, keys: Sequence[str], args: Sequence[str | int | float]) -> list[Any]:
        """Run one script atomically; returns its array, `Reply` code first.

        Raises:
            StoreUnreachable: the server does not answer, or answers that it cannot; `StoreSpoiled`
                for a key of the wrong type.
            UsageError: a text is not valid Unicode.
        """
        script = load_script(name)
        try:
            reply = self.client.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
        except NoScriptError:  # a restarted or flushed server; EVAL caches the script again
            with self.errors():
                leap_in_new_run(self.client, self.keys)
                reply = self.client.execute_command("EVAL", script.text, len(keys), *keys, *args)
        except Exception:
            with self.errors():
                raise
        return self.checked(reply)

    def checked(self, reply: Sequence[Any]) -> list[Any]:
        """A script's reply as it came.

        Raises:
            StoreSpoiled: the script met a key of the wrong type, and wrote nothing.
        """
        if reply[0] == Reply.SPOILED:
            raise StoreSpoiled(
                f"the key {reply[1]} holds something else than Octet's data: look at it with "
                "redis-cli, then DEL it"
            )
        return list(reply)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Around every command: a failure of the server, a key of the wrong type and text that
        cannot be sent, as errors of ours.
        """
        try:
            with translate_errors(self.client):
                yield
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            raise StoreSpoiled(
                f"a key of project {self.keys.project} holds something else than Octet's "
                "data: find it with TYPE"
            ) from error
        except UnicodeEncodeError as error:
            raise UsageError(
                "a text has characters in it that are not valid Unicode (lone surrogates): "
                "remove them"
            ) from error


def to_json(value: Any) -> str:
    """`value` as JSON that keeps every byte of a surrogate-escaped text, because Lua's decoder
    refuses `\\udc80`.

    Raises:
        ValueError, TypeError: it is no JSON: a number that is none, an object of another type, too
            deep.
    """
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def from_json(text: str) -> Any:
    """What `text` holds; whoever wrote it may have been no friend.

    Raises:
        ValueError: it is no JSON, or nested too deep.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def as_mapping(flat: Sequence[str]) -> dict[str, str]:
    """A flat array of fields and values, as a script's HGETALL gives it, as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
