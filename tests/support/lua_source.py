"""What a script's text says of itself, and what it really does: its header, its calls, its globals
out of the compiled chunk.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from lupa import lua51

import octet
from octet.store.script_files import INCLUDE, load_script, read_signature, script_names

FOLDER = Path(octet.__file__).parent / "store" / "lua"
NAMES = script_names()
FILES = sorted(str(path.relative_to(FOLDER)).removesuffix(".lua") for path in FOLDER.rglob("*.lua"))
_GETGLOBAL, _SETGLOBAL = 5, 7


@dataclass(frozen=True)
class Names:
    """Names of `K` and of `A`."""

    keys: frozenset[str]
    args: frozenset[str]


def declared(file: str) -> Names:
    """What the header of one file says, without its includes'."""
    found = read_signature(file, [read(file)])
    keys = frozenset(key.name for key in (*found.keys, *found.channels))
    return Names(keys, frozenset({*found.args, found.rest} - {""}))


def used(text: str) -> Names:
    """What the lines of a text use."""
    code = without_comments(text)
    return Names(
        frozenset(re.findall(r"\bK\.(\w+)", code)), frozenset(re.findall(r"\bA\.(\w+)", code))
    )


def read(file: str) -> str:
    """A file's text, named as a script or `include/<name>`."""
    return (FOLDER / f"{file}.lua").read_text(encoding="utf-8")


def returned_codes(name: str) -> set[str]:
    """The reply codes that a script's header lists."""
    header = read(name).split("\nlocal ", 1)[0]
    return set(re.findall(r"\{([A-Z]+)", header.split("Returns", 1)[1].split(INCLUDE)[0]))


def used_codes(name: str) -> set[str]:
    """The reply codes that a script and its includes answer with."""
    return set(re.findall(r"(?:\{ |1, )'([A-Z]+)'(?=[ ,)])", body(name)))


def body(name: str) -> str:
    """The script as it runs, without comments."""
    return without_comments(load_script(name).text)


def without_comments(text: str) -> str:
    return re.sub(r"--[^\n]*", "", text)


def commands(name: str) -> set[str]:
    """The Redis commands of a script; one that is not written out is shown as the expression that
    gives it.
    """
    calls = re.findall(r"redis\.p?call\(\s*([^,)]+)", body(name))
    return {call.strip("'") for call in calls}


def globals_of(text: str) -> tuple[set[str], set[str]]:
    """The globals that a script reads and those that it writes, from its bytecode, branches never
    taken included.
    """
    runtime = lua51.LuaRuntime(encoding=None)
    dump = runtime.eval(b"function(text) return string.dump(assert(loadstring(text))) end")(
        text.encode()
    )
    reader = _Reader(dump[12:])
    reader.function()
    return reader.read, reader.written


class _Reader:
    """Lua 5.1 bytecode as lundump.c reads it: 4-byte ints and opcodes, 8-byte sizes, doubles."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.read: set[str] = set()
        self.written: set[str] = set()

    def take(self, layout: str) -> int:
        (value,) = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return int(value)

    def string(self) -> str:
        size = self.take("Q")
        text = self.data[self.at : self.at + size]
        self.at += size
        return text[:-1].decode("latin-1")

    def constant(self) -> str:
        kind = self.take("B")
        if kind == 4:
            return self.string()
        self.at += {0: 0, 1: 1, 3: 8}[kind]
        return ""

    def function(self) -> None:
        self.string()
        self.at += 4 + 4 + 4
        code = [self.take("I") for _ in range(self.take("I"))]
        constants = [self.constant() for _ in range(self.take("I"))]
        self.read |= {constants[word >> 14] for word in code if word & 0x3F == _GETGLOBAL}
        self.written |= {constants[word >> 14] for word in code if word & 0x3F == _SETGLOBAL}
        for _ in range(self.take("I")):
            self.function()
        lines = self.take("I")
        self.at += 4 * lines
        for _ in range(self.take("I")):
            self.string()
            self.at += 8
        for _ in range(self.take("I")):
            self.string()
