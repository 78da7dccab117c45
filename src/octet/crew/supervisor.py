"""Keeps the members of one crew running, on one machine, until `octet down`: a process of its own
that no terminal's end takes along.

    python -c '… from octet.crew.supervisor import main …' DIRECTORY LOCK

It knows processes only and no store: what a member held goes back by the daemon, which watches the
same processes. What it shall do is in `wanted.json`, read again at SIGUSR1; what it does is in
`crew.json`. One that was killed is replaced by the next `octet up`: its successor takes over the
windows in tmux, and ends whatever else the dead one has left before it starts anybody.
"""

from __future__ import annotations

import logging
import os
import select
import selectors
import signal
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

from octet.base.errors import OctetError
from octet.base.process import ProcessIdentity, host_id, identify, is_alive
from octet.base.processes import kill_all
from octet.base.vocabulary import ORCHESTRATOR
from octet.crew import client
from octet.crew.hosts import Ended, HeadlessHost, Host, Start
from octet.crew.plan import Member
from octet.crew.record import (
    ENDED,
    ENDING,
    GIVEN_UP,
    TMUX,
    UP,
    WAITING,
    CrewDirectory,
    MemberReport,
    Report,
    Wanted,
)
from octet.runtime.venv import hold

log = logging.getLogger("octet.crew")

# A member that lived for as long was no quick death; so many of those in a row, and it is given up.
STEADY_S = 60.0
MOST_QUICK = 5
FIRST_DELAY_S, MOST_DELAY_S = 0.5, 60.0
# From the word that nothing more comes to SIGTERM, and from there to SIGKILL. SessionEnd hooks have
# 1.5 s.
PATIENCE_S, TERM_S = 3.0, 6.0
LOOK_EVERY_S = 0.5
IDLE_S = 60.0
# Whose conversation is worth going on with: it knows why the plan is as it is. For others a task
# says everything, and is shorter.
RESUMED = frozenset({ORCHESTRATOR})


@dataclass
class Run:
    """One member, while this process knows it. `due` is when to start it, `end_due` when to be
    firmer about its end.
    """

    member: Member
    state: str = WAITING
    process: ProcessIdentity | None = None
    session: str = ""
    resumed: bool = False
    started: float = 0.0
    due: float = 0.0
    restarts: int = 0
    quick: int = 0
    reason: str = ""
    pidfd: int = -1
    end_step: int = 0
    end_due: float = 0.0


