"""A failing Redis in one line for a person: which server, what happened, what to do.

Only failures of the server become `StoreUnreachable`. An error that a wrong call of ours would
cause (WRONGTYPE, a script's own error) passes unchanged: "unreachable" would mislead the reader.
"""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import ContextDecorator
from types import TracebackType
from typing import Any

import redis
from redis import exceptions
from redis.sentinel import MasterNotFoundError, SlaveNotFoundError

from octet.base.errors import StoreUnreachable

# Reply codes of a server that answers but cannot serve: meaning, and what to do. `%s` is the
# server's own text.
_CODES = {
    "NOAUTH": "asks for a login: put it into the URL, redis://user:password@host:port",
    "WRONGPASS": "refuses the login: correct user and password in the URL, "
    "redis://user:password@host:port",
    "NOPERM": "does not let this user do it (%s): grant it with ACL SETUSER, or use another user",
    "LOADING": "is still loading its data: try again in a moment",
    "READONLY": "is a read-only replica: give the primary's address, or "
    "redis+sentinel://host:port/service",
    "OOM": "is out of memory: raise its maxmemory or remove data",
    "MISCONF": "cannot write to its disk (%s): free space there; it goes on by itself then",
    "MASTERDOWN": "is a replica that has lost its primary: bring the primary back or give its "
    "address",
    "NOREPLICAS": "has too few replicas to take writes (%s): bring them back",
    "CLUSTERDOWN": "is a cluster that is down (%s): bring its missing nodes back",
    "BUSY": "is busy with another client's long script: wait, or end it with redis-cli SCRIPT KILL",
    "DENIED": "is in protected mode, for its own machine only: give it a password and put that "
    "into the URL, or turn protected-mode off",
    "MOVED": "is a node of a cluster: write redis+cluster://host:port",
}
_LOGIN = (
    "refuses the login (%s): put the right user and password into the URL, "
    "redis://user:password@host:port"
)
# The same for errors that redis-py turns into a class of its own, without the code; the most
# specific first.
_CLASSES: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.NoPermissionError, _CODES["NOPERM"]),
    (exceptions.BusyLoadingError, _CODES["LOADING"]),
    (exceptions.ReadOnlyError, _CODES["READONLY"]),
    (exceptions.OutOfMemoryError, _CODES["OOM"]),
    (exceptions.MasterDownError, _CODES["MASTERDOWN"]),
    (exceptions.MovedError, _CODES["MOVED"]),
    (exceptions.ClusterDownError, _CODES["CLUSTERDOWN"]),
    (exceptions.AuthenticationError, _LOGIN),
    (exceptions.AuthorizationError, _CODES["NOPERM"]),
    (
        MasterNotFoundError,
        "is not known to any Sentinel that answers (%s): check the service's name and the "
        "Sentinels",
    ),
    (
        SlaveNotFoundError,
        "is not known to any Sentinel that answers (%s): check the service's name and the "
        "Sentinels",
    ),
    (exceptions.InvalidResponse, "does not speak the Redis protocol: check host and port"),
)
_UNKNOWN = (
    "does not know a command that Octet needs (%s): take out its rename-command, or use Redis "
    "6.2 or newer, or Valkey"
)
_NO_SENTINEL = (
    "is none that a Sentinel knows, and what answers is no Sentinel: write redis://host:port for "
    "a server"
)
# Before 7.2 the server does not say which command of a script its user may not run.
_SCRIPT_DENIED = (
    "does not let this user do what Octet's scripts do (%s): `octet doctor` names each right "
    "that is missing"
)
_SCRIPT_PLACE = re.compile(r" script: \w*,? ?on @user_script.*$")
_UNKNOWN_COMMAND = re.compile(r"unknown (?:redis )?command[ :`']*(\w*)", re.IGNORECASE)


