"""`octet pipeline …`"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from octet.base.errors import UsageError
from octet.base.text import age
from octet.cli._common.output import table
from octet.cli._common.primitives import (
    Output,
    Verbs,
    lease_option,
    result_value,
    show,
    text_option,
    token_argument,
    wait_option,
)
from octet.patterns.item_commands import ItemCommand
from octet.patterns.pipeline import LEASE_S, Pipeline, Step
from octet.patterns.pipeline_files import read_step, read_steps
from octet.patterns.runs import Space

pipeline_group = Verbs(
    "pipeline",
    Space.pipeline,
    "Steps in order: start, step start, step done, step fail, step extend, wait, show, list, "
    "clear; run does them all here.",
)
pipeline_group.deletion("clear", "cleared", "Delete a pipeline with its results.")
step_group = Verbs("step", Space.pipeline, "Do a step yourself: start, done, fail, extend.")
pipeline_group.add_command(step_group)


@pipeline_group.verb("start", ttl=True)
@click.argument("steps", metavar="STEP…", nargs=-1, required=True)
def start(pipeline: Pipeline, steps: tuple[str, ...]) -> Output:
    """Set up the steps. A pipeline that has the same steps goes on with them."""
    new = pipeline.start(*steps)
    did = "set up" if new else "goes on with"
    return Output(
        {"pipeline": pipeline.name, "new": new}, f"{did} {len(steps)} steps of {pipeline.name}"
    )


@pipeline_group.verb("run", ttl=True)
@click.option(
    "--step",
    "given",
    multiple=True,
    metavar="NAME=COMMAND",
    help="A step; once for each, in order.",
)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    help="The steps from a .json, .toml or .md file.",
)
@wait_option("0s", "Wait for a step that another worker is doing.")
def run_pipeline(
    pipeline: Pipeline, given: tuple[str, ...], path: Path | None, wait_s: float
) -> Output:
    """Run each step's command by the shell. Its output is its result, and the next step's standard
    input.

    A step that fails stops the rest, with exit code 1; the same call again goes on with that step.
    """
    work = {
        step: _command(pipeline.name, step, command)
        for step, command in _steps(given, path).items()
    }
    found = pipeline.run(work, wait_s=wait_s)
    return Output(
        [{"pipeline": pipeline.name, **asdict(step)} for step in found], show(found[-1].result)
    )


@pipeline_group.verb("wait")
@click.option("--step", default="", metavar="STEP", help="The step to wait for; default: all.")
@wait_option()
def wait(pipeline: Pipeline, step: str, wait_s: float) -> Output:
    """Wait for the pipeline to be done, and print its result. Exit code 1 once a step fails."""
    steps = pipeline.wait(step, wait_s=wait_s)
    found = next(each for each in reversed(steps) if step in ("", each.name))
    return Output({"pipeline": pipeline.name, **asdict(found)}, show(found.result))


@pipeline_group.verb("show")
def show_pipeline(pipeline: Pipeline, now_ms: int) -> Output:
    """Show the steps and their states."""
    steps = pipeline.steps()
    rows = [
        [
            step.name,
            _state(step, now_ms),
            age(step.at_ms, now_ms),
            step.worker,
            show(step.result, 80) if step.result else step.reason,
        ]
        for step in steps
    ]
    return Output(
        [asdict(step) for step in steps], table(["STEP", "STATE", "FOR", "WORKER", "RESULT"], rows)
    )


@pipeline_group.verb("list", named=False)
def list_pipelines(space: Space) -> Output:
    """List all pipelines with their steps."""
    found = {name: space.pipeline(name).steps() for name in space.names("pipeline")}
    rows = [
        [name, ", ".join(f"{step.name} {step.state}" for step in steps)]
        for name, steps in found.items()
    ]
    data = [
        {"pipeline": name, "steps": [asdict(step) for step in steps]}
        for name, steps in found.items()
    ]
    return Output(data, table(["PIPELINE", "STEPS"], rows) if rows else "no pipelines")


@step_group.verb("start", ttl=True)
@click.argument("step", required=False, default="")
@wait_option("0s", "Wait until the steps before it are done.")
@lease_option(LEASE_S, "How long the step is yours alone.")
@click.option("--again", is_flag=True, help="Even if it has failed.")
def start_step(
    pipeline: Pipeline, worker: str, step: str, wait_s: float, lease_s: float, again: bool
) -> Output:
    """Begin STEP (default: the first that is not done): prints the result of the step before, then
    `step` and `token`, each on its own line.
    """
    claim = pipeline.begin(step, wait_s=wait_s, lease_s=lease_s, worker=worker, again=again)
    given = [] if claim.given is None else [show(claim.given)]
    return Output(claim, "\n".join([*given, f"step {claim.step}", f"token {claim.token}"]))


@step_group.verb("done", ttl=True)
@token_argument
@click.argument("result", required=False, default="", callback=result_value)
@text_option
def done(pipeline: Pipeline, token: str, result: Any) -> Output:
    """Store a step's RESULT (JSON or text; `-`: all of standard input)."""
    left = pipeline.done(token, result)
    return Output(
        {"pipeline": pipeline.name, "token": token, "left": left}, f"done, {left} steps are left"
    )


@step_group.verb("fail", ttl=True)
@token_argument
@click.argument("reason")
def fail(pipeline: Pipeline, token: str, reason: str) -> Output:
    """Mark a step as failed: the steps after it are not begun, and waiters are told."""
    pipeline.fail(token, reason)
    return Output(
        {"pipeline": pipeline.name, "token": token, "failed": True},
        "it has failed; `step start --again` tries once more",
    )


@step_group.verb("extend", ttl=True)
@token_argument
@lease_option(LEASE_S, "The lease from now on.")
def extend(pipeline: Pipeline, token: str, lease_s: float) -> Output:
    """Extend the step's lease."""
    pipeline.renew(token, lease_s)
    return Output({"pipeline": pipeline.name, "token": token}, f"yours for {lease_s:g} s more")


def _steps(given: tuple[str, ...], path: Path | None) -> Mapping[str, str]:
    if bool(given) == bool(path):
        raise UsageError("give the steps, each by --step 'NAME=COMMAND' or all by --file")
    if path:
        return read_steps(path)
    pairs = [read_step(text) for text in given]
    if len(dict(pairs)) < len(pairs):
        raise UsageError("two steps have the same name")
    return dict(pairs)


def _command(name: str, step: str, command: str) -> Callable[[Any], Any]:
    def do(given: Any) -> Any:
        shell = ItemCommand(
            ["/bin/sh", "-c", command], {"OCTET_PIPELINE": name, "OCTET_STEP": step}, fill=False
        )
        return shell.run("" if given is None else given)

    return do


def _state(step: Step, now_ms: int) -> str:
    return "running, its lease is over" if step.until_ms and step.until_ms <= now_ms else step.state
