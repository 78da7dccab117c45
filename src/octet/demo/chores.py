"""`demo-chore`: what the demo's agents do with git, each a command of one line.

demo-chore worktree TASK ATTEMPT    a worktree for the caller's claim
demo-chore land TASK COMMIT         claim for the merge, take the repository's lock, merge and test, complete
demo-chore refuse TASK GATE         claim for the merge and send the task back
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from octet.api import Octet, connect
from octet.demo.sample import BRANCH, load_sample
from octet.errors import OctetError, Refused
from octet.git import Git
from octet.identity import current_agent
from octet.landing import Conflict, Landed, Outcome, Strategy, Target, TestsFailed, Unusable, Waiting, Work
from octet.merge import land as land_works
from octet.moving import clean_up_merged, move_in
from octet.project import Project
from octet.suite import Suite
from octet.tasks import Task

TEST_LIMIT_S = 120.0


def main() -> None:
    """Run the chore that the command line names."""
    name, *arguments = sys.argv[1:]
    try:
        with connect() as octet:
            assert octet.project is not None
            print(CHORES[name](octet, octet.project, arguments))
    except OctetError as error:
        print(f"demo-chore: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def plan(octet: Octet, _project: Project, arguments: Sequence[str]) -> str:
    sample, agent = load_sample(), current_agent(octet.agents)
    for job in map(sample.job, arguments):
        # Without its paths: the demo shows what happens when two branches meet in one file, and scopes would keep them apart.
        octet.tasks.add(job.title, priority=job.priority, task_id=job.id, created_by=agent.id)
    return f"{len(arguments)} tasks are queued"


def make_worktree(octet: Octet, _project: Project, arguments: Sequence[str]) -> str:
    task, attempt = arguments
    moved = move_in(octet, current_agent(octet.agents), octet.tasks.get(task), int(attempt))
    return f"{moved.branch} in {moved.path}"


def land(octet: Octet, project: Project, arguments: Sequence[str]) -> str:
    task_id, commit = arguments
    agent = current_agent(octet.agents)
    task = octet.tasks.claim(agent, "merge", task_id)
    resource = f"repository:{BRANCH}"
    token = octet.locks.acquire(agent, [resource])[resource]
    try:
        outcome = merge_task(project, task, commit)
    finally:
        octet.locks.release(resource, token)
    return settle(octet, task, outcome)


def refuse(octet: Octet, _project: Project, arguments: Sequence[str]) -> str:
    task_id, gate = arguments
    task = octet.tasks.claim(current_agent(octet.agents), "merge", task_id)
    octet.tasks.send_back(task.id, task.token, f"rejected by {gate}")
    return f"{task.id} goes back to a developer"


def merge_task(project: Project, task: Task, commit: str) -> Outcome:
    """Merge the commit that was approved; the branch may have moved on since, and that has been approved by nobody."""
    suite = Suite(project.config.test_command, TEST_LIMIT_S)
    works = [Work(task.id, task.title, commit, task.branch)]
    (outcome,) = land_works(Git(project.root), works, Target(BRANCH), strategy=Strategy.MERGE, suite=suite, scratch=worktrees_of(project))
    return outcome


def settle(octet: Octet, task: Task, outcome: Outcome) -> str:
    """Complete the task, or give it back for the reason that there is.

    Raises:
        Refused: the merge cannot be made as things are in the repository.
    """
    if isinstance(outcome, Landed):
        octet.tasks.complete(task.id, task.token, f"merged as {outcome.commit}", outcome.commit)
        clean_up_merged(octet, task.branch)
        return f"{task.id} is merged as {outcome.commit}"
    if isinstance(outcome, Waiting):
        octet.tasks.release(task.id, task.token, outcome.why)
        raise Refused(outcome.why)
    why = _reason(outcome)
    octet.events.publish("merge_failed", {"task": task.id, "conflict": isinstance(outcome, Conflict)})
    octet.tasks.send_back(task.id, task.token, why)
    return f"{task.id} goes back to a developer: {why}"


def _reason(outcome: Conflict | TestsFailed | Unusable) -> str:
    if isinstance(outcome, Conflict):
        return f"conflicts in {', '.join(outcome.paths)}"
    if isinstance(outcome, TestsFailed):
        return f"tests fail when merged: {outcome.evidence.tail[-1000:]}"
    return outcome.why


def worktrees_of(project: Project) -> Path:
    return project.root / project.config.worktree_directory


CHORES: dict[str, Callable[[Octet, Project, Sequence[str]], str]] = {
    "plan": plan,
    "worktree": make_worktree,
    "land": land,
    "refuse": refuse,
}
