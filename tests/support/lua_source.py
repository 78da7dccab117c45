"""What a script's text says of itself, and what it really does: its header, its calls, its globals
out of the compiled chunk.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

from lupa import lua51

import octet
from octet.store.script_files import INCLUDE, load_script, script_names

FOLDER = Path(octet.__file__).parent / "store" / "lua"
NAMES = script_names()
FILES = sorted(FOLDER.rglob("*.lua"))
_GETGLOBAL, _SETGLOBAL = 5, 7


@dataclass(frozen=True)
class Declared:
    """KEYS by number with their type ("prefix" for one), numbers of ARGV, whether more may follow,
    and reply codes.
    """

    keys: dict[int, str] = field(default_factory=dict)
    args: set[int] = field(default_factory=set)
    open_ended: bool = False
    codes: set[str] = field(default_factory=set)


def header(name: str) -> str:
    """The comment on top of a file, with the headers of its includes that name KEYS or ARGV."""
    lines = (FOLDER / f"{name}.lua").read_text().splitlines()
    own = "\n".join(
        line
        for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("--"))]
    )
    included = [line.removeprefix(INCLUDE) for line in own.splitlines() if line.startswith(INCLUDE)]
    return "\n".join([own, *(header(f"include/{file}") for file in included)])


def declared(name: str) -> Declared:
    """What the header says."""
    signature = load_script(name).signature
    keys = {n: "prefix" if key.prefix else key.type for n, key in enumerate(signature.keys, 1)}
    count = len(signature.channels) + len(signature.args) + bool(signature.rest)
    returns = header(name).split("Returns", 1)[1].split(INCLUDE)[0]
    codes = set(re.findall(r"\{([A-Z]+)", returns))
    return Declared(keys, set(range(1, count + 1)), bool(signature.rest), codes)


def body(name: str) -> str:
    """The script as it runs, without comments."""
    return re.sub(r"--[^\n]*", "", load_script(name).text)


def used(name: str) -> Declared:
    """What the text does."""
    text = body(name)
    args = {int(number) for number in re.findall(r"ARGV\[(\d+)\]", text)} | {
        int(n) for n in re.findall(r"for i = (\d+), #ARGV", text)
    }
    keys = {int(number): "" for number in re.findall(r"KEYS\[(\d+)\]", text)}
    return Declared(
        keys, args, "#ARGV" in text, set(re.findall(r"(?:\{ |1, )'([A-Z]+)'(?=[ ,)])", text))
    )


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
    """Lua 5.1 bytecode, as lundump.c reads it: 4-byte ints, 8-byte sizes, 4-byte instructions,
    doubles.
    """

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
