"""An update under a running crew: what a session, git's hooks and commands meet between the version
before and this one, in the same directory (as `git pull` does it) and in another (a new plugin).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.support.programs import skip_or_fail
from tests.support.waiting import poll

from octet.daemon.process.build import read_build

PROJECT = Path(__file__).parents[2]
BEFORE = "35d9f17"  # the last commit before the package was laid out in layers
FAILED = ("Octet failed", "breaks off", "does not", "cannot be asked", "octet doctor")

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with Octet's dependencies, as bin/octet builds one."""
    venv = tmp_path_factory.mktemp("environment") / "venv"
    (venv / "bin").mkdir(parents=True)
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    (venv / "bin" / "python").symlink_to(base)
    (venv / "pyvenv.cfg").write_text(f"home = {base.parent}\n")
    packages = Path(pytest.__file__).parents[1]
    target = venv / "lib" / "python{}.{}".format(*sys.version_info) / "site-packages"
    target.parent.mkdir(parents=True)
    target.symlink_to(packages)
    return venv


@pytest.fixture(scope="module")
def before() -> bytes:
    """The version before, as an archive."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", BEFORE], cwd=PROJECT, capture_output=True, check=False
    )
    if packed.returncode:
        skip_or_fail(f"the history does not reach back to {BEFORE}: it is shallow")
    return packed.stdout


class Site:
    """A machine with the version before at work: its daemon, its git hooks and its drop-in in a
    repository, a developer that holds a task and a lock.
    """

    def __init__(self, directory: Path, home: Path, environment: Path, before: bytes) -> None:
        self.state = Path(os.environ["OCTET_HOME"])
        self.venv = environment
        self._number = count()
        self.tree = directory / "octet 1"
        self.root = directory / "a shop"
        self.environment = {
            "HOME": str(home),
            "OCTET_HOME": str(self.state),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "OCTET_DAEMON_IDLE_S": "600",
        }
        with tarfile.open(fileobj=BytesIO(before)) as archive:
            archive.extractall(self.tree, filter="data")
        self.make_ready(self.tree)
        self.root.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Ann")
        self.git("config", "user.email", "ann@example.org")
        self.octet("init", "--drop-in")
        (self.root / "a.py").write_text("a = 1\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "Begin", OCTET_FENCE_TOKEN="")
        self.sessions: list[subprocess.Popen[bytes]] = []

    def make_ready(self, tree: Path) -> None:
        """Let bin/octet find the environment for a tree."""
        pointer = Path(f"{self.state}/cache/ready{tree}/octet.venv")
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.write_text(f"{self.venv}\nchecked\n")

    def update(self, target: Path) -> Path:
        """Put this version into `target`: what differs is written, what is gone is removed."""
        wanted = {
            Path(name)
            for name in subprocess.run(
                ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                cwd=PROJECT,
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split("\0")
            if name and (PROJECT / name).is_file()
        }
        for path in sorted(target.rglob("*"), reverse=True):
            if path.is_file() and path.relative_to(target) not in wanted:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        for name in wanted:
            old, new = target / name, PROJECT / name
            if not old.is_file() or old.read_bytes() != new.read_bytes():
                old.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(new, old)
                old.chmod(new.stat().st_mode & 0o777)
        self.make_ready(target)
        self.tree = target
        return target

    def git(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return self._run(["git", *words], settings)

    def octet(self, *words: str, **settings: str) -> Any:
        """What `octet WORDS --json` prints."""
        done = self._run([f"{self.tree}/bin/octet", *words, "--json"], settings)
        assert done.returncode == 0, done
        assert "Traceback" not in done.stderr, done
        return json.loads(done.stdout)

    def _run(
        self, command: list[str], settings: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def hook(self, event: str, pid: int, *, launch: Path, **fields: Any) -> str:
        """What a hook of the session with the process `pid` says; it has to be a valid answer."""
        dropin = launch.is_relative_to(self.root)
        plugin = {} if dropin else {"CLAUDE_PLUGIN_ROOT": str(launch.parents[1])}
        payload = {
            "session_id": f"session-{pid}",
            "transcript_path": str(self.root / "none.jsonl"),
            "cwd": str(self.root),
            "hook_event_name": event,
            "permission_mode": "default",
            "tool_use_id": f"use-{next(self._number)}",
            **fields,
        }
        done = subprocess.run(
            [launch, event, "dropin" if dropin else "plugin"],
            cwd=self.root,
            env=self.environment
            | {"CLAUDE_PID": str(pid), "CLAUDE_PROJECT_DIR": str(self.root)}
            | plugin,
            input=json.dumps(payload),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode in (0, 2), done
        assert not any(word in said for word in FAILED), (event, said)
        return said

    def write(self, pid: int, name: str, *, launch: Path) -> str:
        """What the guard says to a write."""
        call = {"file_path": str(self.root / name), "content": "x"}
        return self.hook("PreToolUse", pid, launch=launch, tool_name="Write", tool_input=call)

    def begin_session(self, launch: Path) -> int:
        """A process like Claude Code's, and its first hook."""
        process = subprocess.Popen(["sleep", "600"])
        self.sessions.append(process)
        self.hook("SessionStart", process.pid, launch=launch, source="startup")
        return process.pid

    def daemon(self) -> dict[str, Any]:
        found = json.loads((self.state / "daemon.json").read_text())
        assert isinstance(found, dict)
        return found

    def end(self) -> None:
        for process in self.sessions:
            process.kill()
            process.wait()
        subprocess.run(
            [self.tree / "bin" / "octet", "daemon", "stop"],
            env=self.environment,
            capture_output=True,
            check=False,
        )


