"""Redis URLs are read strictly, and no message shows a password."""

from __future__ import annotations

import pytest

from octet.base.errors import ConfigError
from octet.store.address import Address, Kind, parse_address

ACCEPTED = {
    "redis://": Address(Kind.TCP, (("localhost", 6379),)),
    "redis://db": Address(Kind.TCP, (("db", 6379),)),
    "redis://db:7000/3": Address(Kind.TCP, (("db", 7000),), db=3),
    "redis://db?db=3": Address(Kind.TCP, (("db", 6379),), db=3),
    "redis://[::1]:7000": Address(Kind.TCP, (("::1", 7000),)),
    "redis://:p%25w%2f@db": Address(Kind.TCP, (("db", 6379),), password="p%w/"),
    "redis://me:a@b@db": Address(Kind.TCP, (("db", 6379),), username="me", password="a@b"),
    "rediss://me:pw@db/1": Address(
        Kind.TCP, (("db", 6379),), db=1, tls=True, username="me", password="pw"
    ),
    "rediss://db?ssl_ca_certs=/a/b.pem&ssl_check_hostname=no": Address(
        Kind.TCP,
        (("db", 6379),),
        tls=True,
        options={"ssl_ca_certs": "/a/b.pem", "ssl_check_hostname": False},
    ),
    "redis://db?socket_timeout=2.5": Address(
        Kind.TCP, (("db", 6379),), options={"socket_timeout": 2.5}
    ),
    "unix:///run/a%20b/r.sock?db=2": Address(Kind.UNIX, path="/run/a b/r.sock", db=2),
    "unix://me:pw@/run/r.sock": Address(
        Kind.UNIX, path="/run/r.sock", username="me", password="pw"
    ),
    "redis+sentinel://a,b:26380/main/2?sentinel_password=x": Address(
        Kind.SENTINEL,
        (("a", 26379), ("b", 26380)),
        service="main",
        db=2,
        options={"sentinel_password": "x"},
    ),
    "rediss+cluster://me:pw@a:1,[::2]:3": Address(
        Kind.CLUSTER, (("a", 1), ("::2", 3)), tls=True, username="me", password="pw"
    ),
}

REFUSED = [
    "",
    "db:6379",
    "http://db",
    "redisss://db",
    "redis://:s3cret@db:port",
    "redis://:s3cret@db:99999",
    "redis://:s3cret@db/abc",
    "redis://:s3cret@db/1/2",
    "redis://:s3cret@a,,b",
    "redis://:s3#cret@db",
    "redis://:s3cret@db?retry_on_timeout=1",
    "redis://:s3cret@db?decode_responses=0",
    "redis://:s3cret@db?socket_timeout=soon",
    "redis://:s3cret@db?socket_timeout=-1",
    "redis://:s3cret@db?socket_timeout=nan",
    "redis://:s3cret@db?ssl_ca_certs=x",
    "redis://[::1",
    "unix://run/r.sock",
    "unix://",
    "redis+sentinel://:s3cret@a:26379",
    "redis+cluster://:s3cret@a/1",
]


@pytest.mark.parametrize("url", ACCEPTED)
def test_reads_every_form(url: str) -> None:
    """Each documented form gives its parts, percent-decoded once."""
    assert parse_address(url) == ACCEPTED[url]


@pytest.mark.parametrize("url", REFUSED)
def test_refuses_what_it_cannot_read(url: str) -> None:
    """Anything else is a settings error of one line that keeps the password to itself."""
    with pytest.raises(ConfigError) as caught:
        parse_address(url)
    assert "s3" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ACCEPTED)
def test_shows_no_secret(url: str) -> None:
    """Neither str() nor repr() of an address has its password."""
    address = parse_address(url)
    for secret in filter(
        None, (address.password, str(address.options.get("sentinel_password", "")))
    ):
        assert secret not in str(address)
        assert f"'{secret}'" not in repr(address)