class translate_errors(ContextDecorator):
    """Turn a failure of the server into `StoreUnreachable` with one line that says which server,
    what happened, what to do.

    `client` names the server in the message; without it the message says "the Redis server". An
    error of ours passes unchanged. A timed-out command may have been carried out: nothing here
    sends it again.
    """

    def __init__(self, client: redis.Redis | None = None) -> None:
        self._client = client

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, (exceptions.RedisError, exceptions.RedisClusterException)):
            what = explain(error)
            if what:
                raise StoreUnreachable(f"{describe(self._client)} {what}") from error


def explain(error: Exception) -> str:
    """What happened and what to do, for a failure of the server; empty for any other error."""
    text = _one_line(error)
    for kind, meaning in _CLASSES:
        if isinstance(error, kind):
            return _fill(meaning, text)
    if isinstance(error, exceptions.TimeoutError):
        # Nothing was sent; a plain server waits for ever for the end of a TLS greeting.
        if "connecting" in text:
            return (
                "cannot be reached in time: check host, port and network, and whether it wants "
                "redis:// or rediss://"
            )
        return (
            "does not answer in time: it hangs or the network drops packets; see what was done, "
            "then try again"
        )
    if isinstance(error, exceptions.ResponseError):
        return _explain_reply(text)
    if isinstance(error, exceptions.RedisClusterException):
        return (
            f"cannot be used as a cluster ({text}): check its nodes, or write redis:// for a "
            "single server"
        )
    return _explain_connection(error, text) if isinstance(error, exceptions.ConnectionError) else ""


def describe(client: redis.Redis | None) -> str:
    """The server's address for a message, without its password."""
    if client is None:
        return "the Redis server"
    settings: dict[str, Any] = client.get_connection_kwargs()
    if "path" in settings:
        return f"the Redis server at {settings['path']}"
    service = getattr(getattr(client, "connection_pool", None), "service_name", "")
    if service:
        return f"the Redis service {service}"
    host, port = settings.get("host"), settings.get("port")
    return f"the Redis server at {host}:{port}" if host else "the Redis cluster"


def _explain_reply(text: str) -> str:
    code = text.partition(" ")[0]
    for known, meaning in _CODES.items():
        # Before 7.0 an error inside a script comes as "Error running script (...): @user_script:1:
        # -READONLY You can't ...".
        if code == known or f"-{known} " in text:
            return _fill(meaning, text)
    if "ACL failure in script" in text or "user executing the script can't" in text:
        return _fill(_SCRIPT_DENIED, _SCRIPT_PLACE.sub("", text))
    unknown = _UNKNOWN_COMMAND.search(text)
    if not unknown:
        return ""
    return _NO_SENTINEL if unknown[1] == "SENTINEL" else _fill(_UNKNOWN, unknown[1] or text)


def _explain_connection(error: Exception, text: str) -> str:
    cause = error.__cause__ or error.__context__
    if "max number of clients" in text:
        return "has no free connection: raise its maxclients or stop some clients"
    if isinstance(cause, ssl.SSLError):
        return (
            f"fails the TLS handshake ({_reason(cause)}): check rediss:// and port, and give its "
            "CA with ?ssl_ca_certs=FILE"
        )
    if isinstance(cause, socket.gaierror):
        return f"has an unknown host name ({cause.strerror}): correct the URL"
    if isinstance(cause, (ConnectionRefusedError, FileNotFoundError)):
        return "is not running (nothing listens there): start it or correct the URL"
    if isinstance(cause, PermissionError):
        return "may not be reached by this user (permission denied): check the socket's mode"
    if "writing to socket" in text:  # the server closed before its reason was read
        return (
            f"has cut the connection ({text.rstrip('.')}): see whether it still runs, is at its "
            "maxclients, or wants rediss://"
        )
    return (
        f"has cut the connection ({text.rstrip('.')}): see what was done, then try again (and "
        "write rediss:// if it speaks TLS)"
    )


def _reason(error: ssl.SSLError) -> str:
    return (
        getattr(error, "verify_message", "")
        or (error.reason or "").replace("_", " ").lower()
        or _one_line(error)
    )


def _fill(meaning: str, text: str) -> str:
    return meaning % text.rstrip(".") if "%s" in meaning else meaning


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
