"""Words of a shell command: quotes, escapes and expansions, read left to right in one pass.

`WordReader.word()` gives `Word`s; the parser in `script` builds on it and reads the command lists
inside words. Text that only the running shell knows (`$1`, `$(date)`) becomes `UNKNOWN` in a word's
template, and such a word has no `text`.

The compiled patterns below find where a run of ordinary characters ends. No pattern decides what a
command means.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

UNKNOWN = "\0"  # no shell word can hold a NUL, so it stands for "some text"

# A command of 100 KB must be read in 20 ms. The longest runs cost one step; only nesting and
# operators without end cost many.
STEP_LIMIT = 5_000
DEPTH_LIMIT = 30

_RUN = re.compile(r"[^ \t\n\\'\"`$;&|<>(){},*?\[~\0]+")
_DOUBLE_RUN = re.compile(r"(?:[^\"\\`$]|\\.)+", re.DOTALL)
_DOUBLE_ESCAPE = re.compile(r"\\([\\`$\"]|\n)")
_PARAMETER_RUN = re.compile(r"[^}\\'\"`$]+")
_ARITHMETIC_RUN = re.compile(r"[^()\\\"`$]+")
_BACKTICK_RUN = re.compile(r"(?:[^`\\]|\\.)+", re.DOTALL)
_BACKTICK_ESCAPE = re.compile(r"\\([\\`$])")
_BACKTICK_DOUBLE_ESCAPE = re.compile(r"\\([\\`$\"])")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\}|[0-9@*#?$!_-])")
_PARAMETER_HEAD = re.compile(r"\$\{[!#]?(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!_-])?")
_TILDE = re.compile(r"~([A-Za-z0-9._+-]*)(?=[/ \t\n;&|<>()]|\Z)")
_ANSI_RUN = re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL)
_ANSI = re.compile(
    r"\\(?:([abefnrtv\\'\"?])|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})"
    r"|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|c(.))",
    re.DOTALL,
)
_ANSI_LETTERS = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_WORD_END = frozenset(" \t\n;&|<>()")


class TooComplex(Exception):
    """More steps or deeper nesting than a command for human readers has."""


class StepBudget:
    """Counts the tokens of a whole script, with all texts inside it."""

    def __init__(self) -> None:
        self._left = STEP_LIMIT

    def step(self, weight: int = 1) -> None:
        """Account for one token, or for the cost of `weight` tokens; raises TooComplex when there
        were too many.
        """
        self._left -= weight
        if self._left < 0:
            raise TooComplex


class Word(NamedTuple):
    """One word after expansion. `plain`: written without quotes, escapes and expansions, so that it
    can be a keyword.
    """

    template: str
    plain: bool = False
    glob: bool = False

    @property
    def text(self) -> str | None:
        """The literal word; None when a part of it is unknown."""
        return None if UNKNOWN in self.template else self.template


def quote_words(words: Sequence[str]) -> str:
    """Words as a shell reads them back; UNKNOWN stays what it is."""
    return " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)


class _Draft:
    """A word being read; `fields`: the words that an unquoted variable with blanks has finished."""

    __slots__ = (
        "braces",
        "comma",
        "fields",
        "glob",
        "opened",
        "parts",
        "plain",
        "present",
        "unknown",
    )

    def __init__(self) -> None:
        self.fields: list[str] = []
        self.parts: list[str] = []
        self.plain = True
        self.present = False
        self.glob = False
        self.braces = 0
        self.opened = 0
        self.comma = False
        self.unknown = False


class WordReader:
    """Reads words of `text` from `pos` on. A subclass runs inner commands, holds the variables."""

    def __init__(self, text: str, depth: int, budget: StepBudget) -> None:
        if depth > DEPTH_LIMIT:
            raise TooComplex
        self.text = text
        self.end = len(text)
        self.pos = 0
        self.depth = depth
        self.step = budget.step

    def run_list(self) -> str:
        """Read the commands from `pos` through the closing parenthesis, as a subshell; returns
        their output, if it is known.
        """
        raise NotImplementedError

    def run_text(self, text: str) -> str:
        """The same for the text between backticks."""
        raise NotImplementedError

    def value_of(self, name: str) -> str:
        """A variable's template; `UNKNOWN` when it was not set to a literal."""
        raise NotImplementedError

    def home_of(self, user: str) -> str:
        """What `~user` stands for; "" is the user running this."""
        raise NotImplementedError

    def word(self, *, split: bool = True) -> list[Word]:
        """The word at `pos`: usually one, none or several when an unquoted variable expands.
        `split`: whether it may.
        """
        self.step()
        draft = _Draft()
        text, end = self.text, self.end
        if match := _TILDE.match(text, self.pos):
            self.pos = match.end()
            draft.plain = False
            draft.parts.append(self.home_of(match[1]))
        while self.pos < end:
            if match := _RUN.match(text, self.pos):
                draft.parts.append(match[0])
                self.pos = match.end()
            elif text[self.pos] in _WORD_END:
                if not self._process_substitution(draft):
                    break
            else:
                self.step()
                self._special(draft, text[self.pos], split)
        return _finished(draft)

    def _special(self, draft: _Draft, char: str, split: bool) -> None:
        if char in "{},":
            self._brace(draft, char)
        elif char in "*?[~\0":
            draft.glob = draft.glob or char in "*?["
            draft.parts.append(char)
            self.pos += 1
        else:
            draft.plain = False
            if char == "$" and self.text[self.pos + 1 : self.pos + 2] not in ("'", '"'):
                self._expand(draft, self.dollar(), split)
            elif char == "`":
                self._expand(draft, self.backticks(), split)
            else:
                draft.present = True
                draft.parts.append(self._quoted(char))

    def _quoted(self, char: str) -> str:
        if char == "\\":
            self.pos += 2
            escaped = self.text[self.pos - 1 : self.pos]
            return "" if escaped == "\n" else escaped or "\\"
        if char == "$":
            self.pos += 1
            char = self.text[self.pos]
            if char == "'":
                return self._ansi_quoted()
        self.pos += 1
        return self._single_quoted() if char == "'" else self.double_quoted('"')

    def _single_quoted(self) -> str:
        close = self.text.find("'", self.pos)
        close = self.end if close < 0 else close
        quoted = self.text[self.pos : close]
        self.pos = close + 1
        return quoted

    def _ansi_quoted(self) -> str:
        match = _ANSI_RUN.match(self.text, self.pos + 1)
        quoted = match[0] if match else ""
        self.pos += len(quoted) + 2
        return _ANSI.sub(_ansi_character, quoted)

    def double_quoted(self, closer: str) -> str:
        """Text up to the closing quote, or to the end where `closer` is "" (a here-document)."""
        parts: list[str] = []
        while self.pos < self.end:
            self.step()
            if match := _DOUBLE_RUN.match(self.text, self.pos):
                parts.append(
                    _DOUBLE_ESCAPE.sub(_double_escape, match[0]) if "\\" in match[0] else match[0]
                )
                self.pos = match.end()
                continue
            char = self.text[self.pos]
            if char in "$`":
                parts.append(
                    self.dollar(double=True) if char == "$" else self.backticks(double=True)
                )
                continue
            self.pos += 1
            if char == closer:
                break
            parts.append(char)
        return "".join(parts)

    def dollar(self, *, double: bool = False) -> str:
        """What the expansion at `pos` gives."""
        after = self.text[self.pos + 1 : self.pos + 3]
        if after.startswith("("):
            self.pos += 1
            if after == "((" and self.arithmetic():
                return UNKNOWN
            self.pos += 1
            return self.run_list()
        if match := _VARIABLE.match(self.text, self.pos):
            self.pos = match.end()
            name = match[1] or match[2]
            return self.value_of(name) if name else UNKNOWN
        if after.startswith("{"):
            return self._parameter(double)
        self.pos += 1
        return "$"

    def _parameter(self, double: bool) -> str:
        """`${x:-word}` and its relatives. Within double quotes a single quote is an ordinary
        character, except in a pattern: read as a quote, the one of `"${x:-it's}"` would hide the
        commands behind it.
        """
        head = _PARAMETER_HEAD.match(self.text, self.pos)
        self.pos = head.end() if head else self.pos + 2
        quotes = not double or self.text[self.pos : self.pos + 1] in ("#", "%", "/")
        while self.pos < self.end:
            self.step()
            if match := _PARAMETER_RUN.match(self.text, self.pos):
                self.pos = match.end()
                continue
            char = self.text[self.pos]
            if char == "}":
                self.pos += 1
                break
            if char == "'" and not quotes:
                self.pos += 1
            else:
                self._nested(char, double)
        return UNKNOWN

    def _nested(self, char: str, double: bool) -> None:
        """Pass over what is quoted or expanded inside another expansion."""
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise TooComplex
        if char == "$" and not (
            not double and self.text[self.pos + 1 : self.pos + 2] in ("'", '"')
        ):
            self.dollar(double=double)
        elif char == "`":
            self.backticks(double=double)
        else:
            self._quoted(char)
        self.depth -= 1

    def arithmetic(self) -> bool:
        """Pass over `((…))` at `pos`; False, and no move, when it turns out to be two subshells."""
        begin, open_parentheses = self.pos, 0
        self.pos += 2
        while self.pos < self.end:
            self.step()
            if match := _ARITHMETIC_RUN.match(self.text, self.pos):
                self.pos = match.end()
                continue
            char = self.text[self.pos]
            if char not in "()":
                self._nested(char, True)
                continue
            if char == ")" and open_parentheses == 0:
                if self.text.startswith("))", self.pos):
                    self.pos += 2
                    return True
                break
            open_parentheses += 1 if char == "(" else -1
            self.pos += 1
        self.pos = begin
        return False

    def backticks(self, *, double: bool = False) -> str:
        """What `` `commands` `` at `pos` print."""
        match = _BACKTICK_RUN.match(self.text, self.pos + 1)
        inner = match[0] if match else ""
        self.pos += len(inner) + 2
        return self.run_text(
            (_BACKTICK_DOUBLE_ESCAPE if double else _BACKTICK_ESCAPE).sub(r"\1", inner)
        )

    def _expand(self, draft: _Draft, value: str, split: bool) -> None:
        draft.glob = draft.glob or (split and any(char in value for char in "*?["))
        if not split or not any(char in value for char in " \t\n"):
            draft.parts.append(value)
            return
        pieces = value.split()
        if value[0] in " \t\n" or not pieces:
            _end_field(draft)
        for piece in pieces[:-1]:
            draft.parts.append(piece)
            _end_field(draft)
        draft.parts += pieces[-1:]
        if value[-1] in " \t\n":
            _end_field(draft)

    def _brace(self, draft: _Draft, char: str) -> None:
        """`{a,b}` and `{1..3}` become unknown; `{}`, `@{1}` and a lone brace stay as they are."""
        draft.parts.append(char)
        if char == "{":
            draft.braces += 1
            draft.opened = self.pos
        elif char == "," and draft.braces:
            draft.comma = True
        elif char == "}" and draft.braces:
            draft.braces -= 1
            if draft.comma or ".." in self.text[draft.opened : self.pos]:
                # expanded before all else: even the variables' names in `$U{1,2}` are made by it
                draft.unknown = True
            draft.opened = self.pos
        self.pos += 1

    def _process_substitution(self, draft: _Draft) -> bool:
        """`<(commands)` at `pos`: read as part of the word."""
        if not self.text.startswith(("<(", ">("), self.pos):
            return False
        self.pos += 2
        self.run_list()
        draft.plain = False
        draft.parts.append(UNKNOWN)
        return True


def _end_field(draft: _Draft) -> None:
    if draft.parts:
        draft.fields.append("".join(draft.parts))
        draft.parts = []


def _finished(draft: _Draft) -> list[Word]:
    if draft.unknown:
        return [Word(UNKNOWN)]
    if not draft.fields:  # the common case
        template = "".join(draft.parts)
        return [Word(template, draft.plain, draft.glob)] if template or draft.present else []
    _end_field(draft)
    return [Word(field, False, draft.glob) for field in draft.fields]


def _double_escape(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]


def _ansi_character(match: re.Match[str]) -> str:
    letter, hexadecimal, short, long, octal, control = match.groups()
    if letter:
        return _ANSI_LETTERS.get(letter, letter)
    if control:
        return chr(ord(control) & 0x1F)
    code = int(octal, 8) & 0xFF if octal else int(hexadecimal or short or long, 16)
    return chr(code) if 0 < code < 0x110000 else ""
