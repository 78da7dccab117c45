"""What each git subcommand does to the branches and objects that agents share: one function per
subcommand.

A rule yields `Moves(branch)` for a protected branch, which needs the lock `repository:<branch>`, or
`Forbidden(why)` where no lock makes it right. It yields nothing where only the agent itself is
affected. `Checkout` answers what a rule must know of the checkout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from octet.guard.git.call import Call
from octet.guard.git.checkout import Checkout
from octet.guard.shell.options import parse_options
from octet.guard.shell.words import UNKNOWN


@dataclass(frozen=True)
class Moves:
    """It moves a protected branch."""

    branch: str


@dataclass(frozen=True)
class Forbidden:
    """It must not run; `why` says what is wrong and what to do instead."""

    why: str


Effect = Moves | Forbidden


EffectRule = Callable[[Call, Checkout], Iterator[Effect]]

_UNCLEAR = (
    "Octet cannot tell which branch it moves: write the branch's name, without variables, patterns "
    "or substitutions"
)
SHARED = "a protected branch is moved by a merge, never removed, renamed or rewritten"
_REWRITE = f"{SHARED}: make a new commit that sets it right (`git revert`), on a branch of your own"
_WORKTREE = (
    "it can remove another agent's worktree: use `octet worktree list` and `octet worktree "
    "remove NAME`, which keep unsaved work"
)
_COLLECT = (
    "it can delete objects that another agent needs: leave it to git, which collects garbage itself"
)
_STASH = (
    "all worktrees share one stash, and another agent would get your changes: keep them with "
    "`octet worktree snapshot`, or commit them on your branch"
)
_UNMERGED = (
    "it is a task's branch, perhaps with the only copy of its commits: Octet removes it once it is "
    "merged (`git branch -d` if it is)"
)
_CLEAN = (
    "in the shared checkout it deletes ignored files that others need (environments, settings, "
    "worktrees): name your own (`git clean -f -- PATH`), or leave out -x and the second -f"
)
_REPACK = (
    "with -d it can drop objects that another agent needs: leave it to git, which packs itself"
)
_IMPORT = "it can move any branch: import into a repository of its own, and fetch from there"
_HOOKS_PATH = (
    "it switches off the repository's git hooks, which guard the protected branches: leave "
    "core.hooksPath as it is"
)


def effects(call: Call, checkout: Checkout) -> Iterator[Effect]:
    """What the call does, once its alias is resolved."""
    if any("core.hookspath" in key for key, _ in call.settings):
        yield Forbidden(_HOOKS_PATH)
    if UNKNOWN in call.subcommand:
        yield Forbidden("Octet cannot tell which git command this is: write the subcommand out")
    elif rule := RULES.get(call.subcommand):
        yield from rule(call, checkout)


def _current(checkout: Checkout) -> Iterator[Effect]:
    yield from _branch(checkout.branch(), checkout)


def _branch(name: str, checkout: Checkout, *, refused: str = "") -> Iterator[Effect]:
    """The effect of moving the branch `name` (a template): refused with a reason where no lock
    makes it right.
    """
    if not name or not checkout.may_be_protected(name):
        return
    if refused:
        yield Forbidden(refused)
    elif UNKNOWN in name:
        yield Forbidden(_UNCLEAR)
    else:
        yield Moves(name)


def _others(name: str, checkout: Checkout, what: str) -> Iterator[Effect]:
    """Refuses what must not be done to a branch that another checkout works on."""
    if place := checkout.elsewhere(name):
        yield Forbidden(f"{name} is checked out in {place}, whose agent works on it: {what}")


def _ref(name: str) -> str:
    """The branch that a ref's name means; "" when it is no branch."""
    short = name.removeprefix("refs/heads/").removeprefix("heads/")
    return "" if short.startswith("refs/") else short


def _moves_current(call: Call, checkout: Checkout) -> Iterator[Effect]:
    if not {"--dry-run", "--help", "-h"} & set(call.words):
        yield from _current(checkout)


def _pull(call: Call, checkout: Checkout) -> Iterator[Effect]:
    yield from _moves_current(call, checkout)
    yield from _fetched(call, checkout)


def _fetch(call: Call, checkout: Checkout) -> Iterator[Effect]:
    yield from _fetched(call, checkout)


