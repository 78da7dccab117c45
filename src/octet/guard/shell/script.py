"""A shell command → the simple commands that it may run, with words, redirections and directory.

    script = parse("cd /srv/shop && git -C lib push origin main > log", "/home/ann")
    script.commands[1].argv         # ("git", "-C", "lib", "push", "origin", "main")
    script.commands[1].directory    # "/srv/shop"
    script.commands[1].redirects    # (Redirect(">", Word("log", plain=True)),)
    script.complete                 # False: too long or too deep, so that commands may be missing

The question is what a command might do: both branches of an `if` count, and so do the bodies of
loops and functions. This is no syntax checker, and reads on where a shell gives up. A variable is
known when the command itself set it, once, to a literal. `bash -c`, `eval`, `sudo`, `env`, `xargs`
and the like are looked into (`wrappers`); the commands that they run follow them in `commands`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from octet.guard.shell.run import DECLARING, Level, Redirect, Shell, SimpleCommand, Where
from octet.guard.shell.words import DEPTH_LIMIT, UNKNOWN, TooComplex, Word, WordReader, quote_words
from octet.guard.shell.wrappers import InnerText, reads_commands_from_input, unwrap

__all__ = ["Redirect", "ShellScript", "SimpleCommand", "Word", "parse"]

_BLANKS = re.compile(r"(?:[ \t]|\\\n)+")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[[^]\s$`'\"]*\])?(\+?)=")
_REDIRECT = re.compile(r"&>>|&>|<<<|<<-|<<|<>|<&|<|>>|>\||>&|>")
_DELIMITER = re.compile(r"[^ \t\n\\'\";&|<>()]+")
_OPENING = frozenset({"if", "while", "until", "{"})
_CLOSING = frozenset({"fi", "done", "}", "esac"})
_PASSED = frozenset({"then", "do", "!", "coproc", "in"})
_WRAPPER_LIMIT = 12


@dataclass(frozen=True)
class ShellScript:
    """Everything that a command line may run, in the order it is written."""

    commands: tuple[SimpleCommand, ...]
    complete: bool = True


def parse(
    text: str, directory: str | None, *, home: str | None = None, toplevel: str | None = None
) -> ShellScript:
    """What `text` may run when started in `directory`; never raises.

    `home` is what `~` stands for. `toplevel` is what `git rev-parse --show-toplevel` would print in
    `directory`.
    """
    # Path.expanduser() raises where a uid has no name and HOME is not set, as in many containers.
    home = os.path.expanduser("~") if home is None else home  # noqa: PTH111
    shell = Shell(directory, home, toplevel)
    try:
        _Parser(text, shell, 0).run("")
    except TooComplex:
        return ShellScript(tuple(shell.commands), complete=False)
    return ShellScript(tuple(shell.commands))


class _Simple:
    """A simple command being read. `body`: its here-document's. `command`: its record, once run."""

    __slots__ = ("assignments", "body", "command", "redirects", "words")

    def __init__(self) -> None:
        self.words: list[Word] = []
        self.assignments: list[tuple[str, str]] = []
        self.redirects: list[Redirect] = []
        self.body: str | None = None
        self.command: SimpleCommand | None = None

    @property
    def empty(self) -> bool:
        return not self.words and not self.assignments


class _HereDocument(NamedTuple):
    delimiter: str
    strip_tabs: bool
    literal: bool
    owner: _Simple


