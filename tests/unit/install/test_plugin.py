"""The drop-in `.claude`: rendered from the plugin's sources, harmless where a part is missing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from octet.base.errors import OctetError
from octet.install import plugin
from octet.install.client_settings import MARK

ROOT = Path(__file__).resolve().parents[3]
LAUNCH = '#!/bin/sh\nprintf \'%s|\' "${0##*/}" "$@"\nexec cat\n'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small plugin: one hook, three commands, two agents."""
    files = {
        "hooks/hooks.json": json.dumps(
            {
                "description": "not for settings",
                "hooks": {
                    "PreToolUse": [
                        {
                            "matcher": "Write",
                            "hooks": [
                                {
                                    "type": "command",
                                    "command": "${CLAUDE_PLUGIN_ROOT}/hooks/launch",
                                    "args": ["PreToolUse", "plugin"],
                                    "onFailure": "block",
                                    "timeout": 5,
                                }
                            ],
                        }
                    ]
                },
            }
        ),
        "hooks/launch": LAUNCH,
        "hooks/pipe.py": "pass\n",
        "commands/claim.md": "Then /octet:status, /octet:claim, "
        "/octet:claim-more; as octet:developer, not octet:developer-2.\n",
        "commands/claim-more.md": "Read `${CLAUDE_PLUGIN_ROOT}/agents/developer.md`.\n",
        "commands/status.md": "Run `octet status`.\n",
        "agents/developer.md": "See octet:guardian and /octet:unknown.\n",
        "agents/guardian.md": "Guard.\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run_hook(
    hook: dict[str, object], project: Path, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a rendered hook as the client does: paths put in, no shell around it."""
    args = hook["args"]
    assert isinstance(args, list)
    words = [
        str(word).replace("${CLAUDE_PROJECT_DIR}", str(project))
        for word in [hook["command"], *args]
    ]
    return subprocess.run(
        words,
        cwd=project,
        env={},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def rendered_hook(source: Path) -> dict[str, object]:
    hook: dict[str, object] = plugin.render_hooks(source)["PreToolUse"][0]["hooks"][0]
    return hook


def place_launcher(project: Path, mode: int) -> None:
    launcher = project / MARK
    launcher.parent.mkdir(parents=True)
    launcher.write_text(LAUNCH)
    launcher.chmod(mode)


def test_every_part_of_the_plugin_is_in_the_drop_in(source: Path) -> None:
    """Hooks' files, commands and agents; hooks.json becomes settings.json."""
    assert set(plugin.render_files(source)) == {
        "octet/launch",
        "octet/pipe.py",
        "commands/claim.md",
        "commands/claim-more.md",
        "commands/octet-status.md",
        "agents/developer.md",
        "agents/guardian.md",
    }


def test_names_are_the_drop_ins_own(source: Path) -> None:
    """The plugin's prefix goes, a name that the client has for itself gets one, and what is no name
    of ours stays.
    """
    files = plugin.render_files(source)
    assert (
        files["commands/claim.md"].content
        == b"Then /octet-status, /claim, /claim-more; as developer, not octet:developer-2.\n"
    )
    assert (
        files["commands/claim-more.md"].content
        == b"Read `${CLAUDE_PROJECT_DIR}/.claude/agents/developer.md`.\n"
    )
    assert files["agents/developer.md"].content == b"See guardian and /octet:unknown.\n"


def test_a_hook_keeps_its_settings_and_says_that_it_is_the_drop_in(source: Path) -> None:
    """Matcher, time-out and the failure rule are the plugin's; the daemon tells the two apart by
    the last argument.
    """
    [group] = plugin.render_hooks(source)["PreToolUse"]
    [hook] = group["hooks"]
    assert (group["matcher"], hook["onFailure"], hook["timeout"]) == ("Write", "block", 5)
    assert hook["args"][-3:] == ["${CLAUDE_PROJECT_DIR}/" + MARK, "PreToolUse", "dropin"]


def test_a_hook_that_cannot_be_rendered_is_an_error(source: Path) -> None:
    """A hook of another form is not dropped in silence."""
    (source / "hooks" / "hooks.json").write_text(
        '{"hooks": {"Stop": [{"hooks": [{"type": "prompt", "prompt": "x"}]}]}}'
    )
    with pytest.raises(OctetError):
        plugin.render_hooks(source)


@pytest.mark.parametrize("mode", [0o755, 0o644])
def test_the_launcher_runs_with_or_without_its_executable_bit(
    source: Path, tmp_path: Path, mode: int
) -> None:
    """A copy by zip or on another file system loses it; arguments, name and standard input arrive
    all the same.
    """
    project = tmp_path / "a project"
    place_launcher(project, mode)
    done = run_hook(rendered_hook(source), project, stdin='{"a": 1}')
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        'launch|PreToolUse|dropin|{"a": 1}',
        "",
    )


def test_a_missing_launcher_blocks_nobody(source: Path, tmp_path: Path) -> None:
    """Half a drop-in copy in a repository without an opt-in is as if it were not there."""
    done = run_hook(rendered_hook(source), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_launcher_is_told_where_octet_is_in_use(source: Path, tmp_path: Path) -> None:
    """There a guard that is off must not be off in silence."""
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "octet.toml").touch()
    done = run_hook(rendered_hook(source), tmp_path)
    assert done.returncode == 0
    assert "octet init --drop-in" in json.loads(done.stdout)["systemMessage"]


def test_this_projects_own_drop_in_is_current() -> None:
    """`.claude` equals what scripts/render makes of hooks/, commands/ and agents/."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "render", "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_this_projects_own_drop_in_is_inert() -> None:
    """It opts no repository in, and no name of the plugin is left in it."""
    assert not (ROOT / ".claude" / "octet.toml").exists()
    for path, asset in plugin.render_files(ROOT).items():
        if path.endswith(".md"):
            assert not re.search(
                r"/octet:[a-z]|\boctet:[a-z]|CLAUDE_PLUGIN_ROOT", asset.content.decode()
            ), path


def test_the_plugins_files_are_found() -> None:
    """From a checkout, the root is the checkout."""
    assert plugin.plugin_root() == ROOT
