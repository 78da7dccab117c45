"""The embedded Redis: find a program, start it once, stop it, start it again after a crash.

Design: `server.py`.
"""

from octet.store.embedded.program import ServerProgram, find_server
from octet.store.embedded.server import (
    ServerStatus,
    data_stamps,
    ensure_server,
    flush_to_disk,
    fsync_policy,
    read_status,
    server_directory,
    server_url,
    set_fsync_policy,
    stop_server,
    stop_when_unused,
)

__all__ = [
    "ServerProgram",
    "ServerStatus",
    "data_stamps",
    "ensure_server",
    "find_server",
    "flush_to_disk",
    "fsync_policy",
    "read_status",
    "server_directory",
    "server_url",
    "set_fsync_policy",
    "stop_server",
    "stop_when_unused",
]
