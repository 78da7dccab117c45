"""`octet init`: opts a repository in or out on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from octet.base.errors import NoProject, OctetError, UsageError
from octet.base.files import remove_file
from octet.base.text import plain
from octet.cli._common.output import emit, json_option
from octet.client.api import store_url
from octet.install import fence as fence_setup
from octet.install import installation, plugin
from octet.install.installation import Change
from octet.project import config, trust
from octet.project.repository import (
    Project,
    common_dir_of,
    find_root,
    find_worktree,
    load_project,
    main_checkout,
    real_path,
)
from octet.runtime import bootstrap
from octet.store.address import parse_address
from octet.store.connection import connect as connect_client
from octet.store.health import examine
from octet.store.keys import Keys
from octet.store.scripts import Store

OWN_SETTINGS = str(config.FILE)
UNSET = {
    "redis.url": "a server that Octet runs for you alone",
    "test.command": "none",
    "worktree.setup": "none",
}
LABELS = {"redis.url": "server", "test.command": "tests", "worktree.setup": "set-up"}


@dataclass(frozen=True)
class InitResult:
    """What `octet init` did, as `--json` prints it."""

    root: str  # the repository's main checkout
    project: str
    opted_in: bool
    changes: Sequence[Change]  # of files
    approved: dict[str, str]  # setting → value, a password hidden
    renewed: Sequence[str]  # settings that have changed since they were approved last
    notices: Sequence[str]
    next: Sequence[str]  # steps for the person


@click.command()
@click.option(
    "--drop-in",
    "drop_in",
    is_flag=True,
    help="Also write hooks, commands and agents into .claude, in place of the plugin.",
)
@click.option("--undo", is_flag=True, help="Opt out, and remove everything that init wrote.")
@json_option
@click.pass_context
def init_command(ctx: click.Context, drop_in: bool, undo: bool, as_json: bool) -> None:
    """Opt this repository in on this machine.

    Writes .claude/octet.toml if it is missing, and approves what it names: the server, the test
    command and the set-up command.
    """
    if drop_in and undo:
        raise UsageError("--undo removes everything, the drop-in too: give it alone")
    start = Path((ctx.find_root().obj or {}).get("directory") or ".")
    root = _repository(start)
    with installation.locked():
        outcome = _undo(root) if undo else _init(root, drop_in)
    emit(outcome, _render(outcome, start), as_json)


def _repository(start: Path) -> Path:
    """The main checkout of the repository around `start`; without git, a directory that has
    octet.toml already.

    Raises:
        NoProject: there is neither.
        UsageError: it is the home directory, whose `.claude` holds for all that lies below.
    """
    worktree = find_worktree(start)
    root = (main_checkout(worktree) or worktree.path) if worktree else find_root(start)
    if root is None:
        raise NoProject(
            f"{real_path(start)} is in no git repository: run `git init` there, or go to the "
            "repository"
        )
    if root == real_path(Path.home()):
        raise UsageError(
            f"{root} is your home directory: Octet would be on in everything below it; go to "
            "a repository"
        )
    return root


def _init(root: Path, drop_in: bool) -> InitResult:
    files, edits = _planned(root, drop_in)
    settings = config.Config("")
    if (root / config.FILE).exists():
        settings = load_project(
            root
        ).config  # one that cannot be read: nothing is written, nothing approved
    fence = fence_setup.plan(root, settings.protected)
    changes = installation.install(
        root, {**files, **fence.files}, [*edits, *fence.edits], fence.additions
    )
    fence_setup.touch(fence)
    project = load_project(root)
    approved = _approved(project)
    changed = trust.check(project)
    trust.approve(project)
    bootstrap.record_interpreter()
    return InitResult(
        root=str(root),
        project=project.name,
        opted_in=True,
        changes=changes,
        approved=approved,
        renewed=changed.changed if changed.approved else (),
        notices=_notices(project, drop_in),
        next=_next(root, changes, drop_in),
    )


def _planned(root: Path, drop_in: bool) -> tuple[dict[str, plugin.Asset], list[installation.Edit]]:
    files, edits = {}, []
    if not (root / config.FILE).exists():
        files[OWN_SETTINGS] = plugin.Asset(config.fresh_text(root.name).encode())
    if common_dir := common_dir_of(root):
        edits.append(installation.exclude_edit(common_dir))
    if drop_in:
        source = plugin.plugin_root()
        files |= {f".claude/{path}": asset for path, asset in plugin.render_files(source).items()}
        edits.append(installation.settings_edit(root, plugin.render_hooks(source)))
    return files, edits


def _approved(project: Project) -> dict[str, str]:
    """The dangerous settings; a URL is read as strictly as in use, and shown without password."""
    values = config.dangerous(project.config)
    if url := values["redis.url"]:
        values["redis.url"] = str(parse_address(url))
    return values


def _undo(root: Path) -> InitResult:
    was_in = trust.revoke(root)  # first, so that Octet is off here even if the rest fails
    changes = installation.uninstall(root)
    for stray in fence_setup.displaced_hooks(root):
        remove_file(stray)
    notices = [] if was_in or changes else ["nothing to undo: this machine had not opted in"]
    if (root / config.FILE).exists():
        notices.append(
            f"{OWN_SETTINGS} stays: it was there before, or was changed since; not approved, "
            "it does nothing"
        )
    return InitResult(str(root), "", False, changes, {}, (), notices, ())


def _notices(project: Project, drop_in: bool) -> list[str]:
    notices = []
    if project.common_dir is None:
        notices.append(
            "there is no git here: tasks, locks and messages work, worktrees and merges do not"
        )
    if drop_in and not shutil.which("octet"):
        notices.append(
            "`octet` is not on PATH: the drop-in's commands and agents call it by that name"
        )
    if os.environ.get("OCTET_REDIS_URL"):
        notices.append("OCTET_REDIS_URL is set, and goes before the server named above")
    return [*notices, *_troubles(project)]


def _troubles(project: Project) -> list[str]:
    """What keeps a configured server from serving, or makes it lose data. Octet's own server is
    set up right.
    """
    url = store_url(project)
    if not url:
        return []
    try:
        with connect_client(url) as client:
            found = [
                trouble.what
                for trouble in examine(Store(client, Keys(project.name)))
                if trouble.grave
            ]
    except OctetError as error:
        found = [f"{error}; until it answers nothing can be shared"]
    return [f"{what} (`octet doctor` looks again)" for what in found]


def _next(root: Path, changes: Sequence[Change], drop_in: bool) -> list[str]:
    steps = []
    created = [
        change.path
        for change in changes
        if change.action == "created" and change.path.startswith(".claude/")
    ]
    if created:
        shared = ".claude" if drop_in else OWN_SETTINGS
        steps.append(
            f"for your team: git add {shared} && git commit; each of them runs `octet init` once"
        )
    if drop_in:
        steps.append("restart the Claude Code sessions that are open here")
    elif not (root / ".claude" / "octet" / "launch").exists():
        steps.append("open Claude Code here with the plugin, or run `octet init --drop-in`")
    return [
        *steps,
        "add work: `octet task add 'TITLE'`; or let a crew do it: `octet up --feature 'TEXT'`",
    ]


def _render(outcome: InitResult, start: Path) -> str:
    root = plain(outcome.root)
    uses = (
        f"uses Octet on this machine, as project {outcome.project}"
        if outcome.opted_in
        else "no longer uses Octet on this machine"
    )
    lines = [f"{root} {uses}."]
    if outcome.opted_in and (worktree := find_worktree(start)) and not worktree.is_main:
        lines.append(f"  ({plain(str(worktree.path))} is a worktree of it, and takes part with it)")
    lines += [
        f"  {change.action:8} {plain(change.path)}{': ' + change.why if change.why else ''}"
        for change in outcome.changes
    ]
    if outcome.opted_in:
        lines.append("Approved:")
    for setting, value in outcome.approved.items():
        again = "  (changed since you approved it last)" if setting in outcome.renewed else ""
        lines.append(f"  {LABELS[setting]:8} {_visible(value) or UNSET[setting]}{again}")
    lines += [f"Note: {notice}" for notice in outcome.notices]
    lines += [f"Next: {step}" for step in outcome.next]
    return "\n".join(lines)


def _visible(value: str) -> str:
    """A setting in full, with escapes for characters that a terminal hides or acts on."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
