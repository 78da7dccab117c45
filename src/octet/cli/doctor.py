"""`octet doctor`: what stops Octet on this machine or in this repository, and how to repair it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from octet import __version__
from octet.base.dirs import state_dir
from octet.base.errors import NoProject, OctetError
from octet.base.text import plain
from octet.cli._common.context import start_directory
from octet.cli._common.output import emit, json_option
from octet.client import api
from octet.daemon.process import control
from octet.git.program import Git
from octet.install import fence
from octet.patterns.inventory import list_without_expiry
from octet.project import trust
from octet.project.repository import Project, find_root, load_project
from octet.store import connection
from octet.store.embedded import server_directory
from octet.store.embedded.data import damaged_files
from octet.store.failures import describe
from octet.store.health import examine as examine_store
from octet.store.keys import Keys
from octet.store.scripts import Store

MAX_NAMED = 10


@dataclass(frozen=True)
class CheckResult:
    """The result of one check; `ok` is None if there was nothing to check."""

    subject: str
    ok: bool | None
    detail: str


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> int:
    """Check this machine and repository; say how to repair them. Exit code 1 if one is wrong."""
    findings = list(examine(_start()))
    marks = {True: "ok  ", False: "BAD ", None: "-   "}
    lines = [
        f"{marks[finding.ok]} {finding.subject:<12} {plain(finding.detail, 400)}"
        for finding in findings
    ]
    emit(findings, "\n".join(lines), as_json)
    return int(any(finding.ok is False for finding in findings))


def examine(start: Path) -> Iterator[CheckResult]:
    """Every check, from the ground up."""
    yield CheckResult(
        "octet",
        True,
        f"{__version__} in {Path(__file__).parents[1]}, Python {sys.version.split()[0]}",
    )
    yield _checked("git", lambda: Git(start).out("--version"))
    yield _checked("hooks", _interpreter)
    project = None
    try:
        project = _project(start)
        yield CheckResult("repository", True, f"{project.root}, project {project.name}")
        yield _approval(project)
        yield _fence(project)
    except NoProject as error:
        yield CheckResult("repository", None, str(error))
    except OctetError as error:
        yield CheckResult("repository", False, str(error))
    # Outside a project no server is wanted: looking for trouble must not start one.
    yield (
        _checked("store", lambda: _store(project))
        if project or os.environ.get(connection.URL_VARIABLE)
        else CheckResult("store", None, "no project, no server")
    )
    if project:
        yield from _settings(project)
        yield _checked("own keys", lambda: _endless(project))
    yield _daemon()


def _checked(subject: str, check: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(subject, True, check())
    except OctetError as error:
        return CheckResult(subject, False, str(error))


def _start() -> Path:
    try:
        return start_directory() or Path.cwd()
    except OSError as error:
        raise NoProject("the current directory is gone: change into a repository") from error


def _project(start: Path) -> Project:
    root = find_root(start)
    if root is None:
        raise NoProject(f"{start} is in no repository that uses Octet: `octet init` opts one in")
    return load_project(root)


def _approval(project: Project) -> CheckResult:
    found = trust.check(project)
    if not found.approved:
        return CheckResult(
            "approval",
            False,
            f"this machine has not approved {project.root}: look at .claude/octet.toml, then "
            "run `octet init`",
        )
    refusals = [refusal for setting in found.changed if (refusal := found.command_refusal(setting))]
    return CheckResult("approval", not refusals, "; ".join(refusals) or "this machine takes part")


def _fence(project: Project) -> CheckResult:
    if project.common_dir is None or not trust.check(project).approved:
        return CheckResult(
            "fence", None, "guards the protected branches of a git repository that takes part"
        )
    try:
        state = fence.examine(project)
    except OctetError as error:
        return CheckResult("fence", False, str(error))
    return CheckResult("fence", state.ok, state.detail)


def _interpreter() -> str:
    record = state_dir() / "interpreter"
    try:
        python = record.read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError) as error:
        raise OctetError(
            f"{record} cannot be read: run `octet init` in a repository, which writes it"
        ) from error
    if not os.access(python, os.X_OK):
        raise OctetError(f"{python} of {record} is gone: run `octet init`, which finds another")
    on_path = shutil.which("octet")
    return f"run by {python}" + (
        "" if on_path else "; `octet` is not on PATH, which the drop-in needs"
    )


def _store(project: Project | None) -> str:
    url = api.store_url(project) if project else connection.resolve_url(None, os.environ, None)
    with connection.connect(url) as client:
        described = describe(client)
        with connection.translate_errors(client):
            info = client.info("server")
    return f"{described}, version {info['redis_version']}"


def _settings(project: Project) -> Iterator[CheckResult]:
    """What will hurt though the store answers, and how our own server's last failure ended."""
    url = api.store_url(project)
    try:
        client = connection.connect(url)
    except OctetError:
        return  # the store's own line has said it
    with client:
        try:
            for trouble in examine_store(Store(client, Keys(project.name))):
                yield CheckResult(trouble.subject, False if trouble.grave else None, trouble.what)
        except OctetError as error:
            yield CheckResult("writes", False, str(error))
    if not url and (damaged := damaged_files(server_directory())):
        names = ", ".join(file.name for file in damaged)
        yield CheckResult(
            "disk",
            None,
            f"an end that was cut off is kept in {server_directory()}: {names}; delete it "
            "when nothing is missed",
        )


def _endless(project: Project) -> str:
    """Keys for people's own use that never expire: nothing is broken, and no other part tells."""
    url = api.store_url(project)
    with connection.connect(url) as client:
        found = list_without_expiry(Store(client, Keys(project.name)))
    if not found:
        return "each has a time to live"
    names = ", ".join(
        f"{thing.kind} {thing.name}{f' of run {thing.run}' if thing.run else ''}"
        for thing in found[:MAX_NAMED]
    )
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return (
        f"{len(found)} without a time to live: {names}{more}; `octet gc --older-than 2d "
        "--dry-run` shows the unused ones"
    )


def _daemon() -> CheckResult:
    status = control.status()
    if status is None:
        return CheckResult("daemon", None, "not running; a hook or `octet daemon start` starts it")
    ok = status.version == __version__
    newer = (
        "" if ok else f", but this is {__version__}: run `octet daemon start`, which replaces it"
    )
    return CheckResult(
        "daemon",
        ok,
        f"version {status.version}, pid {status.pid}, {status.agents} live agents{newer}",
    )