@pytest.fixture
def site(embedded_home: Path, tmp_path: Path, environment: Path, before: bytes) -> Iterator[Site]:
    """The version before at work; ended after the test."""
    site = Site(tmp_path, embedded_home, environment, before)
    yield site
    site.end()


class Crew:
    """A developer at work in the shared checkout, and a second session beside it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        launch = site.tree / "hooks" / "launch"
        self.pid, self.other = (site.begin_session(launch) for _ in range(2))
        self.me = {"CLAUDE_PID": str(self.pid)}
        site.octet("agent", "join", "developer", **self.me)
        self.agent = site.octet("agent", "show", **self.me)["agent"]
        site.octet("task", "add", "First", "--id", "first")
        site.octet("task", "add", "Second", "--id", "second")
        self.task = site.octet("task", "claim", **self.me)
        self.lock = site.octet("lock", "acquire", "name:release", "--ttl", "600", **self.me)
        assert site.write(self.pid, "a.py", launch=launch) == ""

    def go_on(self, launch: Path) -> None:
        """All that the two do, by the hooks that they have had from the beginning."""
        site = self.site
        assert site.write(self.pid, "a.py", launch=launch) == ""
        assert self.agent["id"] in site.write(self.other, "a.py", launch=launch)
        for pid in (self.pid, self.other):
            site.hook("UserPromptSubmit", pid, launch=launch, prompt="go on")
            site.hook(
                "PostToolUse",
                pid,
                launch=launch,
                tool_name="Bash",
                tool_input={"command": "true"},
                tool_response={"stdout": "", "stderr": "", "interrupted": False},
            )
        site.hook("Stop", self.other, launch=launch, stop_hook_active=False)

    def check(self) -> None:
        """Nothing was lost: agent, lease, lock, fence; and no token comes twice."""
        site = self.site
        now = site.octet("agent", "show", **self.me)["agent"]
        assert [now[name] for name in ("id", "incarnation")] == [
            self.agent[name] for name in ("id", "incarnation")
        ]
        held = {lock["resource"]: lock for lock in site.octet("lock", "list")}
        assert held["name:release"]["holder"] == self.agent["id"]
        again = site.octet("lock", "acquire", "name:release", **self.me)
        assert again["tokens"] == self.lock["tokens"]
        self.check_fence()
        first = site.octet("task", "show", "first")
        assert (first["state"], first["holder"]) == ("claimed", self.agent["id"])
        site.octet("task", "complete", "first", "--token", self.task["token"], **self.me)
        second = site.octet("task", "claim", **self.me)
        assert second["id"] == "second"
        assert int(second["token"]) > max(
            int(self.task["token"]), int(self.lock["tokens"]["name:release"])
        )

    def check_fence(self) -> None:
        """An agent moves no protected branch, by the hooks that the version before installed."""
        git = self.site.git
        tip = git("rev-parse", "main").stdout.strip()
        commit = git("commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "x").stdout.strip()
        moved = git("update-ref", "refs/heads/main", commit, **self.me)
        assert moved.returncode != 0, moved
        assert "ctet" in moved.stderr, moved
        assert "cannot be asked" not in moved.stderr, moved
        assert git("rev-parse", "main").stdout.strip() == tip


def handed_over(site: Site) -> bool:
    """Whether the daemon runs the code that is installed."""
    build = read_build(site.tree / "src" / "octet")
    assert build is not None
    return bool(site.daemon()["fingerprint"] == build.fingerprint)


def test_in_place(site: Site) -> None:
    """The hooks are the first to meet it: the older daemon, whose files are gone, hands over at the
    first call on which it fails.
    """
    crew = Crew(site)
    launch = site.tree / "hooks" / "launch"
    site.update(site.tree)
    crew.check_fence()
    crew.go_on(launch)
    poll(lambda: handed_over(site), "the daemon has handed over")
    crew.go_on(launch)
    crew.check()


def test_in_place_by_a_command(site: Site) -> None:
    """The first command brings this version's daemon."""
    crew = Crew(site)
    site.update(site.tree)
    assert not handed_over(site)
    site.octet("task", "list")
    assert handed_over(site)
    crew.go_on(site.tree / "hooks" / "launch")
    crew.check()


