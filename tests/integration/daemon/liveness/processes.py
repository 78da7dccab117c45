"""Agents that are processes of the test."""

from __future__ import annotations

import subprocess

from octet.base.process import identify
from octet.client.api import Octet
from octet.core.agents.registry import Agent, Registration


def register(
    octet: Octet, process: subprocess.Popen[bytes], *, suffix: str = "", parent: str = ""
) -> Agent:
    identity = identify(process.pid)
    assert identity
    wanted = Registration(
        role="developer",
        process=str(identity) + suffix,
        host=identity.host,
        pid=identity.pid,
        parent=parent,
    )
    return octet.agents.register(wanted).agent
