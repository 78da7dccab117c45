"""A shell command → what it may run: a table, the real shell as a judge, and noise."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.programs import skip_or_fail
from tests.unit.guard.scripts import Scripts

from octet.guard.shell import script as shell
from octet.guard.shell.words import UNKNOWN

Expected = list[tuple[str | None, ...]]

WORDS: list[tuple[str, Expected]] = [
    ("git status", [("git", "status")]),
    ("", []),
    ("   \n\t # nothing\n", []),
    ("a b;c|d&&e||f&g", [("a", "b"), ("c",), ("d",), ("e",), ("f",), ("g",)]),
    ("a 'b c' \"d e\" f\\ g", [("a", "b c", "d e", "f g")]),
    ("a 'it'\\''s'", [("a", "it's")]),
    ('a "x\\"y\\$z\\n"', [("a", 'x"y$z\\n')]),
    ("a $'t\\tn\\n\\x41\\u00e9\\'q'", [("a", "t\tn\nAé'q")]),
    ("a ''", [("a", "")]),
    ("a b#c #d", [("a", "b#c")]),
    ("a \\\n b", [("a", "b")]),
    ("a\\\nb", [("ab",)]),
    ('a $X "$X" ${X} $(b) `c` $((1+2)) $?', [("b",), ("c",), ("a", *[None] * 7)]),
    ("a '$X' \\$X", [("a", "$X", "$X")]),
    ("X=1 Y='2 3' a", [("a",)]),
    ('X=main; a $X "$X" x${X}y', [("a", "main", "main", "xmainy")]),
    ("X='b c'; a $X \"$X\"", [("a", "b", "c", "b c")]),
    ('X=; a $X "$X"', [("a", "")]),
    ("X=1; X=2; a $X", [("a", None)]),
    ("if b; then X=1; fi; a $X", [("b",), ("a", None)]),
    ("(X=1); a $X", [("a", None)]),
    ("X=1 | b; a $X", [("b",), ("a", None)]),
    ("b && X=1; a $X", [("b",), ("a", None)]),
    ("X=1 && a $X", [("a", "1")]),
    ("read X; a $X", [("read", "X"), ("a", None)]),
    ("export X=1; a $X", [("export", "X=1"), ("a", "1")]),
    ("X+=1; a $X", [("a", None)]),
    ("X=(1 $(b) 3); a", [("b",), ("a",)]),
    ("a ~/x ~ ~ann x~ '~'", [("a", "/h/x", "/h", None, "x~", "~")]),
    ("a {b,c} {} @{1} {1..3} {", [("a", None, "{}", "@{1}", None, "{")]),
    ("a *.py [x]", [("a", "*.py", "[x]")]),
    ("a < b > c 2>&1 2> d &> e", [("a",)]),
    ("a 2 >b", [("a", "2")]),
    ("a 2>b", [("a",)]),
    ("a <<E b\n$(c)\nE\nd", [("c",), ("a", "b"), ("d",)]),
    ("a <<'E'\n$(c) '\nE\nd", [("a",), ("d",)]),
    ("a <<-E\n\tx\n\tE\nd", [("a",), ("d",)]),
    ("a <<E1 <<E2\n1\nE1\n2\nE2\nd", [("a",), ("d",)]),
    ("a <<E && b\nx\nE\nc", [("a",), ("b",), ("c",)]),
    ("a <<E\nnever ended", [("a",)]),
    ("a \"$(b <<'E'\n)\nE\n)\"", [("b",), ("a", None)]),
    ("a <<< 'b c'", [("a",)]),
    ("(a; b)", [("a",), ("b",)]),
    ("{ a; b; }", [("a",), ("b",)]),
    ("! a", [("a",)]),
    ("if a; then b; elif c; then d; else e; fi", [("a",), ("b",), ("c",), ("d",), ("e",)]),
    ("while a; do b; done; until c; do d; done", [("a",), ("b",), ("c",), ("d",)]),
    ("for x in 1 $(a); do b $x; done", [("a",), ("b", None)]),
    ("for ((i=0; i<3; i++)); do a; done", [("a",)]),
    ("case x in a|b) c ;; (d) e ;& *) f;; esac; g", [("c",), ("e",), ("f",), ("g",)]),
    ('a "$(case x in x) b;; esac)"; c', [("b",), ("a", None), ("c",)]),
    ("[[ a < b && (c > d) || $x =~ ^(a|b)$ ]] && e", [("e",)]),
    ("((x = 1 < 2)); a", [("a",)]),
    ("((a); b)", [("a",), ("b",)]),
    ("a $((1 + $(b)))", [("b",), ("a", None)]),
    ("f() { a; }; f", [("a",), ("f",), ("a",)]),
    ("function f { a; }; f", [("a",), ("f",), ("a",)]),
    ("f() (a); f", [("a",), ("f",), ("a",)]),
    ("f() { f; }; f", [("f",), ("f",), ("f",)]),
    ("a <(b) >(c)", [("b",), ("c",), ("a", None, None)]),
    ("a \"${x:-it's}\"; b 'c'", [("a", None), ("b", "c")]),
    ("a ${x#'}'}; b", [("a", None), ("b",)]),
    ('a "${x:-$(b)}"', [("b",), ("a", None)]),
    ("a `b \\`c\\``", [("c",), ("b", None), ("a", None)]),
    ("a 'unclosed; b", [("a", "unclosed; b")]),
    ("a ) b", [("a",), ("b",)]),
    (
        'a $(pwd) "$(git rev-parse --show-toplevel)"',
        [("pwd",), ("git", "rev-parse", "--show-toplevel"), ("a", "/w", "/w")],
    ),
    ("a\0b", [(None,)]),
]


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_words(text: str, expected: Expected) -> None:
    """Each simple command is found, with the words that the shell would give it."""
    script = shell.parse(text, "/w", home="/h", toplevel="/w")
    assert script.complete
    assert [command.argv for command in script.commands if command.words] == expected


WRAPPED: list[tuple[str, tuple[str | None, ...]]] = [
    ("sudo -u ann -n g x", ("g", "x")),
    ("sudo --user=ann A=1 g x", ("g", "x")),
    ("env -i A=1 -u B g x", ("g", "x")),
    ("env -S 'g x'", ("g", "x")),
    ("/usr/bin/env g x", ("g", "x")),
    ("nohup nice -n 5 timeout -k 3 60 g x", ("g", "x")),
    ("time -p g x", ("g", "x")),
    ("/usr/bin/time -f %e -o t g x", ("g", "x")),
    ("command -p g x", ("g", "x")),
    ("exec -a name g x", ("g", "x")),
    ("stdbuf -oL g x", ("g", "x")),
    ("xargs -n 1 -I{} g x{}", ("g", None)),
    ("xargs -0 g x", ("g", "x", None)),
    ("find . -name y -exec g x {} + -print", ("g", "x", None)),
    ("flock /tmp/l g x", ("g", "x")),
    ("flock /tmp/l -c 'g x'", ("g", "x")),
    ("su ann -c 'g x'", ("g", "x")),
    ("watch -n 1 'g x'", ("g", "x")),
    ("bash -c 'g x'", ("g", "x")),
    ("bash -euo pipefail -c 'g x' name arg", ("g", "x")),
    ("bash --norc -lc 'g x'", ("g", "x")),
    ('/bin/sh -c "g x"', ("g", "x")),
    ("zsh -ic 'g x'", ("g", "x")),
    ('bash -c "cd $D && g x"', ("g", "x")),
    ("bash <<E\ng x\nE", ("g", "x")),
    ("sh -s -- a <<'E'\ng x\nE", ("g", "x")),
    ("bash <<< 'g x'", ("g", "x")),
    ("eval g x", ("g", "x")),
    ("eval 'g' \"x\"", ("g", "x")),
    ("trap 'g x' EXIT", ("g", "x")),
    ('echo "$(g x)"', ("g", "x")),
    ('bash -c "bash -c \'eval \\"g x\\"\'"', ("g", "x")),
    ("c='g x'; $c", ("g", "x")),
    ("{ { ( g x ) } }", ("g", "x")),
    ("coproc g x", ("g", "x")),
]


@pytest.mark.parametrize(("text", "inner"), WRAPPED)
def test_what_other_programs_run_is_found(text: str, inner: tuple[str | None, ...]) -> None:
    """A command inside another one is found with its own words."""
    assert inner in [command.argv for command in shell.parse(text, "/w", home="/h").commands]


@pytest.mark.parametrize(
    "text",
    [
        "command -v g",
        "sudo -l g",
        "bash g x",
        "bash -n",
        "echo g x",
        "sudo",
        "env",
        "xargs",
        "find . -exec",
        "eval",
        "trap",
    ],
)
def test_what_runs_nothing_inside_is_left_alone(text: str) -> None:
    """Asking about a command, or handing a name on, runs nothing that could be read here."""
    assert len(shell.parse(text, "/w", home="/h").commands) == 1


PLACES: list[tuple[str, str | None, tuple[str | None, ...]]] = [
    ("g", "/w", ()),
    ("cd x && g", "/w/x", ()),
    ("cd x/../y && g", "/w/y", ()),
    ("cd /x; g", "/x", ("/w",)),
    ("cd && g", "/h", ()),
    ("cd ~/x && g", "/h/x", ()),
    ("cd -- x && g", "/w/x", ()),
    ("cd - && g", None, ()),
    ("cd $X && g", None, ()),
    ("cd x y && g", None, ()),
    ("pushd x && g", "/w/x", ()),
    ("pushd x && popd && g", None, ()),
    ("command cd x && g", "/w/x", ()),
    ("env cd x && g", "/w", ()),
    ("eval 'cd x' && g", "/w/x", ("/w",)),
    ("bash -c 'cd x' && g", "/w", ()),
    ("bash -c 'cd x && g'", "/w/x", ()),
    ("env -C x g", "/w/x", ()),
    ("sudo -D /x g", "/x", ()),
    ("(cd x); g", "/w", ()),
    ("cd x | g", "/w", ()),
    ("cd x & g", "/w", ()),
    ("{ cd x; } && g", "/w/x", ("/w",)),
    ("echo $(cd x) && g", "/w", ()),
    ("f() { cd x; }; g", "/w", ()),
    ("a && cd x; g", "/w/x", ("/w",)),
    ("a && cd x && g", "/w/x", ()),
    ("if a; then cd x; fi; g", "/w/x", ("/w",)),
    ("if cd x; then a; else g; fi", "/w", ("/w/x",)),
    ("X=/x; cd $X && g", "/x", ()),
    ("cd x && cd y; g", "/w/x/y", ("/w/x", "/w")),
    ("cd x; cd y; g", "/w/x/y", ("/w/x", "/w", "/w/y")),
    ("cd x; cd ..; g", "/w", ("/w/x", "/w", "/")),
    ("a && cd x; cd y; g", "/w/x/y", ("/w/x", "/w", "/w/y")),
]


@pytest.mark.parametrize(("text", "directory", "others"), PLACES)
def test_the_directory_is_followed(
    text: str, directory: str | None, others: tuple[str | None, ...]
) -> None:
    """Where `g` runs, and where else it may run."""
    [command] = [
        command for command in shell.parse(text, "/w", home="/h").commands if command.argv == ("g",)
    ]
    assert (command.directory, tuple(dict.fromkeys((*command.fallback, *command.also)))) == (
        directory,
        others,
    )


def test_a_loop_that_moves_on_runs_where_it_got_to() -> None:
    """The second turn begins where the first one ended; after that the directory is unknown."""
    [command] = [
        command
        for command in shell.parse("for x in 1 2; do g; cd y; done", "/w").commands
        if command.argv == ("g",)
    ]
    assert command.directory == "/w"
    assert {"/w/y", None} <= set(command.also)


def test_redirections_keep_their_operators_and_targets() -> None:
    """Duplicated descriptors are left out; a number before the operator is no word."""
    script = shell.parse(
        "a 1 2> e >> 'o p' < i >| f &> g <> h 2>&1 >&- >& k > $X; { b; } > m", "/w"
    )
    found = [
        (redirect.operator, redirect.target.text)
        for command in script.commands
        for redirect in command.redirects
    ]
    assert found == [
        (">", "e"),
        (">>", "o p"),
        ("<", "i"),
        (">|", "f"),
        ("&>", "g"),
        ("<>", "h"),
        (">&", "k"),
        (">", None),
        (">", "m"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "$(" * 10_000,
        "(" * 100_000,
        "`" * 100_000,
        "a;" * 50_000,
        "sudo " * 20_000,
        "bash -c '" * 10_000,
        "[[ " * 30_000,
        "${x:-" * 20_000,
    ],
)
def test_what_is_too_much_says_so(text: str) -> None:
    """A command too large to read in time is refused with the reason, not let through."""
    assert not shell.parse(text, "/w").complete


# fmt: off
ATOMS = (
    "$(", "((", "(", "`", "'", '"', "${", "${x:-", "<<A\n", "<<A", "[[ ", "case x in ", "{ ", "{",
    "}", "a ", "\\", "\\\n", "$", "$x ", "~", "x=", "x=( ", "a;", "&&", "|", "<(", "#", "\n", "if ",
    "for i in ", "sudo ", "bash -c '", "eval ", "*", "{a,", "cd a;", "$'", "a>b ", "esac ", "f() ",
    "export a=b ", "echo $x", "xargs ", "find -exec a ; ", '"${x:-"', "`\\`", "$((", "<<'E'\n",
    "<<-E\n\t", "x=$x$x ;", "do ", "done ", "then ", "fi ", ";; ", ")", "é", "while ", "||", "& ",
    "env -C a ", "\0", "function f ",
)
# fmt: on


def test_any_hundred_kilobytes_are_read_in_time() -> None:
    """No pattern of tokens costs more than a fraction of what a hook may take, and none raises."""
    chosen = random.Random(8)
    worst = 0.0
    for _ in range(120):
        pattern = "".join(chosen.choices(ATOMS, k=chosen.choice([1, 2, 2, 3])))
        text = (pattern * (100_000 // len(pattern) + 1))[:100_000]
        took = min(_cpu_seconds(text) for _ in range(2))
        worst = max(worst, took)
    # 20 ms on an idle machine of today; the margin is for slow and busy ones.
    assert worst < 0.1


def _cpu_seconds(text: str) -> float:
    begin = time.process_time()
    shell.parse(text, "/w", home="/h")
    return time.process_time() - begin


def test_megabytes_of_here_document_are_read_in_time() -> None:
    """Content is passed over, not looked at word by word."""
    text = "cat > big.txt <<'E'\n" + "it's $(a) `b` \\ line\n" * 500_000 + "E\ngit status"
    begin = time.process_time()
    script = shell.parse(text, "/w")
    assert time.process_time() - begin < 1
    assert [command.argv for command in script.commands] == [("cat",), ("git", "status")]


@given(
    st.text(alphabet=st.sampled_from([*"abgX=;&|<>(){}[]$`'\"\\#~*? \t\n-\0é\ud800"]), max_size=80)
    | st.text(max_size=40)
)
def test_no_text_raises(text: str) -> None:
    """Whatever it is, it is read to the end."""
    assert isinstance(shell.parse(text, "/w", home="/h"), shell.ShellScript)


@given(st.lists(st.sampled_from(ATOMS), max_size=30).map("".join))
def test_no_sequence_of_tokens_raises(text: str) -> None:
    """The shell's own tokens in any order are read to the end."""
    assert isinstance(shell.parse(text, None, home="/h"), shell.ShellScript)


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Bash:
    found = shutil.which("bash")
    if found is None:
        skip_or_fail("needs bash")
    return Bash(found, tmp_path_factory.mktemp("bash").resolve())


