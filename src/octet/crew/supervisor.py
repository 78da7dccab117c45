"""Keeps the members of one crew running on one machine until `octet down`: a process of its own,
which outlives the terminal.

    python -c '… from octet.crew.supervisor import main …' DIRECTORY LOCK

It knows processes, not the store: the daemon watches the same processes and releases the tasks of a
dead member. SIGUSR1 makes it read `wanted.json` again; it reports in `crew.json`. If it is killed,
the next `octet up` starts another one. That one adopts the windows in tmux, and ends everything
else that its predecessor left, before it starts a member.
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
from logging.handlers import RotatingFileHandler
from pathlib import Path

from octet.base.errors import OctetError
from octet.base.polling import poll_until
from octet.base.process import ProcessIdentity, host_id, identify, is_alive
from octet.base.processes import kill_all
from octet.crew import client
from octet.crew.headless import HeadlessHost
from octet.crew.hosts import Exit, Host, Launch
from octet.crew.member import RESUMED_ROLES, TERM_S, MemberRun
from octet.crew.record import (
    ENDED,
    ENDING,
    GIVEN_UP,
    TMUX,
    UP,
    WAITING,
    CrewDirectory,
    CrewReport,
    MemberReport,
    WantedCrew,
)
from octet.runtime.venv import hold

log = logging.getLogger("octet.crew")

LOOK_EVERY_S = 0.5  # for members whose end no descriptor tells
IDLE_S = 60.0


class CrewSupervisor:
    """The loop. Each round looks at all members, and may be repeated without harm."""

    def __init__(
        self,
        directory: CrewDirectory,
        open_host: Callable[[CrewSupervisor, WantedCrew], Host],
    ) -> None:
        self._directory = directory
        self._selector = selectors.DefaultSelector()
        self._runs: dict[str, MemberRun] = {}
        self._reported: CrewReport | None = None
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

    def unwatch(self, descriptor: int) -> None:
        """End that; harmless for a descriptor that is not watched."""
        with suppress(KeyError):
            self._selector.unregister(descriptor)

    def reload(self) -> None:
        """Read `wanted.json` in the next round."""
        self._stale = True

    def leave(self) -> None:
        """End all members, then return from `run`."""
        self._leaving = True

    def run(self) -> None:
        """Supervise until no member is wanted and all have ended."""
        self._take_over()
        while self._round():
            for key, _ in self._selector.select(self._pause_s()):
                key.data()
        self._host.close()
        self._report()

    def _take_over(self) -> None:
        """Adopt the members that an earlier supervisor left, or end them."""
        before = self._directory.read_report()
        members = {member.name: member for member in self._wanted.members}
        for left in before.members if before else ():
            process, member = _parse(left.process), members.get(left.name)
            if (
                process
                and member
                and is_alive(process)
                and self._host.adopt(left.name, process.pid)
            ):
                run = MemberRun(member, UP, process, left.session, restarts=left.restarts)
                run.started = time.monotonic()
                self._runs[left.name] = run
                self._watch_end(run)
                log.info("%s goes on as process %d", left.name, process.pid)
            else:
                self._end_orphan(left, process)

    def _end_orphan(self, left: MemberReport, process: ProcessIdentity | None) -> None:
        if process and is_alive(process):
            log.info("ending %s, process %d of an earlier supervisor", left.name, process.pid)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGTERM)
            poll_until(lambda: not is_alive(process), TERM_S)
        kill_all(self._directory.mark(left.name))

    def _round(self) -> bool:
        """Look at everything once; whether there is anything left to look at."""
        if self._stale:
            self._stale = False
            self._wanted = self._read_wanted()
        wanted = {} if self._leaving else {member.name: member for member in self._wanted.members}
        now = time.monotonic()
        for name, run in list(self._runs.items()):
            if run.process and not is_alive(run.process):
                self._reap(run, now, wanted=name in wanted)
            elif run.process and name not in wanted:
                self._end(run, now)
            if not run.process and name not in wanted:
                del self._runs[name]
        for name, member in wanted.items():
            session = self._wanted.sessions.get(name, "")
            run = self._runs.setdefault(name, MemberRun(member, session=session))
            if member.tries > run.member.tries and run.state in (GIVEN_UP, ENDED):
                run.try_again(now)
            run.member = member
            if run.state == WAITING and now >= run.due:
                self._start(run, now)
        self._report()
        return bool(self._runs or wanted)

    def _read_wanted(self) -> WantedCrew:
        """The record; a crew without members if its directory is gone, because no command could
        ever end that crew.
        """
        known = self._wanted
        return self._directory.read_wanted() or WantedCrew(known.root, known.mode, known.claude)

    def _pause_s(self) -> float:
        """Until the next event that no descriptor tells."""
        runs, now = self._runs.values(), time.monotonic()
        pauses = [IDLE_S]
        pauses += [run.due - now for run in runs if run.state == WAITING]
        pauses += [run.end_due - now for run in runs if run.state == ENDING]
        pauses += [LOOK_EVERY_S for run in runs if run.process and run.pidfd < 0]
        return max(0.0, min(pauses))

    def _start(self, run: MemberRun, now: float) -> None:
        run.resumed = run.can_resume
        run.session = run.session if run.resumed else str(uuid.uuid4())
        run.started = now
        try:
            pid = self._host.start(self._launch_of(run))
        except OSError as error:
            self._fail(run, now, Exit(None, f"{self._wanted.claude}: {error.strerror}"))
            return
        # A process that has ended already has no identity; this one stands for a dead process.
        run.note_start(identify(pid) or ProcessIdentity(host_id(), pid, -1))
        self._watch_end(run)
        resumed = " (resumed)" if run.resumed else ""
        log.info("%s is process %d, session %s%s", run.member.name, pid, run.session, resumed)

    def _launch_of(self, run: MemberRun) -> Launch:
        wanted, role = self._wanted, run.member.role
        options = client.session_options(
            role,
            plugin=wanted.plugin,
            drop_in=wanted.drop_in,
            settings=self._directory.settings(role),
            scratch=Path(wanted.scratch) / role,
        )
        prompt = client.RESTARTED if run.restarts else client.PROMPT
        return Launch(
            name=run.member.name,
            program=wanted.claude,
            options=[*options, "--resume" if run.resumed else "--session-id", run.session],
            prompt=prompt.format(role=role),
            directory=wanted.root,
            environment={**os.environ, client.MARK: self._directory.mark(run.member.name)},
        )

    def _watch_end(self, run: MemberRun) -> None:
        """Let the end of its process wake the loop at once."""
        assert run.process is not None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                run.pidfd = os.pidfd_open(run.process.pid)
                self.watch(run.pidfd, lambda: None)

    def _reap(self, run: MemberRun, now: float, *, wanted: bool) -> None:
        self.unwatch(run.pidfd)
        if run.pidfd >= 0:
            os.close(run.pidfd)
        run.pidfd, run.process, run.end_step = -1, None, 0
        ended = self._host.reap(run.member.name)
        kill_all(self._directory.mark(run.member.name))
        if not wanted:
            log.info("%s has ended", run.member.name)
        elif ended.status == 0 and self._wanted.mode == TMUX:
            run.state, run.reason = ENDED, "a person ended it"
            log.info("%s was ended in its window", run.member.name)
        else:
            self._fail(run, now, ended)

    def _fail(self, run: MemberRun, now: float, ended: Exit) -> None:
        lived_s = now - run.started
        run.note_failure(now, ended)
        name = run.member.name
        log.warning("%s ended after %.1f s: %s; %s", name, lived_s, run.reason, run.state)

    def _end(self, run: MemberRun, now: float) -> None:
        number = run.next_end_step(now, hurry=self._leaving or self._wanted.hurry)
        if number == 0:
            self._host.ask_to_end(run.member.name)
        elif number is not None:
            self._host.send(run.member.name, number)

    def _report(self) -> None:
        """Write the state of the crew, if it has changed."""
        for name, run in self._runs.items():
            if run.member.role in RESUMED_ROLES:
                self._sessions[name] = run.session
        members = tuple(
            run.report(self._host.error(name) if run.process else "")
            for name, run in self._runs.items()
        )
        supervisor = str(identify(os.getpid()))
        report = CrewReport(supervisor, self._wanted.mode, members, dict(self._sessions))
        if report == self._reported:
            return
        self._reported = report
        try:
            self._directory.write_report(report)
        except OctetError as error:
            log.warning("%s", error)


def _parse(process: str) -> ProcessIdentity | None:
    try:
        return ProcessIdentity.parse(process)
    except ValueError:
        return None


def _open_host(supervisor: CrewSupervisor, wanted: WantedCrew, directory: CrewDirectory) -> Host:
    if wanted.mode == TMUX:
        from octet.crew.tmux import open_host

        return open_host(wanted.tmux, directory.path, wanted.root)
    return HeadlessHost(directory.path, supervisor.watch, supervisor.unwatch)


def _obey_signals(supervisor: CrewSupervisor) -> None:
    """SIGUSR1 reloads `wanted.json`; SIGTERM (the machine goes down) ends the crew; the end of a
    terminal does nothing.
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
    """Supervise the crew of DIRECTORY under its LOCK, an inherited descriptor."""
    directory, lock = CrewDirectory(Path(sys.argv[1])), int(sys.argv[2])
    os.umask(0o077)
    os.set_inheritable(lock, False)
    hold(sys.prefix)
    _log_to(directory.path / "supervisor.log")
    try:
        supervisor = CrewSupervisor(
            directory, lambda supervisor, wanted: _open_host(supervisor, wanted, directory)
        )
        _obey_signals(supervisor)
        supervisor.run()
    except OctetError as error:
        sys.exit(str(error))
    except Exception:
        log.exception("the supervisor failed")
        raise


def _log_to(path: Path) -> None:
    logging.raiseExceptions = False  # a full disk must not end the crew
    handler = RotatingFileHandler(path, maxBytes=1_000_000, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("octet").addHandler(handler)
    logging.getLogger("octet").setLevel("INFO")


if __name__ == "__main__":
    main()
