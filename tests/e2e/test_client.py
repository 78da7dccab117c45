"""What the client itself says of the plugin, and that it still sends what the other tests' recorded
payloads say.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.claude import client_environment
from tests.support.sandbox import PROJECT
from tests.support.scripted_model import Model

from . import record

TERMINAL_ONLY = {"notification_permission_prompt", "session_end_prompt_input_exit"}


@pytest.mark.parametrize("target", [PROJECT, PROJECT / ".claude-plugin" / "marketplace.json"])
def test_the_client_finds_the_plugin_valid(
    claude_binary: Path, tmp_path: Path, target: Path
) -> None:
    """`claude plugin validate` accepts plugin and marketplace, without a warning."""
    environment = client_environment(tmp_path, "http://127.0.0.1:9")
    command = [str(claude_binary), "plugin", "validate", "--strict", str(target)]
    done = subprocess.run(
        command,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def recording(claude_binary: Path, model: Model) -> Iterator[record.Recording]:
    with tempfile.TemporaryDirectory() as directory:
        made = record.Recording(Path(directory).resolve(), claude_binary, model)
        for act in (record.record_tools, record.record_life, record.record_subagents):
            act(made)
        yield made


def test_recorded_payloads_have_the_shape_of_what_the_client_sends(
    recording: record.Recording,
) -> None:
    """Each recorded payload has the fields, and their types, that the same event has today."""
    stored = {path.stem: json.loads(path.read_text()) for path in record.PAYLOADS.glob("*.json")}
    sent = {name: payload for name, (payload, _) in record.named(recording).items()}
    assert set(stored) - TERMINAL_ONLY == set(sent)
    assert {name: shape(sent[name]) for name in sent} == {
        name: shape(stored[name]) for name in sent
    }


def shape(value: Any) -> Any:
    """Names and types without values; lists by their first element."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__
