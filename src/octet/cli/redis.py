"""`octet redis …`"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import click
import redis
from redis.exceptions import ResponseError

from octet.base.errors import Refused, UsageError
from octet.base.text import plain
from octet.cli._common.context import opened, store_of_directory
from octet.cli._common.durations import Duration
from octet.cli._common.output import emit, json_option, table
from octet.cli.redis_data import backup, fsync, repair, restore
from octet.store import embedded
from octet.store.activity import monitor, slow_commands
from octet.store.address import Address, Kind, parse_address
from octet.store.connection import connect
from octet.store.failures import translate_errors

CLI_NAMES = ("redis-cli", "valkey-cli")
MAX_SHOWN = 1000


@click.group("redis")
def redis_group() -> None:
    """The store: url, cli, monitor, slowlog, stop; its data: backup, restore, repair, fsync."""


@redis_group.command("url")
@json_option
def url(as_json: bool) -> None:
    """Print the store's URL; starts the embedded server if there is no other."""
    configured = store_of_directory()
    found = configured or embedded.ensure_server()
    address = parse_address(found)
    arguments, _ = cli_arguments(address) if address.kind is not Kind.SENTINEL else ([], {})
    facts = {
        "url": found,
        "embedded": configured is None,
        "socket": address.path or None,
        "redis_cli": arguments or None,
    }
    emit(facts, found, as_json)


@redis_group.command(
    "cli", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@json_option
def cli(arguments: tuple[str, ...], as_json: bool) -> None:
    """Run redis-cli on the store; without it, run one command and print the reply."""
    configured = store_of_directory()
    program = next((path for name in CLI_NAMES if (path := shutil.which(name))), None)
    if program and not as_json:
        _become(program, configured or embedded.ensure_server(), arguments)
    if not arguments:
        missing = (
            "--json needs a command" if as_json else "redis-cli is not installed: give a command"
        )
        raise UsageError(f"{missing}, as in `octet redis cli PING`")
    with connect(configured) as client:
        reply = run_command(client, arguments)
    if as_json:
        emit(reply, "", as_json)
    else:  # the bytes as they are stored, and an empty line for nil
        click.echo("\n".join(lines_of(reply)).encode("utf-8", "surrogateescape"))


@redis_group.command("monitor")
@click.option(
    "-n",
    "most",
    type=click.IntRange(1, 1_000_000),
    default=MAX_SHOWN,
    show_default=True,
    help="End after this number of commands.",
)
@click.option(
    "--for",
    "span_s",
    type=Duration(),
    default="1m",
    show_default=True,
    metavar="TIME",
    help="End after this time.",
)
@click.option("--scripts", is_flag=True, help="Also the commands inside scripts.")
@json_option
def show_activity(most: int, span_s: float, scripts: bool, as_json: bool) -> None:
    """Show the commands on this project's keys as they run, until Ctrl-C. The server is slower for
    all clients meanwhile.
    """
    with opened() as octet:
        for found in islice(monitor(octet.store, span_s, scripts=scripts), most):
            moment = datetime.fromtimestamp(found.at_s).astimezone()
            emit(found, f"{moment:%H:%M:%S.%f}  {plain(found.client, 40)}  {found.text}", as_json)


@redis_group.command("slowlog")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, 10_000),
    default=128,
    show_default=True,
    help="Look at this number of the server's latest entries.",
)
@json_option
def show_slow(count: int, as_json: bool) -> None:
    """Show slow commands on this project's keys, the latest first. The server's setting
    slowlog-log-slower-than says what is slow.
    """
    with opened() as octet:
        found = slow_commands(octet.store, count)
    rows = [
        [
            f"{datetime.fromtimestamp(c.at_s).astimezone():%Y-%m-%d %H:%M:%S}",
            f"{c.micros / 1000:.1f} ms",
            c.text,
        ]
        for c in found
    ]
    emit(found, table(["WHEN", "TOOK", "COMMAND"], rows) if rows else "nothing was slow", as_json)


@redis_group.command("stop")
@click.option(
    "--force", is_flag=True, help="Even while clients are connected; kill it if it does not answer."
)
@json_option
def stop(force: bool, as_json: bool) -> None:
    """Stop the embedded server. Its data stays, and it starts again when it is needed."""
    stopped = embedded.stop_server(force=force)
    emit(
        {"stopped": stopped},
        "stopped" if stopped else "the embedded server was not running",
        as_json,
    )


for _command in (backup, restore, repair, fsync):
    redis_group.add_command(_command)


def cli_arguments(address: Address) -> tuple[list[str], dict[str, str]]:
    """redis-cli's options for one server or a cluster, and the environment that carries the
    password (argv is for all to see).
    """
    if address.kind is Kind.UNIX:
        words = ["-s", address.path]
    else:
        host, port = address.nodes[0]
        words = ["-h", host, "-p", str(port)]
    words += ["-n", str(address.db)] if address.db else []
    words += ["-c"] if address.kind is Kind.CLUSTER else []
    words += ["--user", address.username] if address.username else []
    words += _tls_arguments(address) if address.tls else []
    secret = {
        name: address.password for name in ("REDISCLI_AUTH", "VALKEYCLI_AUTH") if address.password
    }
    return words, secret


def run_command(client: redis.Redis, words: Sequence[str]) -> Any:
    """One command's reply as the server gives it: text, a number, None, or a list of these.

    Raises:
        Refused: the server answers with an error.
    """
    client.response_callbacks.clear()  # redis-py's own shapes: INFO as a dict, SET as True
    with translate_errors(client):
        try:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            raise Refused(str(error)) from error


def lines_of(reply: Any) -> list[str]:
    """A reply as redis-cli prints it into a pipe: one line an element, an empty one for nil."""
    if isinstance(reply, list):
        return [line for element in reply for line in lines_of(element)]
    return ["" if reply is None else str(reply)]


def _tls_arguments(address: Address) -> list[str]:
    names = {
        "ssl_ca_certs": "--cacert",
        "ssl_ca_path": "--cacertdir",
        "ssl_certfile": "--cert",
        "ssl_keyfile": "--key",
    }
    words = [
        word
        for name, flag in names.items()
        if name in address.options
        for word in (flag, str(address.options[name]))
    ]
    return [
        "--tls",
        *words,
        *(["--insecure"] if address.options.get("ssl_cert_reqs") == "none" else []),
    ]


def _become(program: str, url: str, arguments: Sequence[str]) -> None:
    address = parse_address(url)
    if address.kind is Kind.SENTINEL:
        address = _primary(url, address)
    words, secret = cli_arguments(address)
    os.execve(program, [program, *words, *arguments], os.environ | secret)


def _primary(url: str, address: Address) -> Address:
    """The address that Sentinel names now, with the same login."""
    with connect(url) as client, translate_errors(client):
        host, port = client.connection_pool.get_master_address()
    return Address(
        Kind.TCP,
        ((host, port),),
        "",
        "",
        address.db,
        address.tls,
        address.username,
        address.password,
        address.options,
    )
