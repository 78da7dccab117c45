"""What has happened in a demo so far, from the store's events and the members' records.

Pure: it is told what happened and when. The board and the report read it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from octet.base.text import plain
from octet.base.vocabulary import DEVELOPER, REPOSITORY_GUARDIAN

MAX_LINES = 200
# The events that end a claim; task_released is the one after the holder's death.
CLAIM_ENDS = frozenset(
    {
        "task_submitted",
        "task_passed",
        "task_completed",
        "task_released",
        "task_returned",
        "task_dead",
    }
)
# The state of a task that an agent holds at a gate, and the word for passing it.
AT_GATE = {"review": "in-review", "test": "testing", "merge": "merging"}
PASSED = {"review": "approved", "test": "tested"}


@dataclass
class MemberState:
    """One agent of the crew. `state` is here, working, idle (between two tasks), waits (to be
    woken), killed or gone.
    """

    name: str
    role: str
    state: str = "here"
    task: str = ""
    doing: str = ""


@dataclass
class TaskProgress:
    """One task, as the events tell of it."""

    id: str
    title: str
    priority: float = 0
    state: str = "pending"
    holder: str = ""
    progress: float = 0
    completions: int = 0


@dataclass(frozen=True)
class HistoryLine:
    """One line for people; `weight` is plain, good, bad or kill."""

    at_s: float
    who: str
    text: str
    weight: str = "plain"


@dataclass
class Failover:
    """The death of one agent. Times are seconds since the beginning, 0 until it has happened."""

    agent: str
    task: str
    killed_s: float
    claimable_s: float = 0.0
    reclaimed_s: float = 0.0
    heir: str = ""  # the agent that claimed the task next


@dataclass
class History:
    """Everything so far; `at_s` is seconds since the beginning."""

    total: int  # tasks of the feature
    members: dict[str, MemberState] = field(default_factory=dict)
    tasks: dict[str, TaskProgress] = field(default_factory=dict)
    lines: deque[HistoryLine] = field(default_factory=lambda: deque(maxlen=MAX_LINES))
    line_count: int = 0  # also of lines no longer kept
    builds: int = 0  # claims of the build stage
    reviews: int = 0
    sent_back: int = 0  # of the reviews
    test_runs: int = 0
    merges: int = 0  # tasks
    denials: int = 0
    conflicts: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    failover: Failover | None = None
    last_token: int = 0
    locks: dict[str, str] = field(default_factory=dict)  # resource → holder

    def note_event(self, kind: str, fields: Mapping[str, Any], at_s: float) -> None:
        """Note an event of the store."""
        if kind.startswith("task_") and kind != "task_added":
            self._follow_claims(kind, fields)
        if handler := _HANDLERS.get(kind):
            handler(self, fields, at_s)

    def note_record(self, record: Mapping[str, str], at_s: float) -> None:
        """Note a record of a member: it waits, was denied something, or has failed."""
        agent = record["agent"]
        if record["kind"] == "rests" and agent in self.members:
            self.members[agent].state = "waits"
        elif record["kind"] == "denied":
            self.denials += 1
            reason = record["reason"].removeprefix("Octet: ")
            self.add_line(at_s, agent, f"denied {record['tool']}: {reason}", "bad")
        elif record["kind"] == "failed":
            self.failures.append(f"{agent}: {record['reason']}")
            self.add_line(at_s, agent, record["reason"], "bad")

    def note_kill(self, agent: str, at_s: float) -> None:
        """Note that an agent was just sent SIGKILL."""
        member = self.members[agent]
        member.state = "killed"
        self.failover = Failover(agent, member.task, at_s)
        self.add_line(at_s, agent, f"killed (SIGKILL) in the middle of {member.task}", "kill")

    def add_line(self, at_s: float, who: str, text: str, weight: str = "plain") -> None:
        self.line_count += 1
        self.lines.append(HistoryLine(at_s, plain(who, 40), plain(text, 240), weight))

    @property
    def done(self) -> int:
        return sum(task.state == "done" for task in self.tasks.values())

    def waiting_developers(self) -> list[str]:
        """The developers that found nothing to build and wait to be woken."""
        developers = [one for one in self.members.values() if one.role == DEVELOPER]
        return [one.name for one in developers if one.state == "waits"]

    def _follow_claims(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Two holders at once, or a token that does not grow, is a conflict."""
        name = str(fields["task"])
        task = self.tasks.setdefault(name, TaskProgress(name, str(fields.get("title", ""))))
        agent = str(fields.get("agent", ""))
        if kind == "task_claimed":
            if task.holder:
                self.conflicts.append(f"{agent} was given {task.id}, which {task.holder} held")
            if int(fields["token"]) <= self.last_token:
                self.conflicts.append(f"the token of {task.id} did not grow")
            self.last_token = int(fields["token"])
            self.builds += fields.get("stage") == "build"
            task.holder, task.state = agent, AT_GATE.get(str(fields.get("stage")), "claimed")
            if member := self.members.get(agent):
                member.state, member.task, member.doing = "working", task.id, ""
        elif kind in CLAIM_ENDS:
            member = self.members.get(task.holder or agent)
            if member and member.task == task.id and member.state != "killed":
                member.state, member.task, member.doing = "idle", "", ""
            task.holder = ""