def _fetched(call: Call, checkout: Checkout) -> Iterator[Effect]:
    """`fetch origin x:main` moves the local main."""
    valued = (
        "o server-option upload-pack depth deepen shallow-since shallow-exclude refmap j jobs s X"
    )
    for refspec in parse_options(call.words, valued)[1][1:]:
        _, colon, target = refspec.partition(":")
        if colon:
            yield from _branch(_ref(target), checkout)


def _rebase(call: Call, checkout: Checkout) -> Iterator[Effect]:
    flags, operands = parse_options(
        call.words,
        "onto x exec s strategy X strategy-option C whitespace empty",
    )
    if "root" in flags:
        operands.insert(0, "")
    if len(operands) > 1:
        yield from _branch(_ref(operands[1]), checkout)
        checkout.switch(_ref(operands[1]))
    else:
        yield from _current(checkout)


def _reset(call: Call, checkout: Checkout) -> Iterator[Effect]:
    """With paths it only unstages; without a commit it moves nothing, but `--hard` discards all
    agents' changes.
    """
    flags, operands = parse_options(call.words, "pathspec-from-file")
    mode = {"hard", "soft", "mixed", "merge", "keep"} & flags.keys()
    if {"p", "patch", "pathspec-from-file"} & flags.keys() or (
        not mode and _only_paths(flags, operands, checkout)
    ):
        return
    yield from _current(checkout)


def _only_paths(flags: Mapping[str, str], operands: list[str], checkout: Checkout) -> bool:
    if "--" in flags or not operands or operands == ["HEAD"]:
        return True
    return len(operands) > 1 or (
        checkout.has_path(operands[0]) and not checkout.has_branch(operands[0])
    )


def _push(call: Call, checkout: Checkout) -> Iterator[Effect]:
    flags, operands = parse_options(call.words, "o push-option repo receive-pack exec")
    if {"n", "dry-run"} & flags.keys():
        return
    if "mirror" in flags:
        yield Forbidden(
            f"it overwrites every branch of the other repository, and {SHARED}: push your "
            "own branch by name"
        )
        return
    force = bool({"f", "force", "force-with-lease", "force-if-includes"} & flags.keys())
    delete = bool({"d", "delete"} & flags.keys())
    refspecs = operands[1:]
    if {"all", "branches"} & flags.keys() or ":" in refspecs:
        for name in checkout.protected():
            yield from _branch(name, checkout, refused=_REWRITE if force else "")
    elif not refspecs and "tags" not in flags:
        yield from _branch(checkout.branch(), checkout, refused=_REWRITE if force else "")
    for refspec in _branches(refspecs):
        yield from _pushed(refspec, checkout, force=force, delete=delete)


def _branches(refspecs: list[str]) -> Iterator[str]:
    """Refspecs without `tag NAME` and exclusions."""
    tag = False
    for refspec in refspecs:
        if not tag and refspec != "tag" and not refspec.startswith("^") and refspec != ":":
            yield refspec
        tag = refspec == "tag" and not tag


def _pushed(refspec: str, checkout: Checkout, *, force: bool, delete: bool) -> Iterator[Effect]:
    source, colon, target = refspec.removeprefix("+").partition(":")
    target = (target or source) if not (colon and not source) else target
    name = _ref(target)
    if name in ("HEAD", "@"):
        name = checkout.branch()
    refused = ""
    if delete or (colon and not source):
        refused = SHARED
    elif force or refspec.startswith("+"):
        refused = _REWRITE
    if "*" in name:
        for protected in checkout.protected():
            yield from _branch(protected, checkout, refused=refused)
        return
    yield from _branch(name, checkout, refused=_UNCLEAR if UNKNOWN in name else refused)


