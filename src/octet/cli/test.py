"""`octet test …`"""

from __future__ import annotations

import click

from octet.base.errors import NothingToClaim, Refused, StaleToken
from octet.base.vocabulary import TEST, TEST_ORCHESTRATOR
from octet.cli._common.caller import own_process
from octet.cli._common.context import opened, project_of
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.tasks.record import Task, TaskState
from octet.core.tasks.waiting import claim_when_there
from octet.merge.settings import MergeSettings, approved_test_command, read_merge_settings
from octet.merge.test_gate import GateResult, run_test_gate

STORE_WAIT_S = 5.0


@click.group()
def test_group() -> None:
    """The test gate: run."""


@test_group.command("run")
@click.argument("task_id", metavar="[ID]", required=False)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="All that wait, one after the other, until no work comes for --wait.",
)
@click.option(
    "--wait",
    "wait_s",
    type=Duration(),
    default="0s",
    metavar="TIME",
    help="Wait for work, as in 90s, 10m or 2h.",
)
@json_option
def run(task_id: str | None, everything: bool, wait_s: float, as_json: bool) -> None:
    """Run the project's tests on submitted work (the first that waits, or ID) combined with the
    protected branch; keep the evidence.

    Work that passes goes on to the next stage; work that fails goes back to its developer. Exit
    code 1 if the last tests failed or could not be run.
    """
    failed = ""
    with opened(wait_s=STORE_WAIT_S if wait_s else 0.0) as octet:
        project = project_of(octet)
        settings = read_merge_settings(project, approved_test_command(project))
        with own_process(octet, TEST_ORCHESTRATOR) as register:
            agent = register()
            task: Task | None = _claim(octet, agent, task_id, wait_s)
            while task:
                result = _run_gate(octet, settings, task)
                emit(result, result.text, as_json)
                failed = "" if result.passed else result.text
                goes_on = everything and not result.waiting
                task = _claim_next(octet, agent, wait_s) if goes_on else None
    if failed:
        raise Refused(failed)


def _run_gate(octet: Octet, settings: MergeSettings, task: Task) -> GateResult:
    try:
        return run_test_gate(octet, settings, task)
    except StaleToken as stale:
        raise Refused(
            f"the claim on {task.id} was lost while its tests ran: run them again"
        ) from stale
    except BaseException:
        octet.tasks.release(task.id, task.token, "the test run was ended")
        raise


def _claim(octet: Octet, agent: Agent, task_id: str | None, wait_s: float) -> Task:
    held = octet.tasks.held_by(agent.id)
    left = next((task for task in held if task.state == TaskState.TESTING), None)
    if left and task_id in {None, left.id}:
        return left
    if wait_s and not task_id:
        return claim_when_there(octet.store, agent, TEST, wait_s)
    return octet.tasks.claim(agent, TEST, task_id)


def _claim_next(octet: Octet, agent: Agent, wait_s: float) -> Task | None:
    try:
        return _claim(octet, agent, None, wait_s)
    except NothingToClaim:
        return None
