"""`octet task rescue`."""

from __future__ import annotations

from pathlib import Path

import click

from octet.base.errors import NotFound, Refused
from octet.cli._common.context import opened, project_of, start_directory
from octet.cli._common.output import emit, json_option
from octet.git.program import Git
from octet.git.snapshot import RESCUE, list_snapshots
from octet.project.repository import find_worktree
from octet.worktree.rescue import apply_rescue, rescues_of


@click.command("rescue")
@click.argument("task_id", metavar="ID")
@click.option("--list", "only_list", is_flag=True, help="Only show what was kept.")
@click.option("--ref", help="Which of them; default: the latest.")
@json_option
def rescue(task_id: str, only_list: bool, ref: str | None, as_json: bool) -> None:
    """Bring the work that an ended claim on ID left into this worktree, which must be clean."""
    with opened() as octet:
        project = project_of(octet)
        if only_list:
            kept = rescues_of(project, task_id)
            emit(
                [{"ref": ref, "size": size} for ref, size in kept],
                "\n".join(f"{r}  {s}" for r, s in kept) or "nothing was kept",
                as_json,
            )
            return
        found = find_worktree(start_directory() or Path.cwd())
        if found is None or found.is_main or found.common_dir != project.common_dir:
            raise Refused(
                f"apply it in a worktree of your own: `octet worktree add {task_id}`, and "
                "run this there"
            )
        chosen = ref or next(iter(list_snapshots(Git(project.root), task_id)), "")
        if not chosen.startswith(RESCUE):
            raise NotFound(
                f"nothing was kept of {task_id}"
                if not chosen
                else f"{chosen} is no rescue ref: see --list"
            )
        said = apply_rescue(Git(found.path), chosen)
    emit({"ref": chosen, "worktree": str(found.path)}, said, as_json)
