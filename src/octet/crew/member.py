"""One member while a supervisor knows it: its process, and when to start or end it next."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from octet.base.process import ProcessIdentity
from octet.base.vocabulary import ORCHESTRATOR
from octet.crew.hosts import Exit
from octet.crew.plan import Member
from octet.crew.record import ENDING, GIVEN_UP, UP, WAITING, MemberReport

# A member that lived this long did not end quickly. After so many quick ends in a row it is given
# up.
STEADY_S = 60.0
MAX_QUICK_ENDS = 5
FIRST_DELAY_S, MAX_DELAY_S = 0.5, 60.0
# How long a member has after it was asked to end until SIGTERM, and from there until SIGKILL. Its
# SessionEnd hooks have 1.5 s.
ASKED_S, TERM_S = 3.0, 6.0
# Only the orchestrator's conversation is worth resuming: it alone knows why the plan is as it is.
# The other roles find all they need in the task, which is shorter.
RESUMED_ROLES = frozenset({ORCHESTRATOR})


@dataclass
class MemberRun:
    """A member as the supervisor sees it. Times are those of the monotonic clock."""

    member: Member
    state: str = WAITING
    process: ProcessIdentity | None = None
    session: str = ""  # id of its conversation
    resumed: bool = False  # whether this process resumed an earlier conversation
    started: float = 0.0
    due: float = 0.0  # when to start it, while WAITING
    restarts: int = 0
    quick_ends: int = 0  # in a row
    reason: str = ""  # how its last process ended
    pidfd: int = -1
    end_step: int = 0  # 1: asked to end, 2: SIGTERM, 3: SIGKILL
    end_due: float = 0.0  # when to take the next of these steps, while ENDING

    @property
    def can_resume(self) -> bool:
        return bool(self.session) and self.member.role in RESUMED_ROLES

    def try_again(self, now: float) -> None:
        """Start at the next round, after a person asked for it."""
        self.state, self.quick_ends, self.due = WAITING, 0, now

    def note_start(self, process: ProcessIdentity) -> None:
        self.process, self.state = process, UP

    def note_failure(self, now: float, ended: Exit) -> None:
        """It ended on its own: start it again, later after each quick end, or give it up."""
        steady = now - self.started > STEADY_S
        if self.resumed and not steady:
            self.session = ""  # the conversation itself may be the cause
        self.quick_ends = 1 if steady else self.quick_ends + 1
        self.reason = ended.words or describe_exit(ended.status)
        self.state = GIVEN_UP if self.quick_ends >= MAX_QUICK_ENDS else WAITING
        self.due = now + min(FIRST_DELAY_S * 2 ** (self.quick_ends - 1), MAX_DELAY_S)
        self.restarts += self.state == WAITING

    def next_end_step(self, now: float, *, hurry: bool) -> int | None:
        """The next step to its end, if one is due: 0 to ask it, else the signal to send."""
        if self.state == ENDING and now < self.end_due:
            return None
        self.end_step = max(self.end_step + 1, 2 if hurry else 1)
        self.state = ENDING
        self.end_due = now + (ASKED_S if self.end_step == 1 else TERM_S)
        return {1: 0, 2: signal.SIGTERM}.get(self.end_step, signal.SIGKILL)

    def report(self, error: str) -> MemberReport:
        return MemberReport(
            name=self.member.name,
            role=self.member.role,
            state=self.state,
            tries=self.member.tries,
            process=str(self.process) if self.process else "",
            session=self.session,
            restarts=self.restarts,
            reason=self.reason,
            error=error,
        )


def describe_exit(status: int | None) -> str:
    """How a process ended, for people."""
    if status is None:
        return "it ended"
    return f"exit status {status}" if status >= 0 else f"killed by signal {-status}"