class Supervisor:
    """The loop: every round looks at all members, and is harmless to repeat."""

    def __init__(
        self, directory: CrewDirectory, open_host: Callable[[Supervisor, Wanted], Host]
    ) -> None:
        self._directory = directory
        self._selector = selectors.DefaultSelector()
        self._runs: dict[str, Run] = {}
        self._said: Report | None = None
        self._leaving = False
        self._stale = True
        wanted = directory.read_wanted()
        if wanted is None:
            raise OctetError(f"{directory.path}/wanted.json cannot be read: run `octet up` again")
        self._wanted = wanted
        self._sessions = dict(wanted.sessions)
        self._host = open_host(self, wanted)

    def watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        """Call `ready` when the descriptor can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ, ready)

    def forget(self, descriptor: int) -> None:
        """Not any more; harmless where it is not watched."""
        with suppress(KeyError):
            self._selector.unregister(descriptor)

    def reload(self) -> None:
        """`wanted.json` has changed."""
        self._stale = True

    def leave(self) -> None:
        """End everybody, then return from `run`."""
        self._leaving = True

    def run(self) -> None:
        """Until nobody is wanted any more, and everybody has ended."""
        self._take_over()
        while self._round():
            for key, _ in self._selector.select(self._pause()):
                key.data()
        self._host.close()
        self._report()

    def _take_over(self) -> None:
        """What an earlier supervisor left: members that this host can go on with; an end for all
        others.
        """
        before = self._directory.read_report()
        adopt = getattr(self._host, "adopt", None)
        for left in before.members if before else ():
            process = _process(left.process)
            member = next(
                (member for member in self._wanted.members if member.name == left.name), None
            )
            if process and is_alive(process) and adopt and member and adopt(left.name, process.pid):
                run = self._runs[left.name] = Run(
                    member,
                    UP,
                    process,
                    left.session,
                    started=time.monotonic(),
                    restarts=left.restarts,
                )
                self._look_after(run)
                log.info("%s goes on as process %d", left.name, process.pid)
            else:
                self._end_orphan(left, process)

    def _end_orphan(self, left: MemberReport, process: ProcessIdentity | None) -> None:
        if process and is_alive(process):
            log.info(
                "%s was left by an earlier supervisor, process %d: it ends", left.name, process.pid
            )
            _signal(process, signal.SIGTERM)
            end = time.monotonic() + TERM_S
            while is_alive(process) and time.monotonic() < end:
                time.sleep(0.05)
        kill_all(self._directory.mark(left.name))

    def _round(self) -> bool:
        """One look at everything; whether there is anything left to look at."""
        if self._stale:
            self._stale = False
            # Where the directory is gone, so is whoever could ever end this crew.
            self._wanted = self._directory.read_wanted() or Wanted(
                self._wanted.root, self._wanted.mode, self._wanted.claude
            )
        wanted = {} if self._leaving else {member.name: member for member in self._wanted.members}
        now = time.monotonic()
        for name, run in list(self._runs.items()):
            if run.process and not is_alive(run.process):
                self._bury(run, now, wanted=name in wanted)
            elif run.process and name not in wanted:
                self._end(run, now)
            if not run.process and name not in wanted:
                del self._runs[name]
        for name, member in wanted.items():
            run = self._runs.setdefault(
                name, Run(member, session=self._wanted.sessions.get(name, ""))
            )
            if member.tries > run.member.tries and run.state in (GIVEN_UP, ENDED):
                run.state, run.quick, run.due = WAITING, 0, now
            run.member = member
            if run.state == WAITING and now >= run.due:
                self._start(run, now)
        self._report()
        return bool(self._runs or wanted)

    def _pause(self) -> float:
        """Until the next thing that no descriptor tells."""
        now = time.monotonic()
        times = [run.due for run in self._runs.values() if run.state == WAITING]
        times += [run.end_due for run in self._runs.values() if run.state == ENDING]
        blind = any(run.process and run.pidfd < 0 for run in self._runs.values())
        return max(
            0.0, min([IDLE_S, *(time - now for time in times), *([LOOK_EVERY_S] if blind else [])])
        )

    def _start(self, run: Run, now: float) -> None:
        run.resumed = bool(run.session) and run.member.role in RESUMED
        run.session = run.session if run.resumed else str(uuid.uuid4())
        run.started = now
        try:
            pid = self._host.start(self._instructions(run))
        except OSError as error:
            self._fell(run, now, Ended(None, f"{self._wanted.claude}: {error.strerror}"))
            return
        # One that has ended already has no identity any more: any that is dead will do.
        run.process = identify(pid) or ProcessIdentity(host_id(), pid, -1)
        run.state = UP
        self._look_after(run)
        log.info(
            "%s is process %d, session %s%s",
            run.member.name,
            pid,
            run.session,
            " (resumed)" if run.resumed else "",
        )

    def _instructions(self, run: Run) -> Start:
        wanted, role = self._wanted, run.member.role
        options = client.session_options(
            role,
            plugin=wanted.plugin,
            drop_in=wanted.drop_in,
            settings=self._directory.path / "settings" / f"{role}.json",
            scratch=Path(wanted.scratch) / role,
        )
        named = ["--resume" if run.resumed else "--session-id", run.session]
        prompt = client.RESTARTED if run.restarts else client.PROMPT
        environment = {**os.environ, client.MARK: self._directory.mark(run.member.name)}
        return Start(
            run.member.name,
            wanted.claude,
            [*options, *named],
            prompt.format(role=role),
            wanted.root,
            environment,
        )

    def _look_after(self, run: Run) -> None:
        """Be told of its end at once."""
        assert run.process is not None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                run.pidfd = os.pidfd_open(run.process.pid)
                self.watch(run.pidfd, lambda: None)

    def _bury(self, run: Run, now: float, *, wanted: bool) -> None:
        self.forget(run.pidfd)
        if run.pidfd >= 0:
            os.close(run.pidfd)
        run.pidfd, run.process = -1, None
        ended = self._host.bury(run.member.name)
        kill_all(self._directory.mark(run.member.name))
        run.end_step = 0
        if not wanted:
            log.info("%s has ended", run.member.name)
        elif ended.status == 0 and self._wanted.mode == TMUX:
            run.state, run.reason = ENDED, "a person ended it"
            log.info("%s was ended in its window", run.member.name)
        else:
            self._fell(run, now, ended)

    def _fell(self, run: Run, now: float, ended: Ended) -> None:
        """It ended without being told to: start it again, later each time, or give it up."""
        steady = now - run.started > STEADY_S
        if run.resumed and not steady:
            run.session = ""  # the conversation may be what it fell over
        run.quick = 1 if steady else run.quick + 1
        run.reason = ended.words or _how(ended.status)
        run.state = GIVEN_UP if run.quick >= MOST_QUICK else WAITING
        run.due = now + min(FIRST_DELAY_S * 2 ** (run.quick - 1), MOST_DELAY_S)
        run.restarts += run.state == WAITING
        log.warning(
            "%s ended after %.1f s: %s; %s",
            run.member.name,
            now - run.started,
            run.reason,
            run.state,
        )

    def _end(self, run: Run, now: float) -> None:
        """The next step towards its end, if it is time for it."""
        if run.state == ENDING and now < run.end_due:
            return
        hurry = self._leaving or self._wanted.hurry
        run.end_step = max(run.end_step + 1, 2 if hurry else 1)
        run.state = ENDING
        run.end_due = now + (PATIENCE_S if run.end_step == 1 else TERM_S)
        if run.end_step == 1:
            self._host.hang_up(run.member.name)
        else:
            self._host.send(
                run.member.name, signal.SIGTERM if run.end_step == 2 else signal.SIGKILL
            )

    def _report(self) -> None:
        members = tuple(self._describe(run) for run in self._runs.values())
        self._sessions |= {
            run.member.name: run.session
            for run in self._runs.values()
            if run.member.role in RESUMED
        }
        report = Report(
            str(identify(os.getpid())), self._wanted.mode, members, dict(self._sessions)
        )
        if report == self._said:
            return
        self._said = report
        try:
            self._directory.write_report(report)
        except OctetError as error:
            log.warning("%s", error)

    def _describe(self, run: Run) -> MemberReport:
        process = str(run.process) if run.process else ""
        error = self._host.error(run.member.name) if run.process else ""
        member = run.member
        return MemberReport(
            member.name,
            member.role,
            run.state,
            member.tries,
            process,
            run.session,
            run.restarts,
            run.reason,
            error,
        )


def _process(text: str) -> ProcessIdentity | None:
    try:
        return ProcessIdentity.parse(text)
    except ValueError:
        return None


def _signal(process: ProcessIdentity, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process.pid, number)


def _how(status: int | None) -> str:
    if status is None:
        return "it ended"
    return f"exit status {status}" if status >= 0 else f"killed by signal {-status}"


def _open_host(supervisor: Supervisor, wanted: Wanted, directory: CrewDirectory) -> Host:
    if wanted.mode == TMUX:
        from octet.crew.tmux import open_host

        return open_host(wanted.tmux, directory.path, wanted.root)
    return HeadlessHost(directory.path, supervisor.watch, supervisor.forget)


def _obey_signals(supervisor: Supervisor) -> None:
    """SIGUSR1: look at `wanted.json` again. SIGTERM: the machine goes down. A terminal's end:
    nothing.
    """
    read, write = os.pipe()
    for descriptor in (read, write):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGUSR1, lambda *_: supervisor.reload())
    signal.signal(signal.SIGTERM, lambda *_: supervisor.leave())
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    supervisor.watch(read, lambda: _drain(read))


def _drain(descriptor: int) -> None:
    while select.select([descriptor], [], [], 0)[0]:
        os.read(descriptor, 4096)


def main() -> None:
    """See the module's docstring."""
    directory, lock = CrewDirectory(Path(sys.argv[1])), int(sys.argv[2])
    os.umask(0o077)
    os.set_inheritable(lock, False)
    hold(sys.prefix)
    logging.raiseExceptions = False
    handler = RotatingFileHandler(
        directory.path / "supervisor.log", maxBytes=1_000_000, backupCount=1, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("octet").addHandler(handler)
    logging.getLogger("octet").setLevel("INFO")
    try:
        supervisor = Supervisor(
            directory, lambda supervisor, wanted: _open_host(supervisor, wanted, directory)
        )
        _obey_signals(supervisor)
        supervisor.run()
    except OctetError as error:
        sys.exit(str(error))
    except Exception:
        log.exception("the supervisor failed")
        raise


if __name__ == "__main__":
    main()