def test_in_place_by_a_new_session(site: Site) -> None:
    """A session that starts is looked at after it was answered."""
    crew = Crew(site)
    site.update(site.tree)
    site.begin_session(site.tree / "hooks" / "launch")
    poll(lambda: handed_over(site), "the daemon has handed over")
    crew.go_on(site.tree / "hooks" / "launch")
    crew.check()


def test_in_place_with_a_worker_that_is_killed(site: Site) -> None:
    """The supervisor of the version before starts the worker of this one."""
    crew = Crew(site)
    site.update(site.tree)
    os.kill(site.daemon()["pid"], signal.SIGKILL)
    poll(lambda: handed_over(site), "a worker of this version")
    crew.go_on(site.tree / "hooks" / "launch")
    crew.check()


def test_a_new_plugin_beside_the_old_one(site: Site) -> None:
    """A new session brings the new daemon; the sessions that run go on with the hooks that they
    have, and so does the drop-in.
    """
    crew = Crew(site)
    old, new = site.tree, site.update(site.tree.with_name("octet 2"))
    crew.go_on(old / "hooks" / "launch")
    site.begin_session(new / "hooks" / "launch")
    poll(lambda: handed_over(site), "the daemon has handed over")
    crew.go_on(old / "hooks" / "launch")
    crew.go_on(site.root / ".claude" / "octet" / "launch")
    crew.check()


def test_a_new_plugin_in_place_of_the_old_one(site: Site) -> None:
    """The old directory is removed under the sessions that run: the drop-in's hooks, the fence and
    the new plugin's go on.
    """
    crew = Crew(site)
    old, new = site.tree, site.update(site.tree.with_name("octet 2"))
    shutil.rmtree(old)
    crew.go_on(new / "hooks" / "launch")
    crew.check_fence()
    poll(lambda: handed_over(site), "the daemon has handed over")
    crew.go_on(site.root / ".claude" / "octet" / "launch")
    crew.check()


def test_this_version_reads_nothing_of_itself_later(site: Site) -> None:
    """The next update in place finds a daemon that has all it needs: it answers until it hands
    over, though its files are gone.
    """
    site.update(site.tree)
    crew = Crew(site)
    assert handed_over(site)
    daemon = site.daemon()
    package = site.tree / "src" / "octet"
    for path in [*package.rglob("*.lua"), *package.rglob("*.py")]:
        path.unlink()
    launch = site.tree / "hooks" / "launch"
    crew.go_on(launch)
    assert site.daemon()["pid"] == daemon["pid"]
    site.update(site.tree)
    crew.check()
