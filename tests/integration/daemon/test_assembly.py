"""What the worker puts together: a round of the real daemon also parks who never began."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.integration.daemon.client import Client
from tests.support.redis_fixtures import wait_for

from octet.client.api import Octet
from octet.daemon.hooks.service import HookService
from octet.daemon.liveness.heartbeat import Heartbeat
from octet.daemon.turns import parking
from octet.daemon.worker import assemble


def test_a_round_releases_a_claim_that_was_never_begun(
    octet: Octet,
    repository: Path,
    redis_url: str,
    sleeper: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Heartbeat and turns know nothing of each other: the worker joins them."""
    monkeypatch.setattr(parking, "UNTOUCHED_MS", 0)
    service, heartbeat = assemble()
    assert isinstance(service, HookService)
    assert isinstance(heartbeat, Heartbeat)
    client = Client(service, repository, redis_url, sleeper.pid, "s")
    client.start(agent_type="octet:developer")
    octet.tasks.add("work")
    client.stop()
    assert octet.tasks.get("1").holder == "developer-1"
    client.fire("Notification", notification_type="idle_prompt", message="m")
    heartbeat.start()
    try:
        wait_for(lambda: not octet.tasks.get("1").holder, "its claim goes back")
        wait_for(
            lambda: "never began it" in octet.work_states.get("developer-1").parked,
            "its agent is parked with the reason",
        )
    finally:
        heartbeat.stop()
        heartbeat.close_stores()
