"""What the real client says of the plugin's manifests, and of its size in every session."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.support.claude import client_environment, find_claude, unfit_because
from tests.support.programs import skip_or_fail

ROOT = Path(__file__).resolve().parents[2]
ALWAYS_ON_BUDGET_TOKENS = 1000
OFFLINE = "http://127.0.0.1:9"


@pytest.fixture
def offline_client(tmp_path: Path) -> list[str | Path]:
    """The real client, with a home of its own and no network."""
    binary = find_claude()
    if reason := unfit_because(binary):
        skip_or_fail(reason)
    assert binary is not None
    environment = client_environment(tmp_path / "home", OFFLINE)
    return [
        "/usr/bin/env",
        "-i",
        *(f"{name}={value}" for name, value in environment.items()),
        binary,
    ]


def test_the_client_accepts_the_plugin(offline_client: list[str | Path]) -> None:
    """`claude plugin validate --strict` finds nothing, warnings included."""
    for manifest in ("plugin.json", "marketplace.json"):
        done = subprocess.run(
            [*offline_client, "plugin", "validate", "--strict", ROOT / ".claude-plugin" / manifest],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_plugin_costs_little_context_when_idle(offline_client: list[str | Path]) -> None:
    """The client's own estimate of what it adds to every session stays within the budget."""
    for step in (["marketplace", "add", str(ROOT)], ["install", "octet@octet"]):
        subprocess.run(
            [*offline_client, "plugin", *step], check=True, capture_output=True, timeout=60
        )
    shown = subprocess.run(
        [*offline_client, "plugin", "details", "octet"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    tokens = re.search(r"Always-on:\s+~?([\d,]+) tok", shown)
    assert tokens, shown
    assert int(tokens[1].replace(",", "")) <= ALWAYS_ON_BUDGET_TOKENS
