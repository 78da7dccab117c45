"""The policy when no daemon answers: run inside the hook's own process, on the bare interpreter.

    exit_code, stdout, stderr = decide(payload, "/srv/shop", "Octet's daemon does not start: the disk is full")

The same policy as ever, with `StoreDown` as the answer. Never raises: what cannot be decided is blocked, with the reason.
"""

from __future__ import annotations

from pathlib import Path

from octet.config import Config
from octet.errors import ConfigError, NoProject, OctetError
from octet.guard import fence, payload, policy
from octet.guard.reply import Reply, render_verdict
from octet.process import identify
from octet.project import Project, common_dir_of, find_root, load_project

GUARD = "PreToolUse"


def decide(raw: bytes, root: str | Path, why: str) -> Reply:
    """The answer to a PreToolUse in the opted-in repository `root`. `why`: in one line, without a full stop, what is wrong."""
    try:
        return _decide(raw, root, why)
    except OctetError as error:
        return _block(str(error))
    except Exception as error:  # noqa: BLE001 - the hook's edge: a guard that breaks must still guard
        return _block(f"{why}, and Octet cannot check this call itself ({type(error).__name__}): run `octet doctor`")


def _decide(raw: bytes, root: str | Path, why: str) -> Reply:
    event = payload.parse(raw, {"event": GUARD})
    try:
        project = load_project(find_root(root) or root)
    except NoProject:
        return Reply()  # it opted out between the launcher's look and ours
    except ConfigError as error:
        project, why = _unread_project(root), str(error)
    return render_verdict(policy.judge(policy.needs(event, project), policy.StoreDown(why), project))


def decide_fence(raw: bytes, root: str | Path, why: str) -> Reply:
    """The same for git's own hooks: an agent follows `on_store_down`, a person is never held up. Never raises."""
    try:
        attempt = fence.parse(raw)
    except OctetError:
        return Reply()  # asked by hand
    if not is_agents(attempt):
        return Reply()
    try:
        try:
            project = load_project(root)
        except (ConfigError, NoProject) as error:  # to break or remove the file must not switch the fence off
            project, why = _unread_project(root), str(error)
        needs = fence.fence_needs(attempt, project)
        return fence.render(policy.judge(needs, policy.StoreDown(why), project))
    except Exception as error:  # noqa: BLE001 - the hook's edge: a fence that breaks must still stand
        return fence.render(policy.Verdict("deny", f"{why}, and Octet cannot check this ({type(error).__name__}): run `octet doctor`"))


def is_agents(attempt: fence.Attempt) -> bool:
    """Whether an agent is behind an attempt, as far as can be told without the registry."""
    return attempt.near or bool(attempt.agent or attempt.token) or identify(attempt.claude_pid) is not None


def _unread_project(root: str | Path) -> Project:
    """A repository whose settings cannot be read keeps the strictest ones: breaking the file must not switch the guard off."""
    real = Path(root)
    return Project("unknown", real, Config("unknown"), common_dir_of(real))


def _block(reason: str) -> Reply:
    return render_verdict(policy.Verdict("deny", f"Octet blocks what it cannot check: {reason}"))
