"""One run: a machine of its own, its workers, the faults of the plan, the end, and the check."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.checker import Violation, check
from tests.chaos.history import Operation, Recorder, read
from tests.chaos.torture.acts import Acts
from tests.chaos.torture.audit import audit
from tests.chaos.torture.faults import Faults, Undo, send
from tests.chaos.torture.nursery import Nursery, Tally
from tests.chaos.torture.plan import FAULTS, faults
from tests.chaos.torture.worker import MIX, Setting
from tests.support.fault_proxy import ProxyProcess

from octet.base.errors import OctetError
from octet.base.process import is_alive
from octet.client.api import Octet
from octet.daemon.process import control
from octet.git.program import Git
from octet.project import trust
from octet.project.config import FILE
from octet.project.repository import load_project
from octet.store import embedded
from octet.store.connection import connect

PROJECT = "torture"
CALM_S = 0.2  # between two looks of the conductor
END_WITHIN_S = 120.0
SWEEP_EVERY_S = 0.25
# However fast the operations go, a run that was to have faults has some.
LEAST_FAULTS = 5


@dataclass(frozen=True)
class Options:
    """What is asked for; the run ends after `operations` (and a few faults, where it has any) or
    `seconds`, whichever comes first.
    """

    seed: int = 1
    operations: int = 1_000_000
    seconds: float = 3600.0
    workers: int = 50
    fault_every_s: float = 2.0
    kinds: tuple[str, ...] = tuple(FAULTS)
    mix: tuple[str, ...] = tuple(MIX)
    daemon: bool = True
    keep: Path | None = None


@dataclass(frozen=True)
class Result:
    """How it ended. `open` counts the operations of unknown outcome."""

    violations: list[Violation]
    operations: Counter[str]
    outcomes: Counter[str]
    open: int
    faults: Counter[str]
    processes: int
    seconds: float
    check_seconds: float
    memory_mb: int
    failed: list[str] = field(default_factory=list)


def torture(options: Options) -> Result:
    """Run it, on a machine of its own (a temporary home with a server, a daemon and a repository),
    and check what came of it.
    """
    with _machine(options) as directory:
        conductor = Conductor(options, directory)
        try:
            conductor.start()
            conductor.play()
            conductor.end()
            operations = conductor.finish()
        finally:
            conductor.close()
    return judge(operations, conductor.failed)


@contextmanager
def _machine(options: Options) -> Iterator[Path]:
    """A home of its own; its processes are ended, and the history is kept where asked for."""
    top = Path(tempfile.mkdtemp(prefix="octet-torture-"))
    for name in [name for name in os.environ if name.startswith(("OCTET_", "XDG_", "CLAUDE"))]:
        del os.environ[name]
    os.environ |= {
        "HOME": str(top),
        "OCTET_HOME": str(top / "octet"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    (top / "history").mkdir()
    try:
        yield top
    finally:
        with suppress(OctetError):
            control.stop()
        with suppress(OctetError):
            embedded.stop_server(force=True)
        if options.keep:
            shutil.copytree(top / "history", options.keep, dirs_exist_ok=True)
        shutil.rmtree(top, ignore_errors=True)


class Conductor:
    """The process that starts, disturbs and ends the others; single-threaded, because it forks."""

    def __init__(self, options: Options, top: Path) -> None:
        self.options, self.top, self.history = options, top, top / "history"
        self.recorder = Recorder(self.history / "conductor.log")
        self.tally = Tally(options.workers)
        self.pids: list[int] = []
        self.generations = [0] * options.workers
        self.faults = Faults(self)
        self.octet: Octet | None = None
        self._undo: list[tuple[float, Undo]] = []
        self._helpers: list[int] = []
        self._swept = 0.0
        self._struck = 0
        self.failed: list[str] = []

    def start(self) -> None:
        """Server, daemon, wire and workers."""
        self.root = _make_repository(self.top / "repository")
        embedded.ensure_server()
        self.proxy = ProxyProcess(
            f"unix://{self.top / 'wire.sock'}",
            f"unix://{embedded.server_directory() / 'redis.sock'}",
        )
        setting = Setting(
            self.options.seed,
            PROJECT,
            self.history,
            self.proxy.url,
            self.options.mix,
            self.options.daemon,
        )
        self.nursery = Nursery(setting, self.tally)
        if self.options.daemon:
            self.serve()
        self.began = time.monotonic()
        self.pids = [self.nursery.fork(slot, 0) for slot in range(self.options.workers)]

    def play(self) -> None:
        """Let them work, and bring each fault when it is due."""
        plan = (
            faults(
                self.options.seed,
                self.options.fault_every_s,
                self.options.workers,
                self.options.kinds,
            )
            if self.options.kinds
            else None
        )
        following = next(plan) if plan else None
        while not self._is_over():
            now = time.monotonic() - self.began
            if following and plan and now >= following.at_s:
                self._struck += 1
                if undo := self.faults.begin(following):
                    self._undo.append((now + following.lasts_s, undo))
                following = next(plan)
                continue
            self._put_right(now)
            self._sweep()
            due = [following.at_s] if following else []
            time.sleep(
                max(0.0, min([CALM_S, *(at - now for at in (*due, *(at for at, _ in self._undo)))]))
            )

    def _is_over(self) -> bool:
        struck = self._struck >= LEAST_FAULTS or not self.options.kinds
        enough = (
            self.tally.total() >= self.options.operations and struck
        ) or time.monotonic() - self.began >= self.options.seconds
        left, self.failed = self.nursery.collect()
        return enough or bool(self.failed) or left == 0

    def _put_right(self, now: float) -> None:
        for at_s, undo in [item for item in self._undo if item[0] <= now]:
            self._undo.remove((at_s, undo))
            undo()

    def kill_worker(self, slot: int) -> None:
        """SIGKILL, noted before it is sent; a successor takes the slot."""
        with self.recorder.operation("kill", worker=f"w{slot}.{self.generations[slot]}"):
            send(self.pids[slot], signal.SIGKILL)
        self.generations[slot] += 1
        self.pids[slot] = self.nursery.fork(slot, self.generations[slot])
        self._swept = 0.0

    def serve(self) -> None:
        """Have a daemon serve the project, as a hook does; in a process of its own, because that
        starts threads.
        """
        pid = os.fork()
        if pid == 0:
            try:
                with suppress(OctetError):  # it may be stopped just now
                    control.serve(self.root, "")
            finally:
                os._exit(0)
        self._helpers = [
            helper for helper in self._helpers if os.waitpid(helper, os.WNOHANG)[0] == 0
        ]
        self._helpers.append(pid)

    def _sweep(self) -> None:
        """Where there is no daemon: bury the dead."""
        if not self.options.daemon and time.monotonic() - self._swept > SWEEP_EVERY_S:
            self._swept = time.monotonic()
            with suppress(OctetError):
                bury_the_dead(self._connected())

    def _connected(self) -> Octet:
        if self.octet is None:
            self.octet = Octet(connect(None), PROJECT)
        return self.octet

    def end(self) -> None:
        """No more faults; every worker comes to its end by itself."""
        self._put_right(float("inf"))
        self.tally.end()
        deadline = time.monotonic() + END_WITHIN_S
        while (found := self.nursery.collect())[0]:
            if time.monotonic() > deadline:
                raise AssertionError(f"{found[0]} workers do not end")
            self._sweep()
            time.sleep(0.02)
        self.failed = found[1]
        if self.options.daemon:
            self.serve()

    def finish(self) -> list[Operation]:
        """The history, with what is left in the store at its end."""
        operations = self._read()
        octet = self._connected()
        acts = Acts(octet, Recorder(self.history / "audit.log"))
        audit(acts, operations, self._sweep)
        return [*operations, *read([self.history / "audit.log"])]

    def _read(self) -> list[Operation]:
        return read(path for path in sorted(self.history.glob("*.log")))

    def close(self) -> None:
        """Nothing that was started is left."""
        self._put_right(float("inf"))
        self.tally.end()
        for thing in ("nursery", "proxy"):
            if hasattr(self, thing):
                getattr(self, thing).close()
        for helper in self._helpers:
            os.waitpid(helper, 0)
        if self.octet:
            self.octet.close()
        self.recorder.close()


def bury_the_dead(octet: Octet) -> None:
    """What a daemon does: by the process, or where the lease has run out."""
    from octet.daemon.liveness.round import local_process

    for agent in octet.agents.list():
        process = local_process(agent)
        if process and not is_alive(process):
            octet.agents.expire(agent)
    for agent in octet.agents.without_heartbeat():
        octet.agents.expire_silent(agent)


def _make_repository(root: Path) -> Path:
    root.mkdir()
    Git(root).out("init", "--quiet")
    (root / FILE).parent.mkdir()
    (root / FILE).write_text(f'project = "{PROJECT}"\n')
    trust.approve(load_project(root))
    return root


def replay(directory: Path) -> Result:
    """Check a history that was kept."""
    return judge(
        read(sorted(directory.glob("*.log"), key=lambda path: (path.stem == "audit", path.name))),
        [],
    )


def judge(operations: Sequence[Operation], failed: list[str]) -> Result:
    """Check a history, and count what is in it."""
    began = time.monotonic()
    violations = check(operations)
    workers = [op for op in operations if op.name not in ("fault", "kill") and op.worker != "audit"]
    return Result(
        violations=violations,
        operations=Counter(op.name for op in operations if op.name != "fault"),
        outcomes=Counter(op.outcome for op in operations),
        open=sum(op.answered is None for op in operations),
        faults=Counter(op.arguments["kind"] for op in operations if op.name == "fault"),
        processes=len({op.worker for op in workers}),
        seconds=(max(op.invoked for op in workers) - min(op.invoked for op in workers)) / 1e9
        if workers
        else 0.0,
        check_seconds=time.monotonic() - began,
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        failed=failed,
    )
