"""Random shell scripts that call a program `g`, for being run for real: they touch nothing."""

from __future__ import annotations

import random

_PLAIN = [
    "x",
    "main",
    "a",
    "b-c",
    "1",
    "HEAD",
    "{}",
    "@{1}",
    "a=b",
    "-f",
    "--x=y",
    "$",
    "é",
    "%",
    "+x:y",
    "x#y",
    "}",
    "in",
    "do",
    "esac",
]
_PLAIN += ["!"]
_SINGLE = ["a b", "$x", "`g q`", "a;b", '"', "\\", "", "x\ny", "$(g 9)", "#"]
_DOUBLE = ["a b", "\\$x", "\\`", "it's", "\\\\", 'a\\"b', "\\n", "x\\\ny", "", "$", "#", ";"]
_ESCAPED = [" ", "$", "'", '"', ";", "&", "|", "x", "\\", "`", "#", "\n", "(", ")", "<"]
_ANSI = ["a\\nb", "\\x41", "\\'", "\\\\", "\\101", "\\tx", "\\u0041", "a b"]
_EXPANSIONS = [
    "$V",
    '"$V"',
    "${V}",
    "$W",
    '"${W}"',
    "$U",
    '"${V:-q}"',
    '"${U:-it\'s}"',
    "${V#'}'}",
    "\"${V%'}'}\"",
    "$((1+2))",
    "$((1<2))",
]
_EXPANSIONS += ['"$((V))"', "$PWD", '"$HOME"', "~", "${#V}", '"${V/x/y}"', '${V/"}"/}']
_BRACES = ["{a,b}", "{1..2}", "a{x}b", "{", "}x", "x{,y}"]
_CD = [
    "a",
    "a/b",
    "..",
    "../c",
    "nosuch",
    ".",
    "./",
    "$PWD",
    "~",
    '"a"',
    "$V",
    "-- a",
    "./a/..",
    "-P a",
]
_ASSIGN = [
    "V=main",
    "V='a b'",
    "W=x",
    "W=$V",
    'U="$W z"',
    "V+=q",
    "export W=e",
    "local V=1 2>/dev/null",
    "read V </dev/null",
    "unset W",
]
_ASSIGN += ["A=(1 $(g arr) 2)", "V=~/x", "declare V=z"]
_WRAPPERS = [
    "env",
    "env A=1",
    "command",
    "nohup",
    "nice -n 1",
    "timeout 9",
    "env -C a",
    "time -p",
    "exec",
    "env -u X",
    "nice",
]
_WRAPPERS += ["command --"]
_REDIRECTS = [
    "> /dev/null",
    "2>&1",
    ">/dev/null 2>/dev/null",
    "< /dev/null",
    "&> /dev/null",
    "2> /dev/null x",
    ">& /dev/null",
    "3<&0",
]
_REDIRECTS += ['<<< "$(g hs)"', "<<<x"]
_TESTS = ["a == b", "-n x && -n y", "x < y", "(a == a)", "$V =~ ^(a|b)$"]
_SEPARATORS = [" && ", " || ", "; ", "\n", " | ", " ;\n", " # c'omment\n", " && \\\n", " |& "]
_DEPTH = 3


