"""A command that is run for each item, by its words and without a shell, so that an item can never
be more than a word.

`{}` in a word stands for the item, which is on standard input too. The command's output is the
result, as JSON or text.
"""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from octet.base.commands import read_tail, run_command
from octet.base.errors import CommandFailed, UsageError
from octet.base.text import plain
from octet.git.program import neutral_environment
from octet.patterns.values import MAX_BYTES, decode, encode

TAIL_BYTES = 2000


@dataclass(frozen=True)
class ItemCommand:
    """A command's words; `variables` are added to its environment, `stop` ends it, and without
    `fill` a `{}` in a word stays.

    Raises:
        UsageError: there are no words.
    """

    words: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    stop: threading.Event | None = None
    fill: bool = True

    def __post_init__(self) -> None:
        if not self.words or not self.words[0]:
            raise UsageError("give the command that does an item, such as `-- wc -l {}`")

    def run(self, item: Any) -> Any:
        """Run the command for an item; returns its output as a value.

        Raises:
            CommandFailed: it cannot be started, its status is not 0, or it prints more than 64 KiB.
        """
        text = item if isinstance(item, str) else encode(item)
        if "\0" in text:
            raise CommandFailed("the item has a NUL character, which no word of a command may have")
        with (
            tempfile.NamedTemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(text.encode("utf-8", "surrogateescape"))
            given.flush()
            words = [word.replace("{}", text) for word in self.words] if self.fill else self.words
            status = self._run(words, given.name, out, err)
            if status:
                raise CommandFailed(_reason(status, err), killed=status < 0)
            return _value(out)

    def _run(self, words: Sequence[str], given: str, out: IO[bytes], err: IO[bytes]) -> int:
        # Killed with this process: an item whose worker is dead is soon another's, and must not be
        # done twice at once.
        try:
            status = run_command(
                words,
                out,
                errors=err,
                given=given,
                environment=neutral_environment() | dict(self.variables),
                stop=self.stop,
            )
        except (OSError, ValueError) as error:
            raise CommandFailed(f"the command cannot be started: {error}") from error
        if status is None:
            raise CommandFailed("the work was stopped", killed=True)
        return status


def _reason(status: int, err: IO[bytes]) -> str:
    lines = [line for line in read_tail(err, TAIL_BYTES).splitlines() if line.strip()]
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
    return plain(f"{how}: {lines[-1].strip()}" if lines else how, 500)


def _value(out: IO[bytes]) -> Any:
    out.seek(0)
    data = out.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise CommandFailed(
            f"it printed more than {MAX_BYTES} bytes: let it write a file and print the name"
        )
    return decode(data.decode("utf-8", "surrogateescape").rstrip("\n"))
