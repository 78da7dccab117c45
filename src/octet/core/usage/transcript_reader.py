"""Reads a transcript of Claude Code: each byte once, whatever the file is.

    reader = TranscriptReader()
    reader.read(path, offset).entries      # the lines that say something, from `offset` on

The client (2.1.330) writes one JSON object a line. An answer of the model is an `assistant` entry
for each of its blocks. What a hook gave the model is an `attachment` of type
`hook_additional_context`, what a command printed a `user` entry; other entries repeat a hook's
output without the model seeing it. Entries come in order, but up to 0.1 s late.

The file may be anything: a pipe, a directory, ten gigabytes without a line's end, or cut off. What
cannot be read says nothing.
"""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

CHUNK_BYTES = 1 << 20
# A longer line is skipped; the client's own tools make none of such length.
MAX_LINE_BYTES = 4 << 20
MAX_READ_BYTES = 64 << 20
# Of how many transcripts how many entries are kept between two readings.
MAX_FILES = 200
MAX_KEPT = 500
# More than any model takes at once: beyond it, a figure is no count of tokens.
MAX_TOKENS = 1_000_000_000
USAGE_FIELDS = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
)
CONTEXT = frozenset({"hook_additional_context", "hook_blocking_error"})
_REF = r"(?:task:)?[\w.-]{1,80}/\d{1,20}-\d{1,20}"
# A message is named at the beginning of a line, as quoted text never is, or as a field of JSON.
_SHOWN_REF = re.compile(rf'^\[({_REF})\]|(?<!\\)"ref": "({_REF})"', re.MULTILINE | re.ASCII)
_MAYBE_REF = re.compile(rb'/\d{1,20}-\d{1,20}(?:\]|\\?")')


class Usage(NamedTuple):
    """The tokens that an answer of the model says were used; each of its lines repeats them."""

    message: str
    counts: tuple[int, ...]  # in the order of `USAGE_FIELDS`


class TranscriptEntry(NamedTuple):
    """What one line says; a line that says nothing of this has no entry."""

    start: int  # the line's offset
    at_ms: int = 0  # by the client's clock, 0 where it does not say
    answered: bool = False  # the model has spoken
    usage: Usage | None = None  # None also for an answer copied from a session that this one forked
    asked: bool = False  # the client has asked the model, with all that was in the context
    refs: frozenset[str] = frozenset()  # messages that this line put into the context


class TranscriptPart(NamedTuple):
    """What was read, and the offset behind it; `inside`: within a line that is skipped."""

    entries: Sequence[TranscriptEntry]
    end: int
    inside: bool


@dataclass
class _File:
    """A transcript as far as it was read."""

    inode: int
    start: int
    end: int
    inside: bool
    entries: list[TranscriptEntry] = field(default_factory=list)


class TranscriptReader:
    """Remembers what was read lately, for all that ask about the same transcript; thread-safe."""

    def __init__(self) -> None:
        self._files: OrderedDict[Path, _File] = OrderedDict()
        self._locks: dict[Path, threading.Lock] = {}
        self._lock = threading.Lock()

    def read(
        self, path: Path, offset: int, *, inside: bool = False, max_bytes: int = MAX_READ_BYTES
    ) -> TranscriptPart | None:
        """The entries of the lines that begin at `offset` or later, of at most `max_bytes` that
        were not read before; None where there is no such file. `inside`: `offset` is within a line,
        which is skipped.
        """
        descriptor = _open(path)
        if descriptor is None:
            return None
        try:
            with self._lock:
                lock = self._locks.setdefault(path, threading.Lock())
            with lock:
                return self._read_on(path, descriptor, offset, inside, max_bytes)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def _read_on(
        self, path: Path, descriptor: int, offset: int, inside: bool, max_bytes: int
    ) -> TranscriptPart:
        status = os.fstat(descriptor)
        if offset > status.st_size:  # cut off: what it had was read, and it goes on from its end
            offset, inside = status.st_size, False
        file = self._files.get(path)
        if (
            file is None
            or file.inode != status.st_ino
            or file.end > status.st_size
            or not file.start <= offset <= file.end
        ):
            file = _File(status.st_ino, offset, offset, inside)
        limit = min(status.st_size, file.end + max_bytes)
        for start, line in _lines(descriptor, file, limit):
            if entry := _parse(start, line):
                file.entries.append(entry)
        found = [entry for entry in file.entries if entry.start >= offset]
        self._keep(path, file)
        return TranscriptPart(found, file.end, file.inside)

    def _keep(self, path: Path, file: _File) -> None:
        if len(file.entries) > MAX_KEPT:
            file.entries = file.entries[-MAX_KEPT:]
            file.start = file.entries[0].start
        with self._lock:
            self._files[path] = file
            self._files.move_to_end(path)
            if len(self._files) > MAX_FILES:
                self._files.popitem(last=False)