class Scripts:
    """A stream of scripts, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._pick = self._random.choice
        self._functions = 0

    def script(self, depth: int = 0) -> str:
        text = self._item(depth)
        for _ in range(self._pick([0, 0, 1, 2] if depth else [0, 1, 2, 3])):
            text += ("" if text.endswith("EOX\n") else self._pick(_SEPARATORS)) + self._item(depth)
        return text

    def _item(self, depth: int) -> str:
        kind = self._random.random()
        if kind < 0.68 or depth >= _DEPTH:
            return self._simple(depth)
        return self._here_document() if kind < 0.76 else self._compound(depth)

    def _word(self, depth: int) -> str:
        return "".join(self._piece(depth) for _ in range(self._pick([1, 1, 1, 2, 3])))

    def _piece(self, depth: int) -> str:
        inner = self.script(depth + 1) if depth < _DEPTH else "g in"
        escaped = inner.replace("\\", "\\\\").replace("`", "\\`").replace("$", "\\$")
        return self._pick(
            [
                *[self._pick(_PLAIN)] * 6,
                _single(self._pick(_SINGLE)),
                f'"{self._pick(_DOUBLE)}"',
                f"\\{self._pick(_ESCAPED)}",
                f"$'{self._pick(_ANSI)}'",
                f"$({inner})",
                f'"$({inner})"',
                f"`{escaped}`" if depth < 2 else "`g bt`",
                self._pick(_EXPANSIONS),
                self._pick(_BRACES),
                f'"{self._pick(["a", "b "])}{self._pick(["$V", "${W}", "$(g in)"])}'
                f'{self._pick([" c", ""])}"',
            ]
        )

    def _simple(self, depth: int) -> str:
        words = " ".join(self._word(depth) for _ in range(self._random.randrange(4)))
        call = f"g {words}"
        inner = self.script(depth + 1) if depth < _DEPTH else "g deep"
        name = self._function()
        return self._pick(
            [
                *[call] * 9,
                f"cd {self._pick(_CD)}",
                self._pick(_ASSIGN),
                f"bash -c {_single(inner)}",
                f"eval {_single(inner)}",
                f"{self._pick(_WRAPPERS)} {call}",
                f"X=1 Y={self._word(depth)} {call}",
                f"{call} {self._pick(_REDIRECTS)}",
                f"echo p q | xargs {self._pick(['g pre', '-n 1 g', '-I{} g a{}b', '-I % g %'])}",
                "find a -maxdepth 0 -exec g f {} \\;",
                f"echo {words}",
                "false",
                f"g <({inner}\n) ps",
                f"{name} () {{ {inner}\n}}; {name}",
            ]
        )

    def _function(self) -> str:
        """A name of its own: a function that called itself would never end."""
        self._functions += 1
        return f"f{self._functions}"

    def _here_document(self) -> str:
        command = self._pick(["g hd", "bash", "cat >/dev/null", "bash -s --"])
        bodies = [
            "g fake\n",
            "$(g real)\n",
            "it's \"x\n",
            "`g bt`\n",
            "\\$(g no)\n",
            "",
            "a\n\tEOX\nb\n",
        ]
        scripts = ["g inb\n", "cd a\ng inb2\n", "echo x; g 'y z'\n"]
        body = self._pick(scripts if command.startswith("bash") else bodies)
        tabs, delimiter = self._pick(["", "", "-"]), self._pick(["EOX", "'EOX'"])
        rest = self._pick(["", " && g after", " | g piped", " ; g semi"])
        return f"{command} <<{tabs}{delimiter}{rest}\n{body}{'	' if tabs else ''}EOX\n"

    def _compound(self, depth: int) -> str:
        a, b, c = (self.script(depth + 1) for _ in range(3))
        word, name = self._word(depth), self._function()
        otherwise = self._pick(["", f"else {c}\n", f"elif {c}\nthen g then\n"])
        return self._pick(
            [
                f"({a})",
                f"{{ {a}\n}}",
                f"if {a}\nthen {b}\n{otherwise}fi",
                f"for i in {word} z; do {a}\ndone",
                f"case {word} in "
                f"{self._pick(['x|y)', '(x)', '*)', chr(39) + 'a b' + chr(39) + ')'])} "
                f"{a}\n;;\n*) {b}\n;;\nesac",
                f"! {self._simple(depth)}",
                f"[[ {self._pick(_TESTS)} ]] {self._pick(['&&', '||', ';'])} g t",
                "((1<2)) && g ar",
                "((g sub1); g sub2)",
                f"{name}() {{ {a}\n}}\n{name}",
                f"while {self._simple(depth)} && false; do g never\ndone",
                f"function {name} {{ {a}\n}}; {name}",
                f"({a}) | {{ {b}\n}}",
            ]
        )


def _single(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
