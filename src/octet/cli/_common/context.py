"""The project and the store that a command works on, by its directory and the root options."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from octet.base.errors import NoProject, OctetError, UsageError
from octet.client.api import Octet, connect, open_project, store_url
from octet.project.repository import Project
from octet.store.connection import URL_VARIABLE, resolve_url


@contextmanager
def opened(wait_s: float = 0.0) -> Iterator[Octet]:
    """The `Octet` of the directory that the command runs in, or that -C names."""
    url = _given().get("redis_url")
    with connect(start_directory(), url=url, wait_s=wait_s) as octet:
        if octet.project and os.environ.get("OCTET_DAEMON") != "never":
            _have_served(octet.project.root, url or os.environ.get(URL_VARIABLE, ""))
        yield octet


def _have_served(root: Path, url: str) -> None:
    """Make sure that a daemon serves the project. A command works without one, but until one runs,
    dead agents keep what they hold.
    """
    from octet.daemon.process import control

    try:
        control.serve(root, url)
    except OctetError as error:
        click.echo(f"octet: {error}", err=True)


def start_directory() -> Path | None:
    """The directory that -C names; None for the current one."""
    directory = _given().get("directory")
    return Path(directory) if directory else None


def store_of_directory() -> str | None:
    """The URL set for this directory, None for the embedded server. Needs no repository."""
    explicit = _given().get("redis_url")
    try:
        return store_url(open_project(start_directory()), explicit)
    except NoProject:
        return resolve_url(explicit, os.environ, None)


def given_url() -> str:
    """The store's URL by --redis; "" without it."""
    return _given().get("redis_url") or ""


def _given() -> dict[str, str | None]:
    """The root command's own options."""
    return click.get_current_context().find_root().obj or {}


def project_of(octet: Octet) -> Project:
    """The project, which must be a git repository.

    Raises:
        UsageError: it is not.
    """
    if octet.project is None or octet.project.common_dir is None:
        raise UsageError("this needs a git repository: run `git init` and make a first commit")
    return octet.project