def size_of(path: str) -> int:
    """Bytes that are there now, 0 for a file that is not."""
    try:
        return Path(path).stat().st_size if path else 0
    except OSError:
        return 0


def find_end(path: Path) -> tuple[int, bool]:
    """A transcript's size, and whether it ends in the middle of a line; 0 where it is not there."""
    descriptor = _open(path)
    if descriptor is None:
        return 0, False
    try:
        size = os.fstat(descriptor).st_size
        return size, size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    except OSError:
        return 0, False
    finally:
        os.close(descriptor)


def _open(path: Path) -> int | None:
    """A descriptor of a regular file. Asked before it is opened, because to open a device may do
    something, and without blocking.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def _lines(descriptor: int, file: _File, limit: int) -> Iterator[tuple[int, bytes]]:
    """The whole lines up to `limit`, each with its offset; `file` is moved behind each."""
    at, rest = file.end, b""
    while at < limit and (chunk := os.pread(descriptor, min(CHUNK_BYTES, limit - at), at)):
        at += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            start, skipped = file.end, file.inside
            file.end, file.inside = start + len(line) + 1, False
            if not skipped:
                yield start, line
        if file.inside or len(rest) > MAX_LINE_BYTES:
            file.end, file.inside, rest = at, True, b""


def _parse(start: int, line: bytes) -> TranscriptEntry | None:
    """What a line says; None for nothing. Parsed only where it may say something."""
    if b'"assistant"' in line and (found := _object(line)).get("type") == "assistant":
        return TranscriptEntry(start, _moment(found.get("timestamp")), True, _usage(found))
    if b'"api-request"' in line and _object(line).get("type") == "api-request":
        return TranscriptEntry(start, asked=True)
    if _MAYBE_REF.search(line):
        text = "\n".join(_shown_by(_object(line)))
        refs = frozenset(one or other for one, other in _SHOWN_REF.findall(text))
        return TranscriptEntry(start, refs=refs) if refs else None
    return None


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _usage(entry: Mapping[str, Any]) -> Usage | None:
    own = entry.get("sessionId")
    if entry.get("requestSessionId", own) != own:
        return None
    message = entry.get("message")
    usage = message.get("usage") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(usage, dict):
        return None
    name = message.get("id")
    counts = tuple(_count(usage.get(field)) for field in USAGE_FIELDS)
    if not isinstance(name, str) or len(name) > 200 or not any(counts):
        return None
    return Usage(name, counts)


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else 0


def _moment(text: Any) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError, OSError):
        return 0


def _shown_by(entry: Mapping[str, Any]) -> Iterator[str]:
    """The texts that an entry puts into the model's context."""
    attachment, message = entry.get("attachment"), entry.get("message")
    if (
        entry.get("type") == "attachment"
        and isinstance(attachment, dict)
        and attachment.get("type") in CONTEXT
    ):
        yield from _texts(attachment.get("content"))
        yield from _texts(attachment.get("blockingError"))
    elif entry.get("type") == "user" and isinstance(message, dict):
        yield from _texts(message.get("content"))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    parts: Sequence[Any] = value if isinstance(value, list) else ()
    if isinstance(value, dict):
        parts = [value.get(name) for name in ("text", "content", "blockingError")]
    for part in parts:
        yield from _texts(part)