class Bash:
    """The real shell, with a program `g` that writes down where it ran and with which words."""

    def __init__(self, program: str, top: Path) -> None:
        self.program = program
        self.top = top
        self.home = top / "home"
        self.start = top / "work"
        for directory in (self.home, top / "bin", self.start / "a/b", self.start / "c"):
            directory.mkdir(parents=True)
        stub = top / "bin/g"
        stub.write_text('#!/bin/sh\nprintf \'%s\\036\' "$PWD" "$@" > "$G_LOG/$$"\n')
        stub.chmod(0o755)
        self._runs = 0

    def calls(self, text: str) -> list[list[str]]:
        """Directory and words of each call of `g` in the script."""
        # what a script leaves running in a process substitution must not write into the next one's
        # log
        self._runs += 1
        log = self.top / f"log-{self._runs}"
        log.mkdir()
        environment = {
            "PATH": f"{self.top}/bin:/usr/bin:/bin",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "G_LOG": str(log),
        }
        command = [self.program, "-f", "-c", text]
        subprocess.run(
            command,
            cwd=self.start,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
        return [file.read_text().split("\x1e")[:-1] for file in log.iterdir()]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_real_shell_runs_was_found(bash: Bash, seed: int) -> None:
    """Each call that bash makes of a random script is among those found, with these words and in
    this directory.
    """
    scripts = Scripts(seed)
    for _ in range(12):
        text = scripts.script()
        found = shell.parse(text, str(bash.start), home=str(bash.home), toplevel=str(bash.start))
        for directory, *words in bash.calls(text):
            assert any(_covers(command, directory, words) for command in found.commands), (
                text,
                directory,
                words,
            )


def _covers(command: shell.SimpleCommand, directory: str, words: list[str]) -> bool:
    places = [command.directory, *command.also]
    if not (command.directory and Path(command.directory).is_dir()):
        places += command.fallback
    if command.program != "g" or not (
        None in places or directory in [os.path.realpath(place) for place in places if place]
    ):
        return False
    # A word with an unknown part may have become any number of words.
    patterns = [
        "(?:.*\x1e)?" if not word.template.strip(UNKNOWN) and word.template else _words_like(word)
        for word in command.words[1:]
    ]
    return (
        re.fullmatch("".join(patterns), "".join(f"{word}\x1e" for word in words), re.DOTALL)
        is not None
    )


def _words_like(word: shell.Word) -> str:
    return ".*".join(map(re.escape, word.template.split(UNKNOWN))) + "\x1e"
