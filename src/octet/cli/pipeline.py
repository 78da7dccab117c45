"""`octet pipeline …`"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from octet.base.errors import NothingThere, UsageError
from octet.base.text import age
from octet.cli._common.caller import caller
from octet.cli._common.context import opened
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option, table
from octet.cli.own_use import (
    WAIT,
    read_result,
    run_option,
    show,
    space,
    text_option,
    ttl_option,
    wait_option,
)
from octet.patterns.item_commands import ItemCommand
from octet.patterns.pipeline import LEASE_S, Step
from octet.patterns.pipeline_files import read_step, read_steps

LEASE = f"{LEASE_S / 60:.0f}m"
name_argument = click.argument("name")
token_argument = click.argument("token")


@click.group()
def pipeline_group() -> None:
    """Steps that follow one another: start, step start, step done, step fail, wait, show, list,
    clear; run does them all here.
    """


@pipeline_group.command("start")
@name_argument
@click.argument("steps", metavar="STEP…", nargs=-1, required=True)
@ttl_option
@run_option
@json_option
def start(
    name: str, steps: tuple[str, ...], ttl_s: float | None, run: str | None, as_json: bool
) -> None:
    """Set up the steps, none of them begun. A pipeline that has the same ones goes on where it is."""
    with space(run) as where:
        new = where.pipeline(name, ttl_s=ttl_s).start(*steps)
    emit(
        {"pipeline": name, "new": new},
        f"{'set up' if new else 'goes on with'} {len(steps)} steps of {name}",
        as_json,
    )


@pipeline_group.command("run")
@name_argument
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
@wait_option("0s", "Wait for a step that somebody else is doing.")
@ttl_option
@run_option
@json_option
def run_pipeline(
    name: str, given: tuple[str, ...], path: Path | None, wait_s: float, ttl_s: float | None, run: str | None, as_json: bool
) -> None:  # fmt: skip
    """Run each step's command by the shell. What one prints is its result, and the next one's
    standard input.

    A step that fails stops what follows, with exit code 1; the same call again goes on with that
    step, not with those done.
    """
    steps = _steps(given, path)
    work = {step: _command(name, step, command) for step, command in steps.items()}
    with space(run) as where:
        found = where.pipeline(name, ttl_s=ttl_s).run(work, wait_s=wait_s)
    emit([{"pipeline": name, **asdict(step)} for step in found], show(found[-1].result), as_json)


@pipeline_group.command("wait")
@name_argument
@click.option(
    "--step", default="", metavar="STEP", help="Until that one is done; default: all of them."
)
@wait_option(WAIT, "For at most so long.")
@run_option
@json_option
def wait(name: str, step: str, wait_s: float, run: str | None, as_json: bool) -> None:
    """Wait until it is done, and print the result. Exit code 1 as soon as a step fails."""
    with space(run) as where:
        steps = where.pipeline(name).wait(step, wait_s=wait_s)
    found = next(each for each in reversed(steps) if step in ("", each.name))
    emit({"pipeline": name, **asdict(found)}, show(found.result), as_json)


@pipeline_group.command("show")
@name_argument
@run_option
@json_option
def show_pipeline(name: str, run: str | None, as_json: bool) -> None:
    """Its steps and how they stand."""
    with opened() as octet:
        steps, now = (octet.run(run) if run else octet).pipeline(name).steps(), octet.now_ms()
    rows = [
        [
            step.name,
            _state(step, now),
            age(step.at_ms, now),
            step.worker,
            show(step.result, 80) if step.result else step.reason,
        ]
        for step in steps
    ]
    emit(
        [asdict(step) for step in steps],
        table(["STEP", "STATE", "FOR", "WORKER", "RESULT"], rows),
        as_json,
    )


@pipeline_group.command("list")
@run_option
@json_option
def list_pipelines(run: str | None, as_json: bool) -> None:
    """Every pipeline and its steps."""
    with space(run) as where:
        found = {name: where.pipeline(name).steps() for name in where.names("pipeline")}
    rows = [
        [name, ", ".join(f"{step.name} {step.state}" for step in steps)]
        for name, steps in found.items()
    ]
    shown = table(["PIPELINE", "STEPS"], rows) if rows else "no pipelines"
    emit(
        [
            {"pipeline": name, "steps": [asdict(step) for step in steps]}
            for name, steps in found.items()
        ],
        shown,
        as_json,
    )


@pipeline_group.command("clear")
@name_argument
@run_option
@json_option
def clear(name: str, run: str | None, as_json: bool) -> None:
    """Delete a pipeline with its results."""
    with space(run) as where:
        if not where.pipeline(name).clear():
            raise NothingThere(f"there is no pipeline {name}")
    emit({"pipeline": name, "cleared": True}, f"cleared pipeline {name}", as_json)


@pipeline_group.group("step")
def step_group() -> None:
    """Do a step yourself: start, done, fail, extend."""


@step_group.command("start")
@name_argument
@click.argument("step", required=False, default="")
@wait_option("0s", "Wait until those before it are done.")
@click.option(
    "--lease",
    "lease_s",
    type=Duration(),
    default=LEASE,
    show_default=True,
    metavar="TIME",
    help="Yours alone for so long.",
)
@click.option("--again", is_flag=True, help="Also if it failed before.")
@ttl_option
@run_option
@json_option
def start_step(
    name: str, step: str, wait_s: float, lease_s: float, again: bool, ttl_s: float | None, run: str | None, as_json: bool
) -> None:  # fmt: skip
    """Begin STEP (default: the first that is not done): the result of the step before, then `step`
    and `token`, each on its own line.
    """
    with opened() as octet:
        worker, where = caller(octet).id, octet.run(run) if run else octet
        turn = where.pipeline(name, ttl_s=ttl_s).begin(
            step, wait_s=wait_s, lease_s=lease_s, worker=worker, again=again
        )
    given = [] if turn.given is None else [show(turn.given)]
    emit(turn, "\n".join([*given, f"step {turn.step}", f"token {turn.token}"]), as_json)


@step_group.command("done")
@name_argument
@token_argument
@click.argument("result", required=False, default="")
@text_option
@ttl_option
@run_option
@json_option
def done(
    name: str,
    token: str,
    result: str,
    as_text: bool,
    ttl_s: float | None,
    run: str | None,
    as_json: bool,
) -> None:
    """A step is done: RESULT is JSON or text, `-` all of standard input."""
    value = read_result(result, as_text)
    with space(run) as where:
        left = where.pipeline(name, ttl_s=ttl_s).done(token, value)
    emit({"pipeline": name, "token": token, "left": left}, f"done, {left} steps are left", as_json)


@step_group.command("fail")
@name_argument
@token_argument
@click.argument("reason")
@ttl_option
@run_option
@json_option
def fail(
    name: str, token: str, reason: str, ttl_s: float | None, run: str | None, as_json: bool
) -> None:
    """A step failed: what follows it is not begun, whoever waits for it is told."""
    with space(run) as where:
        where.pipeline(name, ttl_s=ttl_s).fail(token, reason)
    emit(
        {"pipeline": name, "token": token, "failed": True},
        "it has failed; `step start --again` tries once more",
        as_json,
    )


@step_group.command("extend")
@name_argument
@token_argument
@click.option(
    "--lease",
    "lease_s",
    type=Duration(),
    default=LEASE,
    show_default=True,
    metavar="TIME",
    help="From now on.",
)
@ttl_option
@run_option
@json_option
def extend(
    name: str, token: str, lease_s: float, ttl_s: float | None, run: str | None, as_json: bool
) -> None:
    """Go on with a step: its lease ends so long from now."""
    with space(run) as where:
        where.pipeline(name, ttl_s=ttl_s).renew(token, lease_s)
    emit({"pipeline": name, "token": token}, f"yours for {lease_s:g} s more", as_json)


def _steps(given: tuple[str, ...], path: Path | None) -> Mapping[str, str]:
    if bool(given) == bool(path):
        raise UsageError("name the steps, by --step 'NAME=COMMAND' for each or by --file")
    if path:
        return read_steps(path)
    pairs = [read_step(text) for text in given]
    if len(dict(pairs)) < len(pairs):
        raise UsageError("two steps are called alike")
    return dict(pairs)


def _command(name: str, step: str, command: str) -> Callable[[Any], Any]:
    def do(given: Any) -> Any:
        shell = ItemCommand(
            ["/bin/sh", "-c", command], {"OCTET_PIPELINE": name, "OCTET_STEP": step}, fill=False
        )
        return shell.run("" if given is None else given)

    return do


def _outcome(step: Step) -> str:
    return step.reason if step.result is None else show(step.result, 80)


def _state(step: Step, now_ms: int) -> str:
    return "running, its lease is over" if step.until_ms and step.until_ms <= now_ms else step.state
