"""The `octet` command: sub-commands are imported when called, and every error ends here."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from importlib import import_module

import click

from octet import __version__
from octet.base.errors import OctetError
from octet.base.text import plain

MAX_ERROR = 2000
READER_GONE = 141  # as a shell shows the end by SIGPIPE
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
COMPLETION = "_OCTET_COMPLETE"  # how a shell asks click for completions
# command → (module, attribute, one line for --help); `octet --help` imports none of them.
COMMANDS = {
    "init": (
        "octet.cli.init",
        "init_command",
        "Opt this repository in on this machine (--undo: out).",
    ),
    "up": ("octet.cli.up", "up_command", "Start the crew: a session of Claude Code for each role."),
    "down": (
        "octet.cli.up",
        "down_command",
        "End the crew; its tasks are finished, or released.",
    ),
    "demo": (
        "octet.cli.demo",
        "demo_command",
        "Watch a crew of eight build a feature in a sample repository.",
    ),
    "doctor": (
        "octet.cli.doctor",
        "doctor_command",
        "Check this machine and repository; say how to repair them.",
    ),
    "status": (
        "octet.cli.status",
        "status_command",
        "Show agents, tasks and locks.",
    ),
    "agent": ("octet.cli.agent", "agent_group", "Agents: list, show, join, leave."),
    "task": (
        "octet.cli.task",
        "task_group",
        "Tasks: add, import, list, show, graph, claim, submit, complete, fail, cancel, …",
    ),
    "review": ("octet.cli.review", "review_group", "Reviews: start, approve, reject, show."),
    "test": ("octet.cli.test", "test_group", "The test gate: run."),
    "merge": ("octet.cli.merge", "merge_group", "The merge queue: queue, run."),
    "worktree": (
        "octet.cli.worktree",
        "worktree_group",
        "Worktrees: add, list, remove, doctor, snapshot.",
    ),
    "lock": ("octet.cli.lock", "lock_group", "Locks: acquire, release, list, break."),
    "msg": ("octet.cli.msg", "msg_group", "Messages: send, inbox, ack."),
    "event": ("octet.cli.event", "event_group", "Events: publish, watch, log."),
    "queue": (
        "octet.cli.queue",
        "queue_group",
        "Work queues: push, reserve, ack, nack, pop, len, peek, stats, dead, wait, …",
    ),
    "state": (
        "octet.cli.state",
        "state_group",
        "Shared state: set, get, all, incr, delete, watch, wait, list.",
    ),
    "counter": (
        "octet.cli.counter",
        "counter_group",
        "Counters: incr, decr, get, set, reset, wait, list, delete.",
    ),
    "kv": ("octet.cli.kv", "kv_group", "Messages under keys: put, get, take, wait, list, delete."),
    "map": (
        "octet.cli.map",
        "map_group",
        "Parallel analysis: start, take, done, fail, wait, results, show, retry, clear, run, …",
    ),
    "pipeline": (
        "octet.cli.pipeline",
        "pipeline_group",
        "Steps that follow one another: start, step, wait, show, list, clear, run.",
    ),
    "errors": (
        "octet.cli.errors",
        "errors_group",
        "Errors that many report: add, list, count, check, limit, clear.",
    ),
    "progress": (
        "octet.cli.progress",
        "progress_group",
        "Progress: set, add, show, wait, list, delete.",
    ),
    "keys": (
        "octet.cli.keys",
        "keys_command",
        "The project's keys in the store, by kind: number, size, time to live.",
    ),
    "gc": (
        "octet.cli.gc",
        "gc_command",
        "Delete what a run left, or what has not been used for long.",
    ),
    "redis": (
        "octet.cli.redis",
        "redis_group",
        "The store: url, cli, monitor, slowlog, stop; its data: backup, restore, repair, fsync.",
    ),
    "daemon": ("octet.cli.daemon", "daemon_group", "The daemon: start, stop, status, logs."),
    "hook": (
        "octet.cli.hook",
        "hook_command",
        "Answer one Claude Code hook event from standard input.",
    ),
}


class LazyGroup(click.Group):
    """Imports a sub-command's module only when it is called: the daemon starts without rich, and
    help without redis.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="octet")
@click.option(
    "--redis",
    "redis_url",
    metavar="URL",
    help="Redis server; default: OCTET_REDIS_URL, octet.toml, else the embedded one.",
)
@click.option(
    "-C",
    "directory",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Act as if started in DIR.",
)
@click.pass_context
def cli(ctx: click.Context, redis_url: str | None, directory: str | None) -> None:
    """Many Claude Code sessions on one codebase: no two on the same task, file or merge."""
    ctx.obj = {"redis_url": redis_url, "directory": directory}


def main(argv: list[str] | None = None) -> None:
    """Run the command line; every error ends here as one line and an exit code (0 done, 1 refused,
    2 usage, 3 store unreachable).
    """
    sys.exit(run(argv))


def run(argv: list[str] | None = None) -> int:
    """Like `main`, but returns the exit code."""
    try:
        return _print_all(_run(sys.argv[1:] if argv is None else argv))
    except BrokenPipeError:
        _silence()
        return READER_GONE


def _run(argv: list[str]) -> int:
    if COMPLETION in os.environ:
        cli.main(prog_name="octet")
    try:
        _write_anything()
        # Not click's own main(): it turns a pipe that broke into exit code 1, which here means
        # refused.
        with cli.make_context("octet", list(argv)) as context:
            result = cli.invoke(context)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except BrokenPipeError:
        raise
    except OctetError as error:
        _complain(str(error))
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        if sys.stderr and sys.stderr.isatty():
            click.echo(err=True)  # the terminal has just shown ^C
        _complain("interrupted")
        return 130
    except Exception as error:  # noqa: BLE001 - a bug becomes one line; its trace is kept
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            _complain(f"cannot print or write: {error.strerror}")
            return 1
        _complain(f"internal error: {type(error).__name__}: {error}{_keep_trace()}")
        return 70


def _complain(text: str) -> None:
    click.echo(f"octet: {plain(text, MAX_ERROR)}", err=True)


def _write_anything() -> None:
    """Show characters that the terminal's encoding lacks as escapes: none may end the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _print_all(code: int) -> int:
    """`code`, or 1 if the last output cannot be written: Python would end with 120 and a trace."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if code == 0:
            _complain(f"cannot print: {error.strerror}")
        _silence()
        return code or 1
    return code


def _silence() -> None:
    """Discard further output: its reader is gone (head, less) or the disk is full, and Python must
    not complain again when it closes stdout.
    """
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _keep_trace() -> str:
    from octet.base.dirs import make_private, state_dir

    try:
        path = make_private(state_dir()) / "octet-error.log"
        path.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
    except (OctetError, OSError):
        return ""
    return f" (details in {path})"
