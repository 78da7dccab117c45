"""A Redis URL, read strictly: which kind of server, where, as whom.

Parsed here and not by redis-py. Its own parser differs between releases (5 decodes a password's
`%25` twice), ignores what it cannot read (`redis://host/abc` is database 0) and lets any option
through (`?retry_on_timeout=1` would send a script twice).

| scheme | server |
|---|---|
| `redis://[user[:password]@]host[:port][/db]` | one server |
| `rediss://…` | the same over TLS, with the options below |
| `unix://[user[:password]@]/path/to.sock[?db=N]` | one server on this machine |
| `redis+sentinel://[…@]host[:port],host[:port]/service[/db]` | the primary |
| `redis+cluster://[…@]host[:port],host[:port]` | a cluster |

`rediss+sentinel` and `rediss+cluster` are the same over TLS. Every kind takes `socket_timeout` and
`socket_connect_timeout` in seconds; TLS takes `ssl_ca_certs`, `ssl_ca_path`, `ssl_certfile`,
`ssl_keyfile`, `ssl_cert_reqs` and `ssl_check_hostname`; Sentinel takes `sentinel_username` and
`sentinel_password`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from octet.base.errors import ConfigError

REDIS_PORT = 6379
SENTINEL_PORT = 26379
FORMS = (
    "redis://host:port/0, rediss://…, unix:///path, redis+sentinel://host:port,…/service or "
    "redis+cluster://host:port,…"
)

_SECONDS = frozenset({"socket_timeout", "socket_connect_timeout"})
_TLS = frozenset(
    {
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_cert_reqs",
        "ssl_check_hostname",
    }
)
_SENTINEL = frozenset({"sentinel_username", "sentinel_password"})
_FALSE = frozenset({"0", "f", "false", "n", "no"})


class Kind(StrEnum):
    """How the server is reached."""

    TCP = "redis"
    UNIX = "unix"
    SENTINEL = "redis+sentinel"
    CLUSTER = "redis+cluster"


@dataclass(frozen=True)
class Address:
    """The place of a Redis and the login; `str()` of it shows no secret."""

    kind: Kind
    nodes: tuple[tuple[str, int], ...] = ()  # host and port; empty for a unix socket
    path: str = ""  # of a unix socket
    service: str = ""  # of Sentinel
    db: int = 0
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    # redis-py's keyword arguments: time-outs in seconds, TLS files, Sentinel's login
    options: Mapping[str, str | float | bool] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        if self.kind is Kind.UNIX:
            return self.path
        hosts = ",".join(_host_port(host, port) for host, port in self.nodes)
        if self.kind is Kind.SENTINEL:
            return f"{self.service} (Sentinel {hosts})"
        return f"cluster {hosts}" if self.kind is Kind.CLUSTER else hosts


def parse_address(url: str) -> Address:
    """Read a Redis URL.

    Raises:
        ConfigError: another scheme, an unknown option, a port or database that is no number. The
            message holds no password.
    """
    # Some Pythons refuse an IPv6 address that is not the first host. Escaped brackets pass.
    parts = urlsplit(url.strip().replace("[", "%5B").replace("]", "%5D"))
    kind, tls = _kind(parts.scheme)
    login, _, hosts = parts.netloc.replace("%5B", "[").replace("%5D", "]").rpartition("@")
    username, _, password = login.partition(":")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    path, service, database = _path(parts, kind, hosts)
    return Address(
        kind=kind,
        nodes=()
        if kind is Kind.UNIX
        else _nodes(hosts, SENTINEL_PORT if kind is Kind.SENTINEL else REDIS_PORT),
        path=path,
        service=service,
        db=_database(query.pop("db", "") or database, kind),
        tls=tls,
        username=unquote(username) or query.pop("username", ""),
        password=unquote(password) or query.pop("password", ""),
        options=_options(query, kind, tls),
    )


def _kind(scheme: str) -> tuple[Kind, bool]:
    tls = scheme.startswith("rediss")
    try:
        return Kind(scheme.replace("rediss", "redis", 1)), tls
    except ValueError:
        raise ConfigError(
            f"a Redis URL cannot begin with {scheme + ':' if scheme else 'no scheme'!r}: use "
            f"{FORMS}"
        ) from None


def _path(parts: SplitResult, kind: Kind, hosts: str) -> tuple[str, str, str]:
    """(socket path, Sentinel service, database) of the URL's path."""
    if parts.fragment:
        raise ConfigError("a Redis URL has a '#' in it: write it as %23")
    if kind is Kind.UNIX:
        if hosts or not parts.path:
            raise ConfigError(
                "a unix:// URL needs an absolute path, with three slashes: unix:///run/redis.sock"
            )
        return unquote(parts.path), "", ""
    if kind is Kind.SENTINEL:
        service, _, database = parts.path.strip("/").partition("/")
        if not service:
            raise ConfigError(
                "a redis+sentinel:// URL needs the service's name: "
                "redis+sentinel://host:26379/mymaster"
            )
        return "", unquote(service), database
    return "", "", parts.path.strip("/")


def _nodes(hosts: str, default_port: int) -> tuple[tuple[str, int], ...]:
    return (
        tuple(_node(host, default_port) for host in hosts.split(","))
        if hosts
        else (("localhost", default_port),)
    )


def _node(text: str, default_port: int) -> tuple[str, int]:
    bracketed, separator, rest = text.partition("]")  # [::1]:6379
    host, _, port = (
        (bracketed[1:], "", rest.removeprefix(":")) if separator else text.partition(":")
    )
    if not host or not (port or "0").isdecimal() or not 0 <= int(port or 0) <= 65535:
        raise ConfigError(f"a Redis URL names the server {text!r}: write host:port")
    return unquote(host), int(port or default_port)


def _database(text: str, kind: Kind) -> int:
    if not (text or "0").isdecimal():
        raise ConfigError(
            f"a Redis URL names the database {text!r}: it is a number, as in redis://host:6379/0"
        )
    if kind is Kind.CLUSTER and int(text or 0):
        raise ConfigError("a Redis cluster has database 0 only: leave the number out of the URL")
    return int(text or 0)


def _options(query: Mapping[str, str], kind: Kind, tls: bool) -> dict[str, str | float | bool]:
    allowed = (
        _SECONDS
        | (_TLS if tls else frozenset())
        | (_SENTINEL if kind is Kind.SENTINEL else frozenset())
    )
    for name in query:
        if name not in allowed:
            raise ConfigError(
                f"a {kind} URL has the unknown option {name!r}: it takes "
                f"{', '.join(sorted(allowed))}"
            )
    return {name: _option(name, value) for name, value in query.items()}


def _option(name: str, value: str) -> str | float | bool:
    if name == "ssl_check_hostname":
        return value.lower() not in _FALSE
    if name not in _SECONDS:
        return value
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise ConfigError(
            f"a Redis URL sets {name} to {value!r}: it is a number of seconds, as in 2.5"
        )
    return seconds


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