def _branch_command(call: Call, checkout: Checkout) -> Iterator[Effect]:
    flags, operands = parse_options(
        call.words,
        "u set-upstream-to contains no-contains points-at format sort",
    )
    names = flags.keys()
    if {"r", "remotes", "list", "l"} & names:
        return
    if {"d", "D", "delete"} & names:
        for operand in operands:
            yield from _deleted(_ref(operand), checkout, force=bool({"D", "f", "force"} & names))
            yield from _branch(
                _ref(operand), checkout, refused=_UNCLEAR if UNKNOWN in operand else SHARED
            )
    elif {"m", "M", "move"} & names:
        renamed = operands if len(operands) > 1 else [checkout.branch(), *operands]
        for operand in renamed:
            yield from _others(_ref(operand), checkout, "leave its name as it is")
            yield from _branch(
                _ref(operand), checkout, refused=_UNCLEAR if UNKNOWN in operand else SHARED
            )
    elif {"C", "copy", "c"} & names and {"C", "f", "force"} & names:
        yield from _branch(_ref(operands[-1]) if operands else "", checkout)
    elif {"f", "force"} & names and operands:
        yield from _others(_ref(operands[0]), checkout, "make a branch of your own")
        yield from _branch(_ref(operands[0]), checkout)


def _deleted(name: str, checkout: Checkout, *, force: bool) -> Iterator[Effect]:
    yield from _others(name, checkout, "leave it to them")
    if (
        force
        and name.startswith("octet/")
        and not checkout.may_be_protected(name)
        and not checkout.elsewhere(name)
    ):
        yield Forbidden(_UNMERGED)


def _taken_up(name: str, checkout: Checkout) -> Iterator[Effect]:
    """A checkout switches to the branch `name`."""
    look = (
        f"look at it with `git show {name}:FILE` or `git diff ...{name}`, or take its commit: "
        f"`git switch --detach {name}`"
    )
    yield from _others(name, checkout, look)


def _checkout_command(call: Call, checkout: Checkout) -> Iterator[Effect]:
    flags, operands = parse_options(call.words, "b B orphan conflict pathspec-from-file")
    if "B" in flags:
        yield from _others(_ref(flags["B"]), checkout, "make a branch of your own")
        yield from _branch(_ref(flags["B"]), checkout)
    if name := flags.get("B") or flags.get("b") or flags.get("orphan"):
        checkout.switch(name)
    elif {"detach", "d"} & flags.keys():
        checkout.switch("")
    elif operands and not {"p", "patch", "pathspec-from-file"} & flags.keys():
        before = checkout.branch()
        _switch_to(call, operands, checkout)
        if (after := checkout.branch()) != before:
            yield from _taken_up(after, checkout)


def _switch_to(call: Call, operands: list[str], checkout: Checkout) -> None:
    """`checkout X` switches; `checkout X -- path` and `checkout path` restore files."""
    target = operands[0]
    if "--" in call.words:
        if call.words.index("--") == len(call.words) - 1:  # nothing behind it: X is no path
            checkout.switch(_ref(target))
    elif len(operands) > 1:
        return
    elif target == "-" or UNKNOWN in target:
        checkout.switch(UNKNOWN)
    elif checkout.has_branch(_ref(target)):
        checkout.switch(_ref(target))
    elif not checkout.has_path(target):
        checkout.switch("")  # a commit, or a name that git does not know


def _switch(call: Call, checkout: Checkout) -> Iterator[Effect]:
    flags, operands = parse_options(call.words, "c C create force-create orphan conflict")
    if forced := flags.get("C") or flags.get("force-create"):
        yield from _others(_ref(forced), checkout, "make a branch of your own")
        yield from _branch(_ref(forced), checkout)
    created = forced or flags.get("c") or flags.get("create") or flags.get("orphan")
    if {"d", "detach"} & flags.keys():
        checkout.switch("")
    elif created or operands:
        target = created or operands[0]
        checkout.switch(UNKNOWN if target == "-" else _ref(target))
        if not created:
            yield from _taken_up(_ref(target), checkout)


def _worktree(call: Call, checkout: Checkout) -> Iterator[Effect]:
    verb = call.words[0] if call.words else ""
    if verb in ("remove", "prune", "move"):
        yield Forbidden(_WORKTREE)
    elif verb == "add":
        yield from _branch(
            _ref(parse_options(call.words[1:], "b B reason")[0].get("B", "")), checkout
        )


def _gc(call: Call, _checkout: Checkout) -> Iterator[Effect]:
    if not {"--auto", "--help", "-h"} & set(call.words):
        yield Forbidden(_COLLECT)


def _reflog(call: Call, _checkout: Checkout) -> Iterator[Effect]:
    if call.words[:1] in (("expire",), ("delete",)):
        yield Forbidden(_COLLECT)


