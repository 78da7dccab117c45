"""The embedded Redis: find a program, start it once, stop it, revive it. Design: `embedded.py`."""

from octet.store.embedded.program import ServerProgram, find_server
from octet.store.embedded.server import (
    ServerStatus,
    ensure_server,
    flush_to_disk,
    fsync_policy,
    idle_seconds,
    read_status,
    server_directory,
    server_url,
    set_fsync_policy,
    stop_server,
    stop_when_unused,
    written,
)

__all__ = [
    "ServerProgram",
    "ServerStatus",
    "ensure_server",
    "find_server",
    "flush_to_disk",
    "fsync_policy",
    "idle_seconds",
    "read_status",
    "server_directory",
    "server_url",
    "set_fsync_policy",
    "stop_server",
    "stop_when_unused",
    "written",
]
