"""How the hooks of the plugin are run."""

from __future__ import annotations

import json
import os
from pathlib import Path

from octet.demo.hooks import PluginHooks


def test_only_matching_hooks_run_with_the_plugin_filled_in(tmp_path: Path) -> None:
    """A matcher selects by tool, the plugin's path is put in, and the payload comes on standard
    input.
    """
    (tmp_path / "hooks").mkdir()
    hook = {
        "type": "command",
        "command": "/bin/sh",
        "args": ["-c", "cat > ${CLAUDE_PLUGIN_ROOT}/seen"],
    }
    idle = {"type": "command", "command": "/bin/false", "asyncRewake": True}
    groups = [{"matcher": "Write|Edit", "hooks": [hook, idle]}]
    (tmp_path / "hooks" / "hooks.json").write_text(json.dumps({"hooks": {"PreToolUse": groups}}))
    hooks = PluginHooks(tmp_path, os.environ)
    assert (
        hooks.fire({"hook_event_name": "PreToolUse", "tool_name": "Bash"}, tmp_path).denied is False
    )
    assert not (tmp_path / "seen").exists()
    hooks.fire({"hook_event_name": "PreToolUse", "tool_name": "Edit"}, tmp_path)
    assert json.loads((tmp_path / "seen").read_text())["tool_name"] == "Edit"
