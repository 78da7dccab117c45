"""The files of a checkout that each git subcommand changes by itself: restores, removes, moves,
cleans or checks out.

    [write.path for write in file_changes(call, checkout)]
    # ["/srv/shop/src/a.py"] for `git restore src/a.py` in /srv/shop

Where git itself refuses to overwrite uncommitted changes (`merge`, `rebase`, `cherry-pick`, a plain
`checkout BRANCH`), only a switch of the shared checkout's branch counts. A path may hold UNKNOWN,
as in `shell_writes`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from octet.guard.git.call import Call
from octet.guard.git.checkout import Checkout
from octet.guard.shell.options import parse_options
from octet.guard.shell.words import UNKNOWN
from octet.guard.shell.writes import Write

FileRule = Callable[[Call, Checkout], Iterator[Write]]

# Subcommands that work on a checkout's files, index or branch: in a linked worktree they need its
# lock.
_WORKING = frozenset(
    [
        "add",
        "am",
        "apply",
        "bisect",
        "checkout",
        "cherry-pick",
        "clean",
        "commit",
        "merge",
        "mv",
        "pull",
        "read-tree",
        "rebase",
        "reset",
        "restore",
        "revert",
        "rm",
        "stash",
        "switch",
    ]
)


def file_changes(call: Call, checkout: Checkout) -> Iterator[Write]:
    """The files that the call may change; a linked worktree that it works in counts as a whole."""
    if checkout.worktree is None:
        return
    if checkout.linked and call.subcommand in _WORKING and not _only_looks(call):
        yield _everything(checkout)
    elif rule := RULES.get(call.subcommand):
        yield from rule(call, checkout)


def _only_looks(call: Call) -> bool:
    reading = {"stash": {"list", "show", "create"}, "bisect": {"log", "view", "visualize"}}.get(
        call.subcommand, set()
    )
    return call.words[:1] != () and call.words[0] in reading


def _everything(checkout: Checkout) -> Write:
    return Write(f"{checkout.top}/{UNKNOWN}")


def _paths(
    operands: Sequence[str], checkout: Checkout, *, removes: bool = False
) -> Iterator[Write]:
    """Pathspecs from where the call runs; a directory or pattern stands for what lies below it."""
    for operand in operands:
        begin, text = checkout.directory or checkout.top, operand
        for magic in (":/", ":(top)"):
            if text.startswith(magic):
                begin, text = checkout.top, text.removeprefix(magic)
        if text.startswith((":!", ":^", ":(exclude)")) or (
            UNKNOWN in text and text.startswith(UNKNOWN)
        ):
            continue
        literal, star, _ = text.partition("*")
        path = os.path.normpath(f"{begin}/{literal}" if not literal.startswith("/") else literal)
        if star:
            yield Write(
                f"{path}{'/' if literal.endswith('/') or not literal else ''}{UNKNOWN}", removes
            )
        else:
            yield Write(f"{path}/{UNKNOWN}" if Path(path).is_dir() else path, removes)


def _checkout(call: Call, checkout: Checkout) -> Iterator[Write]:
    flags, operands = parse_options(call.words, "b B orphan conflict pathspec-from-file")
    if {"b", "B", "orphan"} & flags.keys() and not {"f", "force"} & flags.keys():
        return  # a new branch at this commit, or git refuses
    if "pathspec-from-file" in flags or {"p", "patch"} & flags.keys():
        yield _everything(checkout)
    elif "--" in call.words:
        paths = call.words[call.words.index("--") + 1 :]
        yield from _paths(paths, checkout) if paths else iter((_everything(checkout),))
    elif {"ours", "theirs", "m", "merge"} & flags.keys() and operands:
        yield from _paths(operands, checkout)
    elif len(operands) > 1:
        yield from _paths(operands[1:], checkout)
    elif operands and not checkout.has_branch(operands[0]) and checkout.has_path(operands[0]):
        yield from _paths(operands, checkout)
    elif operands or {"f", "force", "detach", "d"} & flags.keys():
        yield from _switch(call, checkout)


def _switch(call: Call, checkout: Checkout) -> Iterator[Write]:
    """All files become another branch's; making a new branch here changes none."""
    flags, operands = parse_options(call.words, "c C create force-create orphan conflict")
    forced = {"f", "force", "discard-changes"} & flags.keys()
    if forced or (
        operands
        and operands[0] != checkout.branch()
        and not {"c", "C", "create", "force-create"} & flags.keys()
    ):
        yield _everything(checkout)


