"""A client for a Redis URL, or for the embedded server, with time-outs and retries of our own.

Three choices, each against a default of redis-py:

* **Text, and every byte of it.** Replies are decoded as UTF-8 with `surrogateescape`: keys and
  values are text to all our code, and bytes that a foreign client wrote come through unchanged
  instead of raising an error in the middle of a claim.
* **A command is sent once.** redis-py 6 and later repeats a command up to ten times when it times
  out. A script that timed out may have run: repeated, it would claim twice. Only a connection that
  could not be made is tried again, because nothing was sent.
* **RESP2**, so that replies have one shape with every server and every redis-py from 5.1 on.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from octet.base.errors import StoreUnreachable
from octet.store import embedded
from octet.store.address import Address, Kind, parse_address
from octet.store.failures import describe
from octet.store.failures import translate_errors as translate_errors
from octet.store.packer import CommandPacker

CONNECT_TIMEOUT_S = 1.0
COMMAND_TIMEOUT_S = 5.0
# An idle connection is checked before use: it may be dead, unnoticed, since a laptop slept or a
# router dropped it.
HEALTH_CHECK_S = 30
MINIMUM_VERSION = (6, 2)
URL_VARIABLE = "OCTET_REDIS_URL"
_VERSION = re.compile(r"(\d+)\.(\d+)[.\d]*")
_PACKER = CommandPacker()


def resolve_url(
    explicit: str | None, environ: Mapping[str, str], config_url: str | None
) -> str | None:
    """The URL to use: `--redis`, else OCTET_REDIS_URL, else the repository's setting; None means
    the embedded server.
    """
    return explicit or environ.get(URL_VARIABLE) or config_url or None


def connect(
    url: str | None,
    *,
    wait_s: float = 0.0,
    answer_s: float = COMMAND_TIMEOUT_S,
    name: str = "octet",
) -> redis.Redis:
    """A client whose server has answered; None starts the embedded server, and starts it again
    whenever a connection finds it dead.

    `wait_s` is the longest blocking wait (XREAD BLOCK, BLPOP) that this client will be asked for;
    `answer_s` the longest it waits for the answer to anything else. Thread-safe.

    Raises:
        StoreUnreachable: no answer, no permission, older than Redis 6.2; `ServerFailed` for the
            embedded server.
        ConfigError: the URL cannot be read.
    """
    if url is None:
        return _embedded_client(_settings(wait_s, answer_s, name) | {"answer_s": answer_s})
    client = open_client(url, wait_s=wait_s, answer_s=answer_s, name=name)
    try:
        check_version(client)
    except BaseException:
        client.close()
        raise
    return client


def open_client(
    url: str, *, wait_s: float = 0.0, answer_s: float = COMMAND_TIMEOUT_S, name: str = "octet"
) -> redis.Redis:
    """A client for `url`, not yet connected (a cluster's client asks for the slots at once).
    Thread-safe.

    Its time-outs: 1 s to connect, `answer_s` for an answer, and `wait_s` more where a blocking wait
    is meant; options of the URL win. For a cluster the object is a `RedisCluster`, which has the
    same commands; all keys of a project share one slot.

    Raises:
        ConfigError: the URL cannot be read.
        StoreUnreachable: a cluster that does not answer.
    """
    address = parse_address(url)
    settings = _settings(wait_s, answer_s, name) | _login(address) | dict(address.options)
    if "socket_timeout" in address.options:
        settings["socket_timeout"] = float(address.options["socket_timeout"]) + wait_s
    if address.tls:
        # redis-py before 6 does not compare the certificate's name with the host's.
        settings.setdefault("ssl_check_hostname", settings.get("ssl_cert_reqs") != "none")
    if address.kind is Kind.SENTINEL:
        return _sentinel_client(address, settings)
    if address.kind is Kind.CLUSTER:
        return _cluster_client(address, settings)
    return _single_client(address, settings)


def check_version(client: redis.Redis) -> None:
    """One round trip that proves the server answers and is new enough.

    Raises:
        StoreUnreachable: it does not answer, or is older than Redis 6.2.
    """
    with translate_errors(client):
        try:
            reply = cast(Any, client.info("server"))
        except NoPermissionError:
            return  # an ACL user need not be allowed INFO; a command that is missing will say so
    # A cluster may answer by node.
    info = reply if "redis_version" in reply else next(iter(reply.values()), {})
    if "sentinel" in (info.get("redis_mode"), info.get("server_mode")):
        raise StoreUnreachable(
            f"{describe(client)} is a Sentinel: write redis+sentinel://host:port/service"
        )
    version = _VERSION.match(str(info.get("redis_version", "")))
    if version and (int(version[1]), int(version[2])) < MINIMUM_VERSION:
        raise StoreUnreachable(
            f"{describe(client)} is Redis {version[0]}: Octet needs 6.2 or newer, or Valkey"
        )


class _HealthCheck:
    """A failed health check makes a new connection instead of failing a command that was not sent.

    The case is a laptop that slept: the server has long closed the connection, and the next command
    meets a reset.
    """

    def check_health(self) -> None:
        connection = cast(Any, self)
        used_before = connection.next_health_check > 0
        try:
            super().check_health()  # type: ignore[misc]
        except (RedisConnectionError, RedisTimeoutError):
            if not used_before:  # a fresh connection: another would fail too
                raise
            connection.next_health_check = 0
            connection.disconnect()
            connection.connect()


class _TcpConnection(_HealthCheck, Connection):
    pass


class _TlsConnection(_HealthCheck, SSLConnection):
    pass


class _UnixConnection(_HealthCheck, UnixDomainSocketConnection):
    pass


class _EmbeddedConnection(_UnixConnection):
    """A connection to the embedded server: starts a dead one, and waits while it loads its data.

    Only here is that safe: nothing has been sent, so nothing can be done twice.
    """

    def __init__(self, directory: Path, answer_s: float, **settings: Any) -> None:
        super().__init__(**settings)  # type: ignore[no-untyped-call]
        self._directory = directory
        self._answer_s = answer_s

    def _connect(self) -> socket.socket:
        try:
            return self._answered()
        except (FileNotFoundError, ConnectionError):
            self.path = parse_address(embedded.ensure_server(self._directory)).path
            return self._answered()

    def _answered(self) -> socket.socket:
        sock = cast(socket.socket, super()._connect())  # type: ignore[no-untyped-call]
        try:
            sock.settimeout(self._answer_s)
            sock.sendall(b"PING\r\n")
            answer = sock.recv(512)
            sock.settimeout(self.socket_timeout)
            if not answer or answer.startswith(b"-LOADING"):
                raise ConnectionResetError("the embedded server is not ready")
        except BaseException:
            sock.close()
            raise
        return sock


def _settings(wait_s: float, answer_s: float, name: str) -> dict[str, Any]:
    return {
        "socket_connect_timeout": min(CONNECT_TIMEOUT_S, answer_s),
        "socket_timeout": answer_s + wait_s,
        "health_check_interval": HEALTH_CHECK_S,
        "decode_responses": True,
        "encoding_errors": "surrogateescape",
        "client_name": name,
        "protocol": 2,
    }


def _login(address: Address) -> dict[str, Any]:
    login = {"username": address.username, "password": address.password}
    return {key: value for key, value in login.items() if value}


def _never() -> Retry:
    return Retry(NoBackoff(), 0)


def _pooled(connection_class: type[Any], settings: dict[str, Any]) -> redis.Redis:
    # No limit: a thread holds one connection at a time, so that the threads are the limit.
    return redis.Redis.from_pool(
        ConnectionPool(
            connection_class=connection_class, retry=_never(), command_packer=_PACKER, **settings
        )
    )


def _embedded_client(settings: dict[str, Any]) -> redis.Redis:
    directory = embedded.server_directory()
    path = parse_address(embedded.ensure_server(directory)).path
    return _pooled(_EmbeddedConnection, settings | {"path": path, "directory": directory})


def _single_client(address: Address, settings: dict[str, Any]) -> redis.Redis:
    settings["db"] = address.db
    if address.kind is Kind.UNIX:
        return _pooled(_UnixConnection, settings | {"path": address.path})
    host, port = address.nodes[0]
    return _pooled(
        _TlsConnection if address.tls else _TcpConnection,
        settings | {"host": host, "port": port, "socket_keepalive": True},
    )


def _sentinel_client(address: Address, settings: dict[str, Any]) -> redis.Redis:
    # Sentinels have a login of their own, and speak TLS when the server does.
    login = {
        key: settings.pop(f"sentinel_{key}")
        for key in ("username", "password")
        if f"sentinel_{key}" in settings
    }
    shared = {key: value for key, value in settings.items() if key not in {"username", "password"}}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        list(address.nodes),
        sentinel_kwargs=shared | login | {"ssl": address.tls, "retry": _never()},
        db=address.db,
        ssl=address.tls,
        retry=_never(),
        command_packer=_PACKER,
        socket_keepalive=True,
        **settings,
    )
    return cast(redis.Redis, sentinel.master_for(address.service))  # type: ignore[no-untyped-call]


def _cluster_client(address: Address, settings: dict[str, Any]) -> redis.Redis:
    # redis-py 6 renamed the setting for the number of repetitions; MOVED and ASK are followed all
    # the same.
    once: dict[str, Any] = (
        {"retry": _never()} if redis.VERSION >= (6,) else {"cluster_error_retry_attempts": 0}
    )
    once["redis_connect_func"] = _use_packer  # a cluster's connections take no packer of their own
    nodes = [ClusterNode(host, port) for host, port in address.nodes]  # type: ignore[no-untyped-call]
    with translate_errors():
        client = RedisCluster(
            startup_nodes=nodes, ssl=address.tls, socket_keepalive=True, **once, **settings
        )
    return cast(redis.Redis, client)


def _use_packer(connection: Any) -> None:
    connection._command_packer = _PACKER
