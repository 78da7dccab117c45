"""The Lua files: what each declares, and its text as the server runs it.

```lua
-- lock/release.lua: free one lock, shown its token; or any lock, by a person's word.
-- KEYS lock* STRING · agent_locks* SET · sent(sender) LIST · log STREAM · channel* PUBSUB
-- ARGV resource · token · by: the person that breaks it, or '' · more…
-- Returns {OK, holder} · {MISSING}
-- include: emit
```

Between the entries of KEYS and ARGV stands ` · `. A name of KEYS is one of `Keys`: `log` is a key,
`lock*` a prefix, which Lua completes, and `sent(sender)` the key made of the value `sender` of the
call. A channel's prefix is no key and is sent in front of the arguments. A name of ARGV may have a
note behind a colon; the last may be a list, `more…`. An include may declare both: they come first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

INCLUDE = "-- include: "
CHANNEL = "PUBSUB"
_FOLDER = resources.files("octet.store") / "lua"
_KEY = re.compile(r"(\w+)(\*|\((\w+)\))? ([A-Z]+)")
_ARGUMENT = re.compile(r"(\w+)(…)?(:.*)?")


@dataclass(frozen=True)
class DeclaredKey:
    """One entry of a KEYS line; `of` names the value that the key is made of, if any."""

    name: str
    type: str
    prefix: bool = False
    of: str = ""


@dataclass(frozen=True)
class Signature:
    """What a script takes, in order."""

    keys: tuple[DeclaredKey, ...] = ()
    channels: tuple[DeclaredKey, ...] = ()
    args: tuple[str, ...] = ()
    rest: str = ""


@dataclass(frozen=True)
class Script:
    """A script's text with its includes in place, and its SHA-1."""

    name: str
    text: str
    sha: str
    signature: Signature


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
    """Read `lua/<name>.lua` and put its includes in place, each once.

    Raises:
        ValueError: a declaration cannot be read.
    """
    lines: list[str] = []
    headers: list[Sequence[str]] = []
    own = _read(name).splitlines()
    for line in own:
        if line.startswith(INCLUDE):
            included = _read("include/" + line.removeprefix(INCLUDE).strip())
            lines.append(included)
            headers.append(included.splitlines())
        else:
            lines.append(line)
    text = "\n".join(lines)
    # SHA-1 is what EVALSHA names scripts by; nothing is protected by it.
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(name, text, sha, read_signature(name, [*headers, own]))


def read_signature(name: str, files: Iterable[Sequence[str]]) -> Signature:
    """What the headers of these files declare together; what two declare counts once.

    Raises:
        ValueError: an entry cannot be read, or two files declare a name differently.
    """
    keys: dict[str, DeclaredKey] = {}
    args: dict[str, bool] = {}
    for lines in files:
        for entry in _entries(lines, "KEYS"):
            key = _declared_key(name, entry)
            if keys.setdefault(key.name, key) != key:
                raise ValueError(f"{name}.lua: the key {key.name} is declared in two ways")
        for entry in _entries(lines, "ARGV"):
            match = _ARGUMENT.fullmatch(entry)
            if not match:
                raise ValueError(f"{name}.lua: no argument: {entry}")
            args[match[1]] = bool(match[2])
    *before, last = args or {"": False}
    if any(args[each] for each in before):
        raise ValueError(f"{name}.lua: a list must be its last argument")
    rest = last if args.get(last) else ""
    return Signature(
        keys=tuple(key for key in keys.values() if key.type != CHANNEL),
        channels=tuple(key for key in keys.values() if key.type == CHANNEL),
        args=tuple(each for each in args if each != rest),
        rest=rest,
    )


def _declared_key(name: str, entry: str) -> DeclaredKey:
    match = _KEY.fullmatch(entry)
    if not match:
        raise ValueError(f"{name}.lua: no key: {entry}")
    return DeclaredKey(match[1], match[4], match[2] == "*", match[3] or "")


def _entries(lines: Sequence[str], word: str) -> list[str]:
    """The entries of the header's lines that begin with `word`, continuation lines included."""
    text = ""
    for line in lines:
        if not line.startswith("--") or line.startswith(INCLUDE):
            break
        if line.startswith(f"-- {word} "):
            text = line.removeprefix(f"-- {word} ")
        elif text and line.startswith("--   "):
            text += " " + line.removeprefix("--   ")
        elif text:
            break
    return text.split(" · ") if text else []


def _read(name: str) -> str:
    return _FOLDER.joinpath(*f"{name}.lua".split("/")).read_text(encoding="utf-8")