def _restore(call: Call, checkout: Checkout) -> Iterator[Write]:
    flags, operands = parse_options(call.words, "s source conflict pathspec-from-file")
    if {"S", "staged"} & flags.keys() and not {"W", "worktree"} & flags.keys():
        return
    yield from _paths(operands, checkout)
    if "pathspec-from-file" in flags:
        yield _everything(checkout)


def _reset(call: Call, checkout: Checkout) -> Iterator[Write]:
    if {"--hard", "--merge", "--keep"} & set(call.words):
        yield _everything(checkout)


def _remove(call: Call, checkout: Checkout) -> Iterator[Write]:
    flags, operands = parse_options(call.words, "pathspec-from-file")
    if not {"cached", "n", "dry-run"} & flags.keys():
        yield from _paths(operands, checkout, removes=True)


def _move(call: Call, checkout: Checkout) -> Iterator[Write]:
    flags, operands = parse_options(call.words)
    if {"n", "dry-run"} & flags.keys() or len(operands) < 2:
        return
    yield from _paths(operands[:-1], checkout, removes=True)
    *sources, target = operands
    if UNKNOWN not in target and checkout.has_path(f"{target}/."):
        yield from _paths(
            [f"{target.rstrip('/')}/{source.rstrip('/').rpartition('/')[2]}" for source in sources],
            checkout,
        )
    else:
        yield from _paths([target], checkout)


def _clean(call: Call, checkout: Checkout) -> Iterator[Write]:
    flags, operands = parse_options(call.words, "e exclude")
    if {"n", "dry-run"} & flags.keys():
        return
    if operands:
        yield from _paths(operands, checkout)
    else:
        yield Write(f"{checkout.directory or checkout.top}/{UNKNOWN}")


def _stash(call: Call, checkout: Checkout) -> Iterator[Write]:
    """Takes all agents' changes away, or replaces them."""
    if call.words[:1] not in (("list",), ("show",), ("create",), ("store",), ("drop",), ("clear",)):
        yield _everything(checkout)


def _commit(call: Call, checkout: Checkout) -> Iterator[Write]:
    """`-a` commits the unfinished changes of other agents too."""
    flags, _ = parse_options(
        call.words,
        "m message F file C c t author date fixup squash trailer",
    )
    if {"a", "all"} & flags.keys() and "dry-run" not in flags:
        yield _everything(checkout)


def _apply(call: Call, checkout: Checkout) -> Iterator[Write]:
    flags, _ = parse_options(call.words, "p C directory exclude include whitespace")
    if not {"check", "stat", "numstat", "summary", "cached"} & flags.keys():
        yield _everything(checkout)


def _read_tree(call: Call, checkout: Checkout) -> Iterator[Write]:
    if parse_options(call.words)[0].keys() & {"u", "reset"}:
        yield _everything(checkout)


def _checkout_index(call: Call, checkout: Checkout) -> Iterator[Write]:
    flags, operands = parse_options(call.words, "prefix stage")
    if {"f", "force"} & flags.keys() and "prefix" not in flags:
        yield from _paths(operands, checkout)
        if {"a", "all", "stdin"} & flags.keys():
            yield _everything(checkout)


def _sparse(call: Call, checkout: Checkout) -> Iterator[Write]:
    if call.words[:1] not in ((), ("list",), ("check-rules",)):
        yield _everything(checkout)


def _bisect(call: Call, checkout: Checkout) -> Iterator[Write]:
    if call.words and not _only_looks(call):
        yield _everything(checkout)


RULES: Mapping[str, FileRule] = {
    "apply": _apply,
    "bisect": _bisect,
    "checkout": _checkout,
    "checkout-index": _checkout_index,
    "clean": _clean,
    "commit": _commit,
    "mv": _move,
    "read-tree": _read_tree,
    "reset": _reset,
    "restore": _restore,
    "rm": _remove,
    "sparse-checkout": _sparse,
    "stash": _stash,
    "switch": _switch,
}