def _maintenance(call: Call, checkout: Checkout) -> Iterator[Effect]:
    if call.words[:1] == ("run",):
        yield from _gc(call, checkout)


def _stash(call: Call, checkout: Checkout) -> Iterator[Effect]:
    if checkout.linked and call.words[:1] not in (("list",), ("show",), ("create",)):
        yield Forbidden(_STASH)


def _update_ref(call: Call, checkout: Checkout) -> Iterator[Effect]:
    flags, operands = parse_options(call.words, "m")
    if "stdin" in flags:
        yield Forbidden(
            "it can move any branch: give `git update-ref` the ref and the commit as words"
        )
    elif operands:
        name = checkout.branch() if operands[0] in ("HEAD", "@") else _ref(operands[0])
        deletes = "d" in flags or "delete" in flags
        if deletes:
            yield from _deleted(name, checkout, force=True)
        yield from _branch(name, checkout, refused=SHARED if deletes else "")


def _symbolic_ref(call: Call, checkout: Checkout) -> Iterator[Effect]:
    flags, operands = parse_options(call.words, "m")
    if len(operands) < 2 and not {"d", "delete"} & flags.keys():
        return
    if operands and operands[0] == "HEAD":
        yield Forbidden(
            "it puts the checkout on another branch and leaves its files behind: use `git switch`"
        )
    elif operands:
        yield from _branch(_ref(operands[0]), checkout, refused=SHARED)


def _filter(_call: Call, _checkout: Checkout) -> Iterator[Effect]:
    yield Forbidden(f"it rewrites the history that all worktrees share: {SHARED}")


def _clean(call: Call, checkout: Checkout) -> Iterator[Effect]:
    flags, operands = parse_options(call.words, "e exclude")
    twice = sum(word.count("f") for word in call.words if word[:1] == "-" and word[:2] != "--") > 1
    dry = {"n", "dry-run"} & flags.keys()
    if (
        checkout.worktree
        and not checkout.linked
        and not operands
        and not dry
        and (twice or {"x", "X"} & flags.keys())
    ):
        yield Forbidden(_CLEAN)


def _repack(call: Call, _checkout: Checkout) -> Iterator[Effect]:
    flags, _ = parse_options(call.words, "f window depth threads")
    if "d" in flags and {"a", "A"} & flags.keys() and not {"k", "keep-unreachable"} & flags.keys():
        yield Forbidden(_REPACK)


def _fast_import(_call: Call, _checkout: Checkout) -> Iterator[Effect]:
    yield Forbidden(_IMPORT)


def _subtree(call: Call, checkout: Checkout) -> Iterator[Effect]:
    _, operands = parse_options(call.words, "P prefix m message b branch onto")
    if operands[:1] == ["push"]:
        yield from _branch(_ref(operands[-1].rpartition(":")[2]), checkout)
    elif operands[:1] != ["split"]:
        yield from _current(checkout)


def _config(call: Call, _checkout: Checkout) -> Iterator[Effect]:
    _, operands = parse_options(call.words, "f file blob type default value comment")
    operands = operands[1:] if operands[:1] == ["set"] else operands
    if len(operands) > 1 and operands[0].lower() == "core.hookspath":
        yield Forbidden(_HOOKS_PATH)


RULES: Mapping[str, EffectRule] = {
    "am": _moves_current,
    "branch": _branch_command,
    "checkout": _checkout_command,
    "cherry-pick": _moves_current,
    "commit": _moves_current,
    "clean": _clean,
    "config": _config,
    "fast-import": _fast_import,
    "fetch": _fetch,
    "filter-branch": _filter,
    "filter-repo": _filter,
    "gc": _gc,
    "maintenance": _maintenance,
    "merge": _moves_current,
    "prune": _gc,
    "pull": _pull,
    "push": _push,
    "rebase": _rebase,
    "reflog": _reflog,
    "repack": _repack,
    "reset": _reset,
    "revert": _moves_current,
    "stash": _stash,
    "subtree": _subtree,
    "switch": _switch,
    "symbolic-ref": _symbolic_ref,
    "update-ref": _update_ref,
    "worktree": _worktree,
}
