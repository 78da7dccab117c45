"""The policy when no daemon answers: run in the hook's own process, on the bare interpreter.

    exit_code, stdout, stderr = decide(payload, "/srv/shop", "Octet's daemon does not start: …")

The same policy, with `StoreDown` as the answer. Never raises: a call that cannot be judged is
blocked, with the reason.
"""

from __future__ import annotations

from pathlib import Path

from octet.base.errors import ConfigError, NoProject, OctetError
from octet.guard import payload, policy
from octet.guard.reply import Reply, render_verdict
from octet.project.config import Config
from octet.project.repository import Project, common_dir_of, find_root, load_project

GUARD = "PreToolUse"


def decide(raw: bytes, root: str | Path, why: str) -> Reply:
    """The answer to a PreToolUse in the opted-in repository `root`. `why`: in one line, without a
    full stop, what is wrong.
    """
    try:
        return _decide(raw, root, why)
    except OctetError as error:
        return _block(str(error))
    except Exception as error:  # noqa: BLE001 - the hook's edge: a broken guard must still guard
        return _block(
            f"{why}, and Octet cannot check this call itself ({type(error).__name__}): run "
            "`octet doctor`"
        )


def _decide(raw: bytes, root: str | Path, why: str) -> Reply:
    event = payload.parse(raw, {"event": GUARD})
    try:
        project = load_project(find_root(root) or root)
    except NoProject:
        return Reply()  # it opted out after the launcher looked
    except ConfigError as error:
        project, why = unread_project(root), str(error)
    return render_verdict(
        policy.judge(policy.find_needs(event, project), policy.StoreDown(why), project)
    )


def unread_project(root: str | Path) -> Project:
    """A repository whose settings cannot be read keeps the strictest ones: breaking the file must
    not switch the guard off.
    """
    real = Path(root)
    return Project("unknown", real, Config("unknown"), common_dir_of(real))


def _block(reason: str) -> Reply:
    return render_verdict(policy.Verdict("deny", f"Octet blocks what it cannot check: {reason}"))
