"""`octet redis backup|restore|repair|fsync`: the data of the embedded server."""

from __future__ import annotations

from pathlib import Path

import click

from octet.base.errors import Refused
from octet.cli._common.context import store_of_directory
from octet.cli._common.output import confirmed, emit, json_option
from octet.store import embedded
from octet.store.address import parse_address
from octet.store.embedded import backups
from octet.store.embedded.launch import FSYNC

_INSTEAD = {
    "back up": "make a backup with its own means, such as `redis-cli --rdb FILE`",
    "restore": "restore it with its own means: stop it, put back its dump.rdb or append-only "
    "files, start it",
    "repair": "repair it with its own means: redis-check-aof or redis-check-rdb on its machine",
    "set": "set it there: `CONFIG SET appendfsync everysec` or `always`, and in its redis.conf",
}


@click.command("backup")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
def backup(file: Path | None, as_json: bool) -> None:
    """Write a backup of the embedded server's data to FILE, and load it in another to verify it.

    Without FILE, it goes to `backups/` in Octet's state directory.
    """
    _own_server("back up")
    made = backups.write_backup((file or backups.default_target()).absolute())
    emit(
        made,
        f"{made.path}: {made.bytes:,} bytes, {made.keys:,} keys of {made.projects} projects, "
        "loaded to check it",
        as_json,
    )


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--force",
    is_flag=True,
    help="Even while agents live: they lose what they hold, and learn so at their next step.",
)
@json_option
def restore(file: Path, yes: bool, force: bool, as_json: bool) -> None:
    """Replace the embedded server's data, of all projects, by the backup FILE. The present data is
    kept beside it.
    """
    _own_server("restore")
    if not (
        yes
        or confirmed(
            f"All projects of this machine go back to {file}; what was done since then is "
            "put aside. Restore it?"
        )
    ):
        raise Refused("nothing was restored")
    found = backups.restore(file.absolute(), force=force)
    kept = f"; the data before it is in {found.kept}" if found.kept else ""
    emit(found, f"restored {found.keys:,} keys of {found.projects} projects{kept}", as_json)


@click.command("repair")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def repair(yes: bool, as_json: bool) -> None:
    """Cut the embedded server's data off before its first damage, so that the server starts again.
    A copy of the damaged file is kept.
    """
    _own_server("repair")
    lost = backups.describe_damage()
    if lost and not (
        yes or confirmed(f"This cuts off {lost}, and what was written there is lost. Cut it?")
    ):
        raise Refused("nothing was cut off")
    done = backups.repair()
    facts = {"kept": str(done[0]) if done else None, "cut_bytes": done[1] if done else 0}
    emit(
        facts,
        f"cut off {done[1]:,} bytes; the file as it was is {done[0]}"
        if done
        else "nothing is damaged",
        as_json,
    )


@click.command("fsync")
@click.argument("policy", required=False, type=click.Choice(sorted(FSYNC)))
@json_option
def fsync(policy: str | None, as_json: bool) -> None:
    """Set how often the embedded server's data is made safe against a power failure: `everysec` or
    `always`. Without POLICY, show it.

    Neither loses data when a process or the server is killed. The setting holds for all projects of
    this machine.
    """
    _own_server("set")
    if policy:
        embedded.set_fsync_policy(policy)
    chosen = embedded.fsync_policy()
    emit({"fsync": chosen}, chosen, as_json)


def _own_server(what: str) -> None:
    """Raises: Refused: the store here is not the server that Octet runs itself; says what to do
    instead.
    """
    if url := store_of_directory():
        raise Refused(
            f"Octet does not {what} the Redis server at {parse_address(url)}, which it does "
            f"not run: {_INSTEAD[what]}"
        )