def _joined(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    if fields.get("role") == "person":
        return
    agent = str(fields["agent"])
    history.members[agent] = MemberState(agent, str(fields.get("role", "")))
    history.add_line(at_s, agent, "joined")


def _left(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    if member := history.members.get(str(fields["agent"])):
        member.state, member.task = "gone", ""
        history.add_line(at_s, member.name, "left")


def _died(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    if member := history.members.get(str(fields["agent"])):
        member.state, member.task = "killed", ""
        text = f"is dead; released: {fields.get('tasks') or 'nothing'}"
        history.add_line(at_s, member.name, text, "kill")


def _added(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    task = str(fields["task"])
    history.tasks[task] = TaskProgress(
        task,
        str(fields["title"]),
        float(fields.get("priority", 0)),
        str(fields.get("state", "pending")),
    )
    history.add_line(at_s, "queue", f"{task}: {fields['title']}")


def _claimed(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    agent, task = str(fields["agent"]), str(fields["task"])
    if fields.get("stage") in AT_GATE:
        return  # its line comes when the gate is passed
    history.add_line(at_s, agent, f"claimed {task} (token {fields['token']})")
    failover = history.failover
    if failover and failover.task == task and not failover.heir:
        failover.reclaimed_s, failover.heir = at_s, agent


def _progress(history: History, fields: Mapping[str, Any], _at_s: float) -> None:
    task = history.tasks[str(fields["task"])]
    task.progress = float(fields.get("progress", 0))
    if member := history.members.get(task.holder):
        member.doing = str(fields.get("note", ""))


def _submitted(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    task = history.tasks[str(fields["task"])]
    task.state, task.progress = "submitted", 100
    text = f"submitted {task.id} on {fields.get('branch', '')}"
    history.add_line(at_s, str(fields["agent"]), text)


def _released(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    task = history.tasks[str(fields["task"])]
    at_gate = task.state in AT_GATE.values()
    task.state, task.progress = ("submitted", 100) if at_gate else ("pending", 0)
    failover = history.failover
    if failover and failover.task == task.id and not failover.claimable_s:
        failover.claimable_s = at_s


def _unblocked(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    task = history.tasks[str(fields["task"])]
    task.state = "pending"
    history.add_line(at_s, "queue", f"{task.id} can begin: {fields.get('by', '')} is done")


def _passed(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    task, gate = history.tasks[str(fields["task"])], str(fields.get("gate", ""))
    task.state = "submitted"
    history.reviews += gate == "review"
    history.test_runs += gate == "test"
    text = f"{PASSED.get(gate, gate)} {task.id} at {str(fields.get('commit', ''))[:10]}"
    history.add_line(at_s, str(fields.get("agent", "")), text, "good")


def _returned(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    task, gate = history.tasks[str(fields["task"])], str(fields.get("gate", ""))
    task.state, task.progress = "pending", 0
    history.reviews += gate == "review"
    history.test_runs += gate == "test"
    if gate == "review":
        history.sent_back += 1
    else:  # the jobs of the sample fit together in any order
        history.conflicts.append(f"{task.id} did not pass the {gate} gate")
    text = f"sent {task.id} back: {fields.get('findings', '')}"
    history.add_line(at_s, str(fields.get("agent", "")), text, "bad")


def _dead(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    task = history.tasks[str(fields["task"])]
    task.state = "dead"
    text = f"{task.id} is dead: {fields.get('reason', '')}"
    history.failures.append(text)
    history.add_line(at_s, "queue", text, "bad")


def _completed(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    task = history.tasks[str(fields["task"])]
    task.state = "done"
    task.completions += 1
    history.merges += 1
    if task.completions > 1:
        history.conflicts.append(f"{task.id} was completed twice")
    agent = str(fields.get("agent", REPOSITORY_GUARDIAN))
    text = f"merged {task.id} as {str(fields.get('commit', ''))[:10]}, tests passed"
    history.add_line(at_s, agent, text, "good")


def _locked(history: History, fields: Mapping[str, Any], at_s: float) -> None:
    resource, agent = str(fields["resource"]), str(fields["agent"])
    if holder := history.locks.get(resource):
        history.conflicts.append(f"{agent} was given {resource}, which {holder} held")
    history.locks[resource] = agent
    if not resource.startswith("worktree:"):  # each developer has its own: nothing to see
        history.add_line(at_s, agent, f"locked {resource}")


def _unlocked(history: History, fields: Mapping[str, Any], _at_s: float) -> None:
    history.locks.pop(str(fields["resource"]), None)


_HANDLERS: Mapping[str, Callable[[History, Mapping[str, Any], float], None]] = {
    "agent_joined": _joined,
    "agent_left": _left,
    "agent_died": _died,
    "task_added": _added,
    "task_claimed": _claimed,
    "task_progress": _progress,
    "task_submitted": _submitted,
    "task_released": _released,
    "task_passed": _passed,
    "task_returned": _returned,
    "task_unblocked": _unblocked,
    "task_dead": _dead,
    "task_completed": _completed,
    "lock_acquired": _locked,
    "lock_released": _unlocked,
    "lock_broken": _unlocked,
}
