"""Running the Lua scripts: their keys and arguments by name, their replies by code.

Every script answers with an array whose first element is a `Reply` code. Design:
docs/protocol.md, "Scripts". What a script takes is declared on top of its file
(`script_files.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, NamedTuple, cast

import redis
from redis.exceptions import NoScriptError, ResponseError

from octet.base.errors import StoreSpoiled, UsageError
from octet.store.connection import translate_errors
from octet.store.keys import Keys
from octet.store.script_files import DeclaredKey, Script, load_script
from octet.store.token_epoch import begin_epoch

Value = str | int | float | Sequence[str | int]


class Reply(StrEnum):
    """First element of every script's answer."""

    OK = "OK"  # done; the fields follow
    HAS = "HAS"  # the agent holds as many claims as it may; the task follows
    EMPTY = "EMPTY"  # nothing to claim
    EXISTS = "EXISTS"  # the id is taken
    LATER = "LATER"  # others have waited longer, or it was offered to others just now
    FULL = "FULL"  # too many sets of needed capabilities, or messages in an inbox (follows)
    NEEDS = "NEEDS"  # the agent lacks a capability (follows)
    SCOPE = "SCOPE"  # the task overlaps one in flight (follows)
    MISSING = "MISSING"  # no such task, agent or lock
    STATE = "STATE"  # the state (follows) does not allow the step
    STALE = "STALE"  # the fencing token is not the current one
    MOVED = "MOVED"  # the task is at another commit (follows) than the one judged
    OWN = "OWN"  # the work is the agent's own, which it may not judge
    AUTHOR = "AUTHOR"  # only the task's author (follows) may
    # another orchestrator than the agent leads (follows, with its epoch and for how long, ms)
    LED = "LED"
    GONE = "GONE"  # the agent, in this incarnation, is not registered
    # another agent holds the resource, or one that covers it; resource, value and TTL follow
    HELD = "HELD"
    BEHIND = "BEHIND"  # another agent (follows) has waited longer for the resource
    DEADLOCK = "DEADLOCK"  # waiting would close a cycle; the resources and agents in it follow
    ALIVE = "ALIVE"  # the agent's heartbeat has not run out
    NUMBER = "NUMBER"  # the value (follows) is no whole number, or the sum would be none that fits
    SPOILED = "SPOILED"  # a key (follows) is not of the type it should be; nothing was written


class Store:
    """One project's keys on one Redis; every write goes through `run`."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        # Any: redis-py's annotations differ between its versions and speak of bytes and text at
        # once; ours are text.
        self.client: Any = client
        self.keys = keys
        self._calls: dict[str, _Call] = {}

    def run(self, script: str, /, **values: Value) -> list[Any]:
        """Run one script atomically; returns its array, `Reply` code first.

        `values`: what the script's header names, and what its keys are made of.

        Raises:
            StoreUnreachable: the server does not answer, or answers that it cannot; `StoreSpoiled`
                for a key of the wrong type.
            UsageError: a text is not valid Unicode.
            TypeError: a value is missing, or none of the script's.
        """
        command = self.command(script, **values)
        try:
            reply = self.client.execute_command(*command)
        except NoScriptError:  # a restarted or flushed server; EVAL caches the script again
            with self.errors():
                begin_epoch(self.client, self.keys)
                text = load_script(script).text
                reply = self.client.execute_command("EVAL", text, *command[2:])
        except Exception:
            with self.errors():
                raise
        return self.checked(reply)

    def command(self, script: str, /, **values: Value) -> list[Any]:
        """The command that runs the script, for a pipeline; arguments and errors as `run`."""
        call = self._calls.get(script)
        if call is None:
            call = self._calls[script] = _Call(load_script(script), self.keys)
        return call.command(values)

    def checked(self, reply: Sequence[Any]) -> list[Any]:
        """The script's reply, unchanged.

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
        """Around each command: Octet's errors for a failing server, a key of the wrong type, and a
        text that cannot be sent.
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


class _MadeKey(NamedTuple):
    """The place of a key that each call makes of one of its values."""

    make: Callable[[Any], str]
    of: str


class _Call:
    """The words of one script's command; what is the same at each call is made once."""

    def __init__(self, script: Script, keys: Keys) -> None:
        self._script = script
        declared = script.signature
        made = [_key(keys, key) for key in (*declared.keys, *declared.channels)]
        self._words: list[Any] = ["EVALSHA", script.sha, len(declared.keys), *made]
        self._made = [(n, key) for n, key in enumerate(self._words) if isinstance(key, _MadeKey)]
        named = (*(key.of for _, key in self._made), *declared.args, declared.rest)
        self._names = set(named) - {""}

    def command(self, values: Mapping[str, Value]) -> list[Any]:
        declared, words = self._script.signature, self._words.copy()
        try:
            for place, key in self._made:
                words[place] = key.make(values[key.of])
            words += [values[name] for name in declared.args]
            if declared.rest:
                words += cast(Sequence[Value], values[declared.rest])
        except KeyError as missing:
            raise TypeError(f"{self._script.name} needs the value {missing}") from None
        if len(values) != len(self._names):
            unknown = ", ".join(sorted(set(values) - self._names))
            raise TypeError(f"{self._script.name} takes no value {unknown}")
        return words


def _key(keys: Keys, declared: DeclaredKey) -> str | _MadeKey:
    found = getattr(keys, declared.name)
    if declared.of:
        return _MadeKey(found, declared.of)
    return str(found("") if declared.prefix else found)


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
    """The value of a JSON text from any writer.

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
