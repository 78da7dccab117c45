"""The Lua files: what each declares, and its text as the server runs it.

```lua
-- lock/release.lua: free one lock, shown its token; or any lock, by a person's word.
-- KEYS lock* STRING · sent(sender) LIST · log STREAM · channel* PUBSUB
-- ARGV resource · token · by: the person that breaks it, or '' · more…
-- Returns {OK, holder} · {MISSING}
-- include: emit
local lock = read_lock(K.lock .. A.resource)
```

Between the entries of KEYS and ARGV stands ` · `. A name of KEYS is one of `Keys`: `log` is a key,
`lock*` a prefix, which the script completes, and `sent(sender)` the key made of the call's value
`sender`. A name of ARGV may have a note behind a colon; one may be a list, `more…`, which comes
last. The text has the names as fields of two tables, `K` and `A`. The prefix of channels is no key:
it is sent in front of the arguments, and is in `K` all the same.

A line `-- include: NAME` puts `include/NAME.lua` in front, each file once. A file declares what its
own lines use; a script's signature is that of its includes and itself together.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
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
    """Read `lua/<name>.lua` with its includes.

    Raises:
        ValueError: a declaration cannot be read, or two files declare a name differently.
    """
    files = [_read(file) for file in included_files(name)]
    signature = read_signature(name, files)
    text = "\n".join([preamble(signature), *files])
    # SHA-1 is what EVALSHA names scripts by; nothing is protected by it.
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(name, text, sha, signature)


def included_files(name: str) -> list[str]:
    """The file and all that it includes, each once, what is included in front."""
    found: list[str] = []
    for line in _read(name).splitlines():
        if line.startswith(INCLUDE):
            wanted = included_files(f"include/{line.removeprefix(INCLUDE).strip()}")
            found += [file for file in wanted if file not in found]
    return [*found, name]


def preamble(signature: Signature) -> str:
    """The line that gives the script its keys and arguments by name."""
    keys = [f"{key.name} = KEYS[{n}]" for n, key in enumerate(signature.keys, 1)]
    keys += [f"{key.name} = ARGV[{n}]" for n, key in enumerate(signature.channels, 1)]
    first = len(signature.channels) + 1
    args = [f"{name} = ARGV[{n}]" for n, name in enumerate(signature.args, first)]
    lines = [f"local K, A = {{ {', '.join(keys)} }}, {{ {', '.join(args)} }}"]
    if signature.rest:
        behind = first + len(signature.args)
        lines.append(f"A.{signature.rest} = {{}}")
        lines.append(
            f"for i = {behind}, #ARGV do A.{signature.rest}[i - {behind - 1}] = ARGV[i] end"
        )
    return " ".join(lines)


def read_signature(name: str, files: Iterable[str]) -> Signature:
    """What the headers of these files declare together; what two declare counts once.

    Raises:
        ValueError: an entry cannot be read, or two files declare a name differently.
    """
    keys: dict[str, DeclaredKey] = {}
    args: dict[str, bool] = {}
    for text in files:
        for entry in _entries(text, "KEYS"):
            key = _declared_key(name, entry)
            if keys.setdefault(key.name, key) != key:
                raise ValueError(f"{name}.lua: the key {key.name} is declared in two ways")
        for entry in _entries(text, "ARGV"):
            argument = _ARGUMENT.fullmatch(entry)
            if not argument:
                raise ValueError(f"{name}.lua: no argument: {entry}")
            args[argument[1]] = bool(argument[2])
    lists = [each for each, is_list in args.items() if is_list]
    if len(lists) > 1:
        raise ValueError(f"{name}.lua: more than one list: {', '.join(lists)}")
    return Signature(
        keys=tuple(key for key in keys.values() if key.type != CHANNEL),
        channels=tuple(key for key in keys.values() if key.type == CHANNEL),
        args=tuple(each for each in args if each not in lists),
        rest="".join(lists),
    )


def _declared_key(name: str, entry: str) -> DeclaredKey:
    match = _KEY.fullmatch(entry)
    if not match:
        raise ValueError(f"{name}.lua: no key: {entry}")
    return DeclaredKey(match[1], match[4], match[2] == "*", match[3] or "")


def _entries(text: str, word: str) -> list[str]:
    """The entries of the header's lines that begin with `word`, continuation lines included."""
    found = ""
    for line in text.splitlines():
        if line.startswith(f"-- {word} "):
            found = line.removeprefix(f"-- {word} ")
        elif found and line.startswith("--   "):
            found += " " + line.removeprefix("--   ")
        elif found or not line.startswith("--"):
            break
    return found.split(" · ") if found else []


def _read(name: str) -> str:
    return _FOLDER.joinpath(*f"{name}.lua".split("/")).read_text(encoding="utf-8")
