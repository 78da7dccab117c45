"""A home directory, a repository and a way of having Octet in it, all temporary; and the sessions
of Claude Code started there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

import redis
from tests.support.claude import (
    ClaudeHeadless,
    ClaudeInteractive,
    accept_first_run_questions,
    client_environment,
)
from tests.support.scripted_model import Model
from tests.support.waiting import DEADLINE_S, poll

PROJECT = Path(__file__).parents[2]
PLUGIN, DROP_IN, BOTH = "plugin", "drop-in", "both"
ENDING_S = 10.0
SERVICE = re.compile(r"(redis|valkey)-server|octet/daemon/")


class Closable(Protocol):
    def close(self) -> None: ...


class Sandbox:
    """One person's machine, as far as Octet and Claude Code can tell.

    Args:
        directory: an empty directory with a short name (unix sockets lie below it).
        way: how Octet gets into a session: `plugin` (--plugin-dir), `drop-in` (files in the
            repository's .claude) or `both`.
        cache: a cache directory in which the virtual environment has been built.
    """

    def __init__(self, directory: Path, binary: Path, model: Model, way: str, cache: Path) -> None:
        self.directory, self.binary, self.model, self.way, self.cache = (
            directory,
            binary,
            model,
            way,
            cache,
        )
        self.home = directory / "home"
        self.repository = directory / "a r\u00e9po"
        self.plugin = PROJECT
        self.project = ""
        self.extra_environment: dict[str, str] = {}
        self._open: list[Closable] = []
        self._store: redis.Redis | None = None
        self.home.mkdir()
        make_repository(self.repository)

    @property
    def has_drop_in(self) -> bool:
        return self.way in (DROP_IN, BOTH)

    def name(self, part: str) -> str:
        """The name of a command or role as this sandbox's sessions know it: `octet:claim-task` or
        `claim-task`.
        """
        return part if self.way == DROP_IN else f"octet:{part}"

    # --- Octet ---

    def environment(self) -> dict[str, str]:
        """For Octet's own command, as a person types it."""
        path = f"{PROJECT / 'bin'}:{interpreter_directory()}:/usr/local/bin:/usr/bin:/bin"
        return {
            "HOME": str(self.home),
            "PATH": path,
            "LANG": "C.UTF-8",
            "XDG_CACHE_HOME": str(self.cache),
        }

    def octet(
        self, *arguments: str, check: bool = True, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command in the repository; with `check`, a refusal fails the test and shows what
        was said.
        """
        done = subprocess.run(
            [PROJECT / "bin" / "octet", *arguments],
            cwd=cwd or self.repository,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0 or not check, (
            f"octet {' '.join(arguments)}: exit {done.returncode}: {done.stdout}{done.stderr}"
        )
        return done

    def opt_in(self) -> None:
        """`octet init`, with the drop-in where this sandbox has one, committed as by a team."""
        told = self.octet("init", "--json", *(["--drop-in"] if self.has_drop_in else []))
        self.project = json.loads(told.stdout)["project"]
        git(self.repository, "add", "-A")
        git(self.repository, "commit", "-q", "-m", "Use Octet")

    def add_task(self, title: str) -> str:
        """Add a task; returns its id."""
        added: str = json.loads(self.octet("task", "add", title, "--json").stdout)["id"]
        return added

    @property
    def store(self) -> Any:
        """The sandbox's own Redis, by the public address that `octet redis url` prints; redis-py
        has no types for decoded replies.
        """
        if self._store is None:
            url = self.octet("redis", "url").stdout.strip()
            self._store = redis.Redis.from_url(url, decode_responses=True)
        return self._store

    def key(self, rest: str) -> str:
        return f"workflow:{{{self.project}}}:{rest}"

    def task(self, task: str) -> dict[str, str]:
        found: dict[str, str] = self.store.hgetall(self.key(f"tasks:status:{task}"))
        return found

    def agents(self) -> list[dict[str, Any]]:
        """Registry entries of sessions and sub-agents, each with its `id`; people who typed a
        command are left out.
        """
        registry: dict[str, str] = self.store.hgetall(self.key("agents:registry"))
        entries = [
            {"id": agent, **json.loads(record)} for agent, record in sorted(registry.items())
        ]
        return [entry for entry in entries if entry["kind"] in ("session", "subagent")]

    def agent_of(self, client: ClaudeHeadless | ClaudeInteractive) -> dict[str, Any]:
        """The agent that a session is, once it has registered; told by the client's process."""
        found = poll(
            lambda: [
                agent
                for agent in self.agents()
                if agent["pid"] == client.pid and agent["kind"] == "session"
            ],
            "the agent",
        )
        assert len(found) == 1, f"one process, several agents: {found}"
        return found[0]

    def holder(self, path: str) -> str:
        """The holder of the repository-relative `path`, or ""."""
        value = self.store.get(self.key(f"locks:path:{path}"))
        return str(json.loads(value)["holder"]) if value else ""

    def log(self) -> list[dict[str, str]]:
        """The kept events, oldest first."""
        entries = self.store.xrange(self.key("log"))
        return [fields for _, fields in entries]

    # --- Claude Code ---

    def client_environment(self) -> dict[str, str]:
        """A session's: `octet` is on its PATH by the plugin's bin, or, with the drop-in alone, by
        the person's own PATH.
        """
        environment = client_environment(self.home, self.model.url) | {
            "XDG_CACHE_HOME": str(self.cache)
        }
        path = f"{interpreter_directory()}:{environment['PATH']}"
        return (
            environment
            | {"PATH": f"{PROJECT / 'bin'}:{path}" if self.way == DROP_IN else path}
            | self.extra_environment
        )

    def start(
        self,
        prompt: str | None,
        *arguments: str,
        mode: str = "bypassPermissions",
        cwd: Path | None = None,
    ) -> ClaudeHeadless:
        """Start `claude -p`; with None as prompt it waits to be sent some."""
        client = ClaudeHeadless(
            self.binary,
            cwd or self.repository,
            self.client_environment(),
            prompt,
            self._arguments(arguments, mode),
        )
        self._open.append(client)
        return client

    def open_terminal(self, *arguments: str, mode: str = "bypassPermissions") -> ClaudeInteractive:
        accept_first_run_questions(self.home, self.repository)
        client = ClaudeInteractive(
            self.binary,
            self.repository,
            self.client_environment(),
            self._arguments(arguments, mode),
        )
        self._open.append(client)
        client.wait_until_ready()
        return client

    def _arguments(self, arguments: Sequence[str], mode: str) -> list[str]:
        plugin = [] if self.way == DROP_IN else ["--plugin-dir", str(self.plugin)]
        return [*plugin, "--permission-mode", mode, *arguments]

    # --- the end ---

    def processes(self) -> dict[int, str]:
        """Every live process that belongs to this sandbox: pid → command line."""
        return dict(processes_of(self.directory))

    def kill_services(self) -> None:
        """SIGKILL to all of the daemon and to the embedded server, and wait until they are gone."""
        services = {
            pid: command for pid, command in self.processes().items() if SERVICE.search(command)
        }
        assert len(services) >= 2, f"a daemon and a server: {services}"
        for pid in services:
            os.kill(pid, signal.SIGKILL)
        poll(lambda: not services.keys() & self.processes().keys(), "the end of daemon and server")

    def break_interpreter(self) -> None:
        """Let the recorded interpreter be one that only fails, as when a Python was upgraded away
        under it.
        """
        recorded = self.home / ".local" / "state" / "octet" / "interpreter"
        lines = recorded.read_text().splitlines()
        recorded.write_text("\n".join(["/bin/false", *lines[1:]]) + "\n")

    def close(self) -> None:
        """End the sessions, ask Octet to end, and fail if anything is left."""
        with (
            ExitStack() as ends
        ):  # last in, first out, and each of them whatever happens to the others
            ends.callback(self._remove)
            ends.callback(self._stop_services)
            for client in self._open:
                ends.callback(client.close)

    def _stop_services(self) -> None:
        if self._store is not None:
            self._store.close()
        if (self.home / ".local" / "state" / "octet").exists():
            self.octet("daemon", "stop", check=False)
            self.octet("redis", "stop", check=False)

    def _remove(self) -> None:
        try:
            poll(lambda: not self.processes(), "the end of every process of the sandbox", ENDING_S)
        except AssertionError as error:
            raise AssertionError(f"left behind: {self.processes()}") from error
        finally:
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.directory, ignore_errors=True)


def git(repository: Path, *arguments: str) -> str:
    """Run git as the sandbox's person; returns its output."""
    identity = ["-c", "user.name=Octet Test", "-c", "user.email=test@example.org"]
    environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=repository, env=environment, check=True, capture_output=True, text=True
    ).stdout


def make_repository(repository: Path) -> None:
    """A git repository with one commit on `main`."""
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    (repository / "README").write_text("A repository to work in.\n")
    git(repository, "add", "README")
    git(repository, "commit", "-q", "-m", "Begin")


def interpreter_directory() -> Path:
    """Where the Python that runs the tests lies itself, outside any virtual environment."""
    return Path(sys.base_prefix) / "bin"


def processes_of(directory: Path) -> Iterator[tuple[int, str]]:
    """Processes whose environment, command line or working directory names `directory`; empty where
    there is no /proc.
    """
    wanted = os.fsencode(directory)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            seen = (
                command + (entry / "environ").read_bytes() + os.fsencode((entry / "cwd").readlink())
            )
        except OSError:  # it ended while we looked, is a zombie, or is not ours
            continue
        if wanted in seen:
            yield int(entry.name), command.replace(b"\0", b" ").decode(errors="replace")


def tree(
    directory: Path, leave_out: Callable[[str], bool] = lambda _name: False
) -> Mapping[str, bytes]:
    """Relative path → content of every file below `directory`."""
    files = (path for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
    named = ((str(path.relative_to(directory)), path) for path in files)
    return {name: path.read_bytes() for name, path in sorted(named) if not leave_out(name)}
