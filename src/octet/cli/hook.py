"""`octet hook EVENT`: what `hooks/launch` and `hooks/pipe.py` do, for programs other than Claude
Code and for trying a hook by hand.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from octet.base.errors import OctetError
from octet.daemon.hooks.failure import failure_reply
from octet.daemon.process import control
from octet.daemon.protocol import wire
from octet.daemon.protocol.wire import MalformedMessage, Reply, Request
from octet.project import repository, trust

# The client's side of the daemon's own deadline.
MARGIN_S = 0.2


@click.command("hook")
@click.argument("event")
def hook_command(event: str) -> int:
    """Answer one Claude Code hook EVENT (PreToolUse, Stop, …) from its JSON on standard input.

    Silent, with exit code 0, if the repository or this machine has not opted in.
    """
    directory = click.get_current_context().find_root().obj.get("directory")
    root = find_root(Path(directory) if directory else Path.cwd())
    if root is None:
        return 0
    reply = ask(make_request(event, root, sys.stdin.buffer.read()))
    sys.stdout.buffer.write(reply.stdout)
    sys.stderr.buffer.write(reply.stderr)
    return reply.exit_code


def find_root(start: Path) -> Path | None:
    """The repository that takes part: opted in and approved here."""
    root = repository.find_root(start)
    return root if root and trust.record_path(root).exists() else None


def make_request(event: str, root: Path, payload: bytes) -> Request:
    """The request with what the environment says about the client."""
    environ = os.environ
    pid = environ.get("CLAUDE_PID", "")
    return Request(
        event,
        str(root),
        payload=payload,
        pid=int(pid) if pid.isdigit() else os.getppid(),
        project=environ.get("CLAUDE_PROJECT_DIR", ""),
        envfile=environ.get("CLAUDE_ENV_FILE", ""),
        redis_url=environ.get("OCTET_REDIS_URL", ""),
    )


def ask(request: Request) -> Reply:
    """The answer of the daemon, which is started if need be; else that of the failure policy."""
    within_s = wire.ANSWER_WITHIN_S.get(request.event, wire.DEFAULT_ANSWER_WITHIN_S) + MARGIN_S
    try:
        control.start()
        return wire.call(control.socket_path(), request, within_s)
    except (OctetError, OSError, MalformedMessage) as error:
        return failure_reply(request, f"Octet's daemon gives no answer ({error})")
