"""The policy for git's hooks when no daemon, or no store, answers.

exit_code, stdout, stderr = decide(payload, "/srv/shop", "Redis does not answer")
"""

from __future__ import annotations

from pathlib import Path

from octet.base.errors import ConfigError, NoProject, OctetError
from octet.base.process import identify
from octet.fence import attempt as fence
from octet.guard import policy
from octet.guard.failsafe import unread_project
from octet.guard.reply import Reply
from octet.project.repository import load_project


def decide(raw: bytes, root: str | Path, why: str) -> Reply:
    """The answer to a question of git's hooks: an agent follows `on_store_down`, a person goes on.
    Never raises.
    """
    try:
        attempt = fence.parse(raw)
    except OctetError:
        return Reply()  # asked by hand
    if not is_of_an_agent(attempt):
        return Reply()
    try:
        try:
            project = load_project(root)
        except (ConfigError, NoProject) as error:
            # Breaking or removing the file must not switch the fence off.
            project, why = unread_project(root), str(error)
        needs = fence.fence_needs(attempt, project)
        return fence.render(policy.judge(needs, policy.StoreDown(why), project))
    except Exception as error:  # noqa: BLE001 - the hook's edge: a broken fence must still stand
        return fence.render(
            policy.Verdict(
                "deny",
                f"{why}, and Octet cannot check this ({type(error).__name__}): run `octet doctor`",
            )
        )


def is_of_an_agent(attempt: fence.Attempt) -> bool:
    """Whether an agent is behind an attempt, as far as that shows without the registry."""
    return (
        attempt.near
        or bool(attempt.agent or attempt.token)
        or identify(attempt.claude_pid) is not None
    )
