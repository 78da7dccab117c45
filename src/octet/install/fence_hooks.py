"""The text of the git hooks that `octet init` installs: lines about the repository, and `fence.sh`.

render(facts, None)        # {"reference-transaction": b"…", "pre-push": b"…", "pre-commit": b"…"}
read_protected(content)    # ("main", "release/*"), of a hook that was written earlier
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

HOOKS = ("reference-transaction", "pre-push", "pre-commit")
MARK = "# Octet's fence, written by `octet init` and taken back by `octet init --undo`."
# The hooks that git runs for a person at work, and for a push into this repository; not those whose
# mere presence changes what git does.
PASSED_ON = (
    *(
        "applypatch-msg",
        "pre-applypatch",
        "post-applypatch",
        "pre-commit",
        "pre-merge-commit",
        "prepare-commit-msg",
        "commit-msg",
    ),
    *(
        "post-commit",
        "pre-rebase",
        "post-checkout",
        "post-merge",
        "post-rewrite",
        "pre-auto-gc",
        "sendemail-validate",
    ),
)
_PROTECTED = re.compile(rb"^octet_protected='(.*)'$", re.MULTILINE)


@dataclass(frozen=True)
class HookFacts:
    """The facts of a repository that its hooks carry."""

    root: Path  # the main checkout
    common: Path  # its git directory
    state: Path  # of this machine
    approval: Path  # this machine's record
    settings: Path  # octet.toml
    protected: tuple[str, ...]  # globs of branches


def render(facts: HookFacts, behind: str | None) -> Mapping[str, bytes]:
    """The hooks' contents by name.

    `behind` is the directory whose hooks run after ours; None: `hooks-before-octet` beside ours.
    """
    return {hook: _fence(facts, hook, behind) for hook in HOOKS}


def render_passing(hook: str, behind: str) -> bytes:
    """A hook that only runs the one in the directory `behind`."""
    lines = [
        "#!/bin/sh",
        MARK,
        f"octet_next={shlex.quote(f'{behind}/{hook}')}",
        '[ -f "$octet_next" ] && [ -x "$octet_next" ] && exec "$octet_next" "$@"',
        "exit 0",
    ]
    return _encode("\n".join(lines) + "\n")


def is_ours(content: bytes | None) -> bool:
    """Whether a hook's content is from this module, of any version."""
    return content is not None and MARK.encode() in content[:300]


def read_protected(content: bytes) -> tuple[str, ...]:
    """The patterns that a hook of ours protects; () when it names none."""
    found = _PROTECTED.search(content)
    return tuple(json.loads(found[1].replace(b"'\\''", b"'"))) if found else ()


def _fence(facts: HookFacts, hook: str, behind: str | None) -> bytes:
    values = {
        "hook": hook,
        "root": str(facts.root),
        "common": str(facts.common),
        "state": str(facts.state),
        "approval": str(facts.approval),
        "settings": str(facts.settings),
    }
    lines = [
        "#!/bin/sh",
        MARK,
        *(f"octet_{name}={shlex.quote(value)}" for name, value in values.items()),
    ]
    quoted = json.dumps(facts.protected).replace("'", "'\\''")
    lines.append(f"octet_protected='{quoted}'")
    lines.append(
        f"is_protected() {{ case $1 in {_patterns(facts.protected)}) ;; *) return 1 ;; esac; }}"
    )
    if behind is None:  # beside this very file, wherever the repository has been moved to
        lines.append("case $0 in */hooks/*) octet_next=${0%/hooks/*} ;; *) octet_next=. ;; esac")
        lines.append(f"octet_next=$octet_next/hooks-before-octet/{hook}")
    else:
        lines.append(f"octet_next={shlex.quote(f'{behind}/{hook}')}")
    return _encode("\n".join(lines) + "\n" + _body())


def _patterns(protected: Sequence[str]) -> str:
    return (
        " | ".join(f"refs/heads/{_shell_pattern(pattern)}" for pattern in protected)
        or "refs/heads/"
    )


def _shell_pattern(pattern: str) -> str:
    """A pattern of a shell's `case` that fits whatever the glob fits, and perhaps more: shells
    count bytes, and sort by language.
    """
    literal = re.split(r"(\*|\?|\[.*)", pattern, flags=re.DOTALL)
    return "".join(
        "*" if n % 2 else shlex.quote(part) if part else "" for n, part in enumerate(literal)
    )


@cache
def _body() -> str:
    return files("octet.fence").joinpath("fence.sh").read_text(encoding="utf-8")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
