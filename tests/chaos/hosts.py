"""Machines of the test's own, as network namespaces with host names: each with a home, a clone, a
daemon, an agent; one store for all.

Nothing of it is reachable from outside: the links lead from host to store, and no namespace is
connected to the machine's own network. What a killed test has left is removed by the next: names
carry the pid of the test that made them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.redis_fixtures import find_program, wait_for

from octet.client.api import Octet
from octet.store.connection import open_client

PROJECT = Path(__file__).parents[2]
ADDRESS = "10.77.0.1"
PORT = 6379
LEASE_S = 5.0
PREFIX = "octet-test-"


def ip(*words: str) -> str:
    return subprocess.run(
        ["ip", *words], capture_output=True, text=True, timeout=60, check=True
    ).stdout


def remove_leftovers() -> None:
    """Namespaces of tests that run no more, with whatever runs in them."""
    for name in re.findall(rf"^({PREFIX}(\d+)-\w+)", ip("netns", "list"), re.MULTILINE):
        if not Path("/proc", name[1]).exists():
            remove(name[0])


def remove(namespace: str) -> None:
    for _ in range(100):
        pids = ip("netns", "pids", namespace).split()
        if not pids:
            break
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)  # until they are gone; a few that are not yet reaped keep nothing
    ip("netns", "delete", namespace)


@dataclass(frozen=True)
class Ended:
    """How a command of an agent ended."""

    code: int
    text: str


class Host:
    """One machine; its agent is a shell, in which `run` runs commands as Claude Code would."""

    def __init__(
        self, store: str, namespace: str, number: int, directory: Path, origin: Path
    ) -> None:
        self.store, self.namespace, self.link = store, namespace, f"v{number}"
        self.name = namespace.rpartition("-")[2]
        self.home, self.root = directory / self.name, directory / f"{self.name}-shop"
        self.home.mkdir()
        self._connect(number)
        tools = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {
            "HOME": str(self.home),
            "PATH": tools,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(PROJECT / "src"),
        }
        self.environment |= {
            "OCTET_REDIS_URL": f"redis://{ADDRESS}:{PORT}",
            "OCTET_DAEMON_LEASE_S": str(LEASE_S),
        }
        self.environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        self.environment |= {
            f"GIT_{who}_{what}": "ann@example.org"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        subprocess.run(
            ["git", "clone", "-q", str(origin), str(self.root)], env=self.environment, check=True
        )
        inside = self.inside("sh")
        self.agent = subprocess.Popen(
            inside, stdin=subprocess.PIPE, env=self.environment, cwd=self.root, text=True
        )
        self.environment["CLAUDE_PID"] = str(self.agent.pid)

    def _connect(self, number: int) -> None:
        ip("netns", "add", self.namespace)
        ip(
            "-n",
            self.store,
            "link",
            "add",
            self.link,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            self.namespace,
        )
        ip("-n", self.store, "address", "add", f"10.77.{number}.1/24", "dev", self.link)
        ip("-n", self.namespace, "address", "add", f"10.77.{number}.2/24", "dev", "eth0")
        for where, device in (
            (self.namespace, "lo"),
            (self.namespace, "eth0"),
            (self.store, self.link),
        ):
            ip("-n", where, "link", "set", device, "up")
        ip("-n", self.namespace, "route", "add", "default", "via", f"10.77.{number}.1")

    def set_up(self) -> None:
        """`octet init` and a daemon, both of this source and this interpreter."""
        self.octet("init")
        command, record = (
            self.home / "octet",
            self.home / ".local" / "state" / "octet" / "interpreter",
        )
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m octet "$@"\n')
        command.chmod(0o755)
        record.write_text(f"{os.path.realpath(sys.executable)}\n{PROJECT / 'src'}\n{command}\n")
        self.octet("daemon", "start")

    def inside(self, *command: str) -> list[str]:
        """A command line on this machine."""
        named = f'hostname {self.name} && exec "$@"'
        return [
            "ip",
            "netns",
            "exec",
            self.namespace,
            "unshare",
            "--uts",
            "sh",
            "-c",
            named,
            "sh",
            *command,
        ]

    def octet(self, *words: str, code: int | None = 0) -> Any:
        """Our command with `--json`, by this machine's agent; what it says."""
        command = self.inside(sys.executable, "-m", "octet", *words, "--json")
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr

    def hook(self, event: str, **fields: Any) -> dict[str, Any]:
        """One event of the agent's session; the hook's answer."""
        payload = {
            "session_id": self.name,
            "transcript_path": "/t",
            "cwd": str(self.root),
            "hook_event_name": event,
            **fields,
        }
        command = self.inside(str(PROJECT / "hooks" / "launch"), event, "plugin")
        done = subprocess.run(
            command,
            input=json.dumps(payload),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (0, 2), done.stderr
        return json.loads(done.stdout) if done.stdout else {}

    def write(self, path: Path) -> str:
        """Why the agent may not write a file; "" where it may."""
        given = {"file_path": str(path), "content": "x"}
        said = self.hook("PreToolUse", tool_name="Write", tool_input=given, tool_use_id="t").get(
            "hookSpecificOutput", {}
        )
        return (
            str(said.get("permissionDecisionReason", ""))
            if said.get("permissionDecision") == "deny"
            else ""
        )

    def run(self, command: str, **environment: str) -> Ended:
        """A command of the agent's, as its child."""
        files = {name: self.home / f"agent.{name}" for name in ("text", "code")}
        files["code"].unlink(missing_ok=True)
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        text, code = (shlex.quote(str(path)) for path in files.values())
        assert self.agent.stdin is not None
        self.agent.stdin.write(
            f"(env {settings} {command}) >{text} 2>&1 </dev/null; echo $? >{code}.new; mv "
            f"{code}.new {code}\n"
        )
        self.agent.stdin.flush()
        wait_for(files["code"].exists, command, 60)
        return Ended(int(files["code"].read_text()), files["text"].read_text())

    def signal(self, number: int) -> None:
        """To all processes of this machine."""
        for pid in ip("netns", "pids", self.namespace).split():
            os.kill(int(pid), number)

    def cut(self) -> None:
        ip("-n", self.store, "link", "set", self.link, "down")

    def heal(self) -> None:
        ip("-n", self.store, "link", "set", self.link, "up")


class Field:
    """Two hosts, `one` and `two`, and the store, which the test reaches by its socket."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._names = [f"{PREFIX}{os.getpid()}-{name}" for name in ("store", "one", "two")]
        self.server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Field:
        try:
            self._start_store()
            origin = self._make_origin()
            self.one, self.two = (
                Host(self._names[0], self._names[n], n, self.directory, origin) for n in (1, 2)
            )
            for host in (self.one, self.two):
                host.set_up()
                host.hook("SessionStart", source="startup", agent_type="octet:developer")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        known = ip("netns", "list")
        for name in self._names:
            if name in known:
                remove(name)
        for process in (
            self.server,
            *(
                host.agent
                for host in (getattr(self, "one", None), getattr(self, "two", None))
                if host
            ),
        ):
            if process:
                process.kill()
                process.communicate()
        if hasattr(self, "octet"):
            self.octet.close()

    def _start_store(self) -> None:
        store, socket = self._names[0], self.directory / "s"
        ip("netns", "add", store)
        ip("-n", store, "link", "set", "lo", "up")
        ip("-n", store, "address", "add", f"{ADDRESS}/32", "dev", "lo")
        settings = [
            "--bind",
            ADDRESS,
            "--port",
            str(PORT),
            "--protected-mode",
            "no",
            "--unixsocket",
            str(socket),
            "--save",
            "",
        ]
        settings += [
            "--dir",
            str(self.directory),
            "--logfile",
            "log",
            "--notify-keyspace-events",
            "Ex",
        ]
        self.server = subprocess.Popen(
            ["ip", "netns", "exec", store, find_program("redis"), *settings]
        )
        wait_for(socket.exists, "the store's socket")
        self.octet = Octet(open_client(f"unix://{socket}"), "shop")

    def _make_origin(self) -> Path:
        """A bare repository that both have cloned."""
        origin, work = self.directory / "origin.git", self.directory / "work"
        (work / ".claude").mkdir(parents=True)
        (work / ".claude" / "octet.toml").write_text('project = "shop"\n')
        identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
        for words in (
            ["init", "-q", "-b", "main"],
            ["add", "-A"],
            [*identity, "commit", "-q", "-m", "Begin"],
        ):
            subprocess.run(["git", *words], cwd=work, check=True)
        subprocess.run(["git", "clone", "-q", "--bare", str(work), str(origin)], check=True)
        shutil.rmtree(work)
        return origin


def seconds_until(condition: Callable[[], bool], what: str) -> float:
    began = time.monotonic()
    wait_for(condition, what, 60)
    return time.monotonic() - began
