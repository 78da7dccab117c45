"""Reading an append-only file: how much of it is whole, and whether what follows is only a last
write that was cut off.

The file is the protocol itself: `*<words>`, then `$<bytes>` and the bytes of each word, every line
ended by CR LF. What a script did stands between MULTI and EXEC, and counts as a whole only with its
EXEC.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path

# A file in Redis's own binary form, which may precede the commands: nothing here can look into it.
BINARY = (b"REDIS", b"VALKEY")

_HEAD_BYTES = 32
_COMMAND = re.compile(rb"\r\n\*\d+\r\n\$\d+\r\n")
_BEGIN, _END = b"MULTI", b"EXEC"


@dataclass(frozen=True)
class Scan:
    """`whole` bytes of `size` are complete commands. `torn`: the rest is one write that was cut
    off, not damage; never with `binary`.
    """

    size: int
    whole: int
    torn: bool
    binary: bool = False

    @property
    def intact(self) -> bool:
        """Whether nothing is missing or damaged, as far as the form tells."""
        return self.whole == self.size


def scan(path: Path) -> Scan:
    """Read the whole file; about a million commands in two seconds.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        if not size:
            return Scan(0, 0, False)
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
            if data[: len(BINARY[0])] == BINARY[0] or data[: len(BINARY[1])] == BINARY[1]:
                return Scan(size, size, False, binary=True)
            return _scan(data, size)


def _scan(data: mmap.mmap, size: int) -> Scan:
    position = whole = 0
    transaction = False
    while position < size:
        try:
            position, name = _command(data, position, size)
        except EOFError:
            return Scan(size, whole, _is_one_write(data, whole, size, transaction))
        except ValueError:
            # After a power failure a file may have its new length and, at its end, zeros for what
            # never reached the disk.
            written = whole + len(data[whole:size].rstrip(b"\0"))
            return Scan(
                size, whole, written < size and _is_one_write(data, whole, written, transaction)
            )
        transaction = (transaction or name == _BEGIN) and name != _END
        if not transaction:
            whole = position
    return Scan(size, whole, whole < size)


def _is_one_write(data: mmap.mmap, start: int, size: int, transaction: bool) -> bool:
    """Whether no finished command follows `start`: else a length in the middle is damaged and only
    looks like a cut-off end.
    """
    if transaction:
        return data.find(b"\r\n$4\r\nEXEC\r\n", start, size) < 0
    return _COMMAND.search(data, start, size) is None


def _command(data: mmap.mmap, position: int, size: int) -> tuple[int, bytes]:
    """Where the command at `position` ends, and its first word in capitals.

    Raises:
        EOFError: the file ends before the command does.
        ValueError: no command stands there.
    """
    if (
        data[position : position + 1] == b"#"
    ):  # a comment with the time, if the server was told to write them
        end = data.find(b"\n", position, size)
        if end < 0:
            raise EOFError
        return end + 1, b""
    words, position = _head(data, position, size, b"*")
    name = b""
    for number in range(words):
        length, position = _head(data, position, size, b"$")
        end = position + length
        if end + 2 > size:
            raise EOFError
        if data[end : end + 2] != b"\r\n":
            raise ValueError("a word does not end where it says")
        if number == 0:
            name = data[position:end][:8].upper()
        position = end + 2
    return position, name


def _head(data: mmap.mmap, position: int, size: int, kind: bytes) -> tuple[int, int]:
    """The number in a line such as `*3`, and where the next line begins."""
    if position >= size:
        raise EOFError
    end = data.find(b"\r\n", position, min(size, position + _HEAD_BYTES))
    if data[position : position + 1] != kind:
        raise ValueError("no such line")
    if end < 0:
        if size - position < _HEAD_BYTES:
            raise EOFError
        raise ValueError("a line without end")
    number = data[position + 1 : end]
    if not number.isdigit():
        raise ValueError("no number")
    return int(number), end + 2
