"""`octet task rescue`."""

from __future__ import annotations

from pathlib import Path

import click

from octet.base.errors import NotFound, Refused
from octet.cli._common.context import opened, project_of, start_directory
from octet.cli._common.output import emit, json_option
from octet.git.program import Git
from octet.git.snapshot import RESCUE, list_snapshots
from octet.project.repository import Project, find_worktree
from octet.worktree.rescue import apply_rescue, list_rescues


@click.command("rescue")
@click.argument("task_id", metavar="ID")
@click.option("--list", "only_list", is_flag=True, help="Only show what was kept.")
@click.option("--ref", help="Which snapshot; default: the latest.")
@json_option
def rescue(task_id: str, only_list: bool, ref: str | None, as_json: bool) -> None:
    """Apply the work that an ended claim on ID left to this worktree, which must be clean."""
    with opened() as octet:
        project = project_of(octet)
        if only_list:
            _list(project, task_id, as_json)
            return
        worktree = find_worktree(start_directory() or Path.cwd())
        if worktree is None or worktree.is_main or worktree.common_dir != project.common_dir:
            raise Refused(
                f"apply it in a worktree of your own: `octet worktree add {task_id}`, then "
                "run this there"
            )
        chosen = ref or next(iter(list_snapshots(Git(project.root), task_id)), "")
        if not chosen:
            raise NotFound(f"nothing was kept of {task_id}")
        if not chosen.startswith(RESCUE):
            raise NotFound(f"{chosen} is no rescue ref: see --list")
        said = apply_rescue(Git(worktree.path), chosen)
    emit({"ref": chosen, "worktree": str(worktree.path)}, said, as_json)


def _list(project: Project, task_id: str, as_json: bool) -> None:
    kept = list_rescues(project, task_id)
    data = [{"ref": ref, "size": size} for ref, size in kept]
    lines = "\n".join(f"{ref}  {size}" for ref, size in kept)
    emit(data, lines or "nothing was kept", as_json)
