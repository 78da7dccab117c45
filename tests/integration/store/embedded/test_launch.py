"""The server's process: its settings, its files, its log."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import redis
from tests.support.redis_fixtures import DEADLINE_S

from octet.store import embedded
from octet.store.connection import connect


def test_private_and_durable(running: Path) -> None:
    """The directory is the user's alone, no TCP port is open, data goes to a file, keys expire
    aloud, nothing is evicted.
    """
    assert stat.S_IMODE(running.stat().st_mode) == 0o700
    assert stat.S_IMODE((running / "redis.sock").stat().st_mode) == 0o700
    with connect(None) as client, client.pubsub() as pubsub:
        info = client.info()
        assert (info["tcp_port"], info["aof_enabled"]) == (0, 1)
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        with pytest.raises(redis.ResponseError):
            client.execute_command("DEBUG", "SLEEP", "0")
        pubsub.subscribe("__keyevent@0__:expired")
        assert pubsub.get_message(timeout=DEADLINE_S)
        client.set("k", "v", px=1)
        message = pubsub.get_message(timeout=DEADLINE_S)
        assert message
        assert message["data"] == "k"


def test_log_is_bounded(running: Path) -> None:
    """A log that has grown is put aside once at the next start."""
    embedded.stop_server()
    (running / "redis.log").write_bytes(b"x" * 2_000_000)
    embedded.ensure_server()
    assert (running / "redis.log").stat().st_size < 100_000
    assert (running / "redis.log.1").stat().st_size == 2_000_000