class _Parser(WordReader):
    """Reads command lists: one parser for the command line, and one for each text inside it (`bash
    -c`, backticks).
    """

    def __init__(self, text: str, shell: Shell, depth: int) -> None:
        super().__init__(text, depth, shell.budget)
        self.step(8)
        self.shell = shell
        self.simple = _Simple()
        self.word_end = -1
        self.pending: list[_HereDocument] = []
        self.level = Level(shell)
        self.outer: list[Level] = []

    def value_of(self, name: str) -> str:
        return self.shell.value_of(name)

    def home_of(self, user: str) -> str:
        return UNKNOWN if user else self.shell.home

    def run(self, until: str) -> str:
        """Read commands up to `until`: "" the end, ")", or ";;" of a `case` branch. Returns what
        ended them ("esac" too).
        """
        while True:
            self._blanks()
            if self.pos >= self.end:
                self._finish("\n")
                return ""
            char = self.text[self.pos]
            if char == ")" or self.text.startswith((";;", ";&"), self.pos):
                if self._close(char) == until:
                    return until
            elif char in "\n;&|<>(":
                self._operator(char)
            elif self._word() and until == ";;":
                return "esac"

    def _blanks(self, *, lines: bool = False) -> None:
        """Pass over blanks and a comment; over line ends as well if told."""
        while self.pos < self.end:
            if match := _BLANKS.match(self.text, self.pos):
                self.pos = match.end()
                if self.pos >= self.end:
                    return
            if self.text[self.pos] == "#":
                line_end = self.text.find("\n", self.pos)
                self.pos = self.end if line_end < 0 else line_end
            if not (lines and self.text.startswith("\n", self.pos)):
                return
            self.step()
            self.pos += 1
            self._read_here_documents()

    def _close(self, char: str) -> str:
        self.step()
        self._finish("\n")
        if char == ")":
            self.pos += 1
            return ")"
        self.pos += 3 if self.text.startswith(";;&", self.pos) else 2
        return ";;"

    def _operator(self, char: str) -> None:
        self.step()
        if char == "\n":
            self.pos += 1
            self._read_here_documents()
            self._finish("\n")
        elif char == "(":
            self._parenthesis()
        elif self.text.startswith(("<(", ">("), self.pos):
            self.simple.words += self.word()
        elif char in "<>" or self.text.startswith("&>", self.pos):
            self._redirect()
        else:
            operator = self.text[self.pos : self.pos + 2]
            operator = operator if operator in ("&&", "||", "|&") else char
            self.pos += len(operator)
            self._finish(operator)

    def _finish(self, operator: str) -> None:
        """End the simple command at `operator`, and follow what that means for the next one."""
        simple, self.simple = self.simple, _Simple()
        if not simple.empty or simple.redirects:
            self._run_simple(simple)
            self.level.function = ""
        self.level.end_command(operator)

    def _word(self) -> bool:
        """Read one word; True when it was an `esac`."""
        if not self.simple.words:
            self.step()
            if match := _ASSIGNMENT.match(self.text, self.pos):
                self._assignment(match)
                return False
            if self.text.startswith(("[[ ", "[[\t", "[[\n"), self.pos):
                self._test()
                return False
        declared = (
            self.simple.words
            and self.simple.words[0].text in DECLARING
            and _ASSIGNMENT.match(self.text, self.pos)
        )
        words = self.word(split=not declared)
        if words and words[0].plain and self.simple.empty and self._keyword(words[0].template):
            return words[0].template == "esac"
        self.word_end = self.pos
        self.simple.words += words
        return False

    def _assignment(self, match: re.Match[str]) -> None:
        self.pos = match.end()
        value = UNKNOWN
        if self.text.startswith("(", self.pos):
            self._array()
        else:
            words = self.word(split=False)
            value = UNKNOWN if match[2] else words[0].template if words else ""
        self.simple.assignments.append((match[1], value))

    def _array(self) -> None:
        self.pos += 1
        while self.pos < self.end and not self.text.startswith(")", self.pos):
            self.step()
            begin = self.pos
            self.word()
            self._blanks(lines=True)
            self.pos += self.pos == begin
        self.pos += 1

    def _keyword(self, word: str) -> bool:
        """Follow a word that the shell reserves at the beginning of a command; False when it is a
        command's name.
        """
        if word in _OPENING:
            self._open()
        elif word in _CLOSING:
            self._leave(word)
        elif word in ("for", "select"):
            self._open()
            self._loop_head()
        elif word == "case":
            self._case()
        elif word == "function":
            self._blanks()
            self._define(self.word())
        elif word in ("else", "elif"):
            self.level.other_branch()
        elif word == "time":
            self._blanks()
            self.pos += 2 if self.text.startswith("-p ", self.pos) else 0
        else:
            return word in _PASSED
        return True

    def _open(self) -> None:
        self.outer.append(self.level)
        self.level = Level(self.shell)

    def _leave(self, word: str) -> None:
        if not self.outer:
            return
        self._finish("\n")
        inner, self.level = self.level, self.outer.pop()
        if self.level.function:
            self._end_function(inner.begin)
        elif word == "}":
            return
        else:
            if word == "done":
                self.shell.repeat(inner.first, inner.begin)
            self.shell.also_at(inner.begin)
        # An assignment in a branch, or in a function's definition, may not have run.
        self.shell.forget(inner.mark)

    def _define(self, name: list[Word]) -> None:
        """A function's body comes next."""
        self.level.function, self.level.body = name[0].template if name else UNKNOWN, self.pos

    def _end_function(self, begin: Where) -> None:
        """A function's body has ended; it affects the shell where it is called, not here."""
        self.shell.functions[self.level.function] = self.text[self.level.body : self.pos]
        self.shell.where = begin
        self.level.function = ""

    def _loop_head(self) -> None:
        """`for name in words`, up to the `do` or the end of the line."""
        self._blanks()
        if self.text.startswith("((", self.pos) and self.arithmetic():
            return
        for word in self.word():
            self.shell.assign(word.template, UNKNOWN)
        self._blanks()
        while self.pos < self.end and self.text[self.pos] not in "\n;&|()<>":
            begin = self.pos
            words = self.word()
            if words and words[0] == Word("do", True):
                self.pos = begin
                return
            self._blanks()

    def _case(self) -> None:
        """`case word in pattern) list ;; … esac`"""
        self._deeper()
        self._open()
        self._blanks()
        self.word()
        self._blanks(lines=True)
        if self.text.startswith("in", self.pos):
            self.pos += 2
        while self._pattern() and self.run(";;") == ";;":
            self.level.other_branch()
        self.depth -= 1

    def _pattern(self) -> bool:
        """Pass over one pattern and its parenthesis; False at `esac` or the end."""
        while True:
            self.step()
            self._blanks(lines=True)
            if self.pos >= self.end:
                return False
            char = self.text[self.pos]
            if char in "()|;&<>":
                self.pos += 1
                if char == ")":
                    return True
            elif Word("esac", True) in self.word():
                self._leave("esac")
                return False

    def _test(self) -> None:
        """`[[ … ]]`: its `&&`, `<` and parentheses are no operators of the list."""
        self.pos += 2
        while self.pos < self.end:
            self.step()
            self._blanks(lines=True)
            if self.text[self.pos : self.pos + 1] in tuple("&|<>();"):
                self.pos += 1
            elif Word("]]", True) in self.word():
                return

    def _parenthesis(self) -> None:
        following = _BLANKS.match(self.text, self.pos + 1)
        close = following.end() if following else self.pos + 1
        if len(self.simple.words) == 1 and self.text.startswith(")", close):
            self.pos = close + 1
            name, self.simple = self.simple.words, _Simple()
            self._define(name)
        elif not (self.simple.empty and self.text.startswith("((", self.pos) and self.arithmetic()):
            self.pos += 1
            self._subshell()
            if self.level.function and self.simple.empty:
                self._end_function(self.shell.where)

    def _subshell(self) -> None:
        """Read commands up to the closing parenthesis; their `cd` does not last beyond it."""
        self._deeper()
        outside = self.simple, self.level, self.outer, self.shell.where
        self.simple, self.outer = _Simple(), []
        self.level = Level(self.shell)
        mark = self.shell.mark()
        self.run(")")
        self.shell.forget(mark)
        self.simple, self.level, self.outer, self.shell.where = outside
        self.depth -= 1

    def _deeper(self) -> None:
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise TooComplex

    def run_list(self) -> str:
        begin = self.pos
        self._subshell()
        return self.shell.output_of(self.text[begin : self.pos - 1].strip())

    def run_text(self, text: str) -> str:
        self._run_inner(InnerText(text))
        return self.shell.output_of(text.strip())

    def _redirect(self) -> None:
        """A redirection at `pos`; a number right before it is its descriptor, not a word."""
        words = self.simple.words
        if words and self.word_end == self.pos and words[-1].plain and words[-1].template.isdigit():
            words.pop()
        match = _REDIRECT.match(self.text, self.pos)
        operator = match[0] if match else ">"
        self.pos += len(operator)
        self._blanks()
        if operator in ("<<", "<<-"):
            self._here_document(strip_tabs=operator == "<<-")
            return
        target = self.word(split=False)
        if (
            not target
            or (operator in (">&", "<&") and target[0].template.rstrip("-").isdigit())
            or target[0].template == "-"
        ):
            return
        if operator == "<<<":
            self.simple.body = target[0].template
        self.simple.redirects.append(Redirect(operator, target[0]))

    def _here_document(self, *, strip_tabs: bool) -> None:
        """Note the delimiter, in which nothing is expanded; the text begins on the next line."""
        delimiter, literal = "", False
        while self.pos < self.end and self.text[self.pos] not in " \t\n;&|<>()":
            self.step()
            if match := _DELIMITER.match(self.text, self.pos):
                delimiter += match[0]
                self.pos = match.end()
            else:
                literal = True
                delimiter += self._quoted_delimiter(self.text[self.pos])
        self.pending.append(_HereDocument(delimiter, strip_tabs, literal, self.simple))

    def _quoted_delimiter(self, quote: str) -> str:
        if quote == "\\":
            self.pos += 2
            return self.text[self.pos - 1 : self.pos]
        close = self.text.find(quote, self.pos + 1)
        close = self.end if close < 0 else close
        begin, self.pos = self.pos + 1, close + 1
        return self.text[begin:close]

    def _read_here_documents(self) -> None:
        pending, self.pending = self.pending, []
        for document in pending:
            self.step()
            body = self._here_document_text(document)
            if not document.literal:
                self.step(len(body) // 500 * self.depth)  # nested ones are read once for each level
                inner = _Parser(body, self.shell, self.depth + 1)
                body = inner.double_quoted("")
            document.owner.body = body
            if document.owner.command:
                self._run_input(document.owner)

    def _here_document_text(self, document: _HereDocument) -> str:
        self.step(20 + len(document.delimiter) // 8)
        tabs = r"\t*" if document.strip_tabs else ""
        line = re.compile(f"^{tabs}{re.escape(document.delimiter)}$", re.MULTILINE)
        begin, match = self.pos, line.search(self.text, self.pos)
        self.pos = match.end() + 1 if match else self.end
        return self.text[begin : match.start() if match else self.end]

    def _run_simple(self, simple: _Simple) -> None:
        if not simple.words:
            for name, value in simple.assignments:
                self.shell.assign(name, value)
            simple.assignments = []
        if simple.words or simple.redirects:
            simple.command = self.shell.record(simple.words, simple.assignments, simple.redirects)
            self._look_inside(simple.command, 0, in_shell=True)
            self._run_input(simple)

    def _run_input(self, simple: _Simple) -> None:
        """A here-document that a shell reads is a script."""
        if simple.body is not None and reads_commands_from_input(simple.words):
            self._run_inner(InnerText(simple.body))

    def _look_inside(self, command: SimpleCommand, level: int, *, in_shell: bool) -> None:
        """Follow what the command does to the shell, and record what it runs."""
        if level > _WRAPPER_LIMIT:
            raise TooComplex
        if not command.words:
            return
        if in_shell:
            self.shell.follow(command.words)
            self._call(command.words[0].template)
            self._expand_alias(command.words)
        for inner in unwrap(command.words):
            self.step(4 + len(command.words) // 4)
            if isinstance(inner, InnerText):
                self._run_inner(inner)
                continue
            self._look_inside(
                self.shell.record_inner(command, inner),
                level + 1,
                in_shell=in_shell and inner.in_shell,
            )

    def _call(self, name: str) -> None:
        """Run a function of the script where it is called; recursion adds nothing."""
        shell = self.shell
        if name in shell.functions and name not in shell.running:
            where, mark = shell.where, shell.mark()
            shell.running.add(name)
            self._run_inner(InnerText(f"{{ {shell.functions[name]}\n}}", in_shell=True))
            shell.running.discard(name)
            shell.also_at(where)  # a function defined in a subshell does not exist here
            shell.forget(mark)

    def _expand_alias(self, words: Sequence[Word]) -> None:
        """Run the text of an alias of the script, with the words behind it; an alias that calls
        itself means the program.
        """
        shell, name = self.shell, words[0].template
        mark = f"alias {name}"
        if name in shell.aliases and mark not in shell.running:
            self.step(len(words))
            shell.running.add(mark)
            self._run_inner(
                InnerText(
                    f"{shell.aliases[name]} {quote_words([word.template for word in words[1:]])}",
                    in_shell=True,
                )
            )
            shell.running.discard(mark)

    def _run_inner(self, inner: InnerText) -> None:
        shell = self.shell
        where, mark = shell.where, shell.mark()
        _Parser(inner.text, shell, self.depth + 1).run("")
        if not inner.in_shell:
            shell.where = where
            shell.forget(mark)
