"""The plugin's own files: where they lie, and the drop-in `.claude` rendered from the same sources.

root = plugin_root()    # holds .claude-plugin/, hooks/, commands/, agents/
render_files(root)      # by paths below .claude: {"commands/claim-task.md": Asset(…), …}
render_hooks(root)      # what goes under "hooks" in .claude/settings.json
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octet.base.errors import OctetError
from octet.install.client_settings import Hooks, add_hooks

# Names that Claude Code has taken for itself: a project's command of the same name hides the
# client's, or is hidden by it. A plugin's commands have the plugin's name in front and meet none of
# them.
CLIENT_COMMANDS = frozenset({"doctor", "init", "review", "status"})

# The launcher is read, not executed, and a missing one is not an error. The drop-in lies in the
# repository for everyone who opens it, and a guard that cannot start blocks every write: a copy
# without its executable bit would stop people who never asked for Octet.
LOADER = (
    '[ -r "$0" ] && . "$0"; [ -e .claude/octet.toml ] && '
    """echo '{"systemMessage": "Octet is off: .claude/octet/launch is missing. """
    """`octet init --drop-in` writes it again."}'; exit 0"""
)
LAUNCHER = "${CLAUDE_PROJECT_DIR}/.claude/octet/launch"


@dataclass(frozen=True)
class Asset:
    """Content of one file of the drop-in."""

    content: bytes
    executable: bool = False


def plugin_root() -> Path:
    """The directory to give to Claude Code as a plugin: inside the installed package, else the
    checkout around it.

    Raises:
        OctetError: neither has them; the installation is incomplete.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / "_plugin", package.parent.parent):
        if (root / "hooks" / "hooks.json").is_file():
            return root
    raise OctetError(f"the plugin's files are missing beside {package}: install claude-octet again")


def render_files(root: Path) -> dict[str, Asset]:
    """Every file of the drop-in but settings.json, by its path below `.claude`."""
    files = {
        f"octet/{path.name}": _copy(path)
        for path in _sources(root / "hooks", "*")
        if path.name != "hooks.json"
    }
    for path in _sources(root / "commands", "*.md"):
        files[f"commands/{dropin_command(path.stem)}.md"] = Asset(_rename(path, root))
    for path in _sources(root / "agents", "*.md"):
        files[f"agents/{path.name}"] = Asset(_rename(path, root))
    return files


def render_hooks(root: Path) -> Hooks:
    """The plugin's hooks with the drop-in's launcher in place of the plugin's.

    Raises:
        OctetError: a hook of the plugin is not of the form `launch EVENT plugin`.
    """
    hooks: Hooks = json.loads((root / "hooks" / "hooks.json").read_text(encoding="utf-8"))["hooks"]
    return {event: [_render_group(group) for group in groups] for event, groups in hooks.items()}


def render_settings(root: Path) -> bytes:
    """`.claude/settings.json` of a repository that had none."""
    return add_hooks("", render_hooks(root)).encode()


def dropin_command(name: str) -> str:
    """The drop-in's name for a command of the plugin."""
    return f"octet-{name}" if name in CLIENT_COMMANDS else name


def _render_group(group: dict[str, Any]) -> dict[str, Any]:
    return {**group, "hooks": [_render_hook(hook) for hook in group["hooks"]]}


def _render_hook(hook: dict[str, Any]) -> dict[str, Any]:
    match hook:
        case {"command": "${CLAUDE_PLUGIN_ROOT}/hooks/launch", "args": [str(event), "plugin"]}:
            return {**hook, "command": "/bin/sh", "args": ["-c", LOADER, LAUNCHER, event, "dropin"]}
    raise OctetError(f"hooks.json has a hook that the drop-in cannot render: {json.dumps(hook)}")


def _rename(path: Path, root: Path) -> bytes:
    """A command or agent with the plugin's names replaced by the drop-in's."""
    text = path.read_text(encoding="utf-8")
    for command in _sources(root / "commands", "*.md"):
        text = re.sub(rf"/octet:{command.stem}\b(?!-)", f"/{dropin_command(command.stem)}", text)
    for agent in _sources(root / "agents", "*.md"):
        text = re.sub(rf"\boctet:{agent.stem}\b(?!-)", agent.stem, text)
    return text.replace(
        "${CLAUDE_PLUGIN_ROOT}/agents/", "${CLAUDE_PROJECT_DIR}/.claude/agents/"
    ).encode()


def _sources(directory: Path, pattern: str) -> list[Path]:
    return sorted(path for path in directory.glob(pattern) if path.is_file())


def _copy(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, executable=content.startswith(b"#!"))
