"""What has happened in the demo so far, from the store's events and from what the crew says; the
board and the report read it.

Pure: it is told what happened and when, and asks nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from octet.base.text import plain
from octet.base.vocabulary import DEVELOPER, REPOSITORY_GUARDIAN

KEPT_LINES = 200
# task_released is what the death of a holder gives back.
FREED = frozenset(
    {
        "task_submitted",
        "task_passed",
        "task_completed",
        "task_released",
        "task_returned",
        "task_dead",
    }
)
# What a task is called while an agent has it at a gate, and what is said of one that passes it.
AT_GATE = {"review": "in-review", "test": "testing", "merge": "merging"}
PASSED = {"review": "approved", "test": "tested"}


@dataclass
class Member:
    """One agent of the crew: `state` is here, working, idle (between two tasks), waits (to be
    woken), killed or gone.
    """

    name: str
    role: str
    state: str = "here"
    task: str = ""
    doing: str = ""


@dataclass
class Work:
    """One task as the events tell of it."""

    id: str
    title: str
    priority: float = 0
    state: str = "pending"
    holder: str = ""
    progress: float = 0
    completions: int = 0


@dataclass(frozen=True)
class Line:
    """One line of the story; `weight` is plain, good, bad or kill."""

    at_s: float
    who: str
    text: str
    weight: str = "plain"


@dataclass
class Failover:
    """One agent's death: when it was killed, when its task waited again, when another had it.
    Seconds since the beginning.
    """

    agent: str
    task: str
    killed_s: float
    claimable_s: float = 0.0
    reclaimed_s: float = 0.0
    heir: str = ""


@dataclass
class Chronicle:
    """The story of one demo; `at_s` is seconds since its beginning."""

    total: int
    members: dict[str, Member] = field(default_factory=dict)
    work: dict[str, Work] = field(default_factory=dict)
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    builds: int = 0
    reviews: int = 0
    sent_back: int = 0
    test_runs: int = 0
    merges: int = 0
    denials: int = 0
    conflicts: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    failover: Failover | None = None
    last_token: int = 0
    locks: dict[str, str] = field(default_factory=dict)
    told: int = 0

    def event(self, kind: str, fields: Mapping[str, Any], at_s: float) -> None:
        """One event of the store."""
        handler: Callable[[Chronicle, Mapping[str, Any], float], None] | None = _HANDLERS.get(kind)
        if kind.startswith("task_") and kind != "task_added":
            self._follow(kind, fields)
        if handler:
            handler(self, fields, at_s)

    def said(self, record: Mapping[str, str], at_s: float) -> None:
        """One line that a member of the crew wrote: that it waits, was denied something, or has
        failed.
        """
        agent = record["agent"]
        if record["kind"] == "rests" and agent in self.members:
            self.members[agent].state = "waits"
        elif record["kind"] == "denied":
            self.denials += 1
            self.tell(
                at_s,
                agent,
                f"denied {record['tool']}: {record['reason'].removeprefix('Octet: ')}",
                "bad",
            )
        elif record["kind"] == "failed":
            self.failures.append(f"{agent}: {record['reason']}")
            self.tell(at_s, agent, record["reason"], "bad")

    def killed(self, agent: str, at_s: float) -> None:
        """SIGKILL was just sent to an agent."""
        member = self.members[agent]
        member.state = "killed"
        self.failover = Failover(agent, member.task, at_s)
        self.tell(at_s, agent, f"killed (SIGKILL) in the middle of {member.task}", "kill")

    def tell(self, at_s: float, who: str, text: str, weight: str = "plain") -> None:
        """Add a line to the story."""
        self.told += 1
        self.lines.append(Line(at_s, plain(who, 40), plain(text, 240), weight))

    @property
    def done(self) -> int:
        return sum(work.state == "done" for work in self.work.values())

    def free_developers(self) -> list[str]:
        """Who has found nothing to build and waits to be woken."""
        return [
            member.name
            for member in self.members.values()
            if member.role == DEVELOPER and member.state == "waits"
        ]

    def _follow(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Who holds a task: two at once, a token that does not grow, or a second completion is a
        conflict.
        """
        work = self.work.setdefault(
            str(fields["task"]), Work(str(fields["task"]), str(fields.get("title", "")))
        )
        agent = str(fields.get("agent", ""))
        if kind == "task_claimed":
            if work.holder:
                self.conflicts.append(f"{agent} was given {work.id}, which {work.holder} held")
            if int(fields["token"]) <= self.last_token:
                self.conflicts.append(f"the token of {work.id} did not grow")
            self.last_token = int(fields["token"])
            self.builds += fields.get("stage") == "build"
            work.holder, work.state = agent, AT_GATE.get(str(fields.get("stage")), "claimed")
            self._busy(agent, work.id)
        elif kind in FREED:
            self._free(work.holder or agent, work.id)
            work.holder = ""

    def _busy(self, agent: str, task: str) -> None:
        if member := self.members.get(agent):
            member.state, member.task, member.doing = "working", task, ""

    def _free(self, agent: str, task: str) -> None:
        member = self.members.get(agent)
        if member and member.task == task and member.state != "killed":
            member.state, member.task, member.doing = "idle", "", ""


def _joined(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    if fields.get("role") == "person":
        return
    agent = str(fields["agent"])
    story.members[agent] = Member(agent, str(fields.get("role", "")))
    story.tell(at_s, agent, "joined")


def _left(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    if member := story.members.get(str(fields["agent"])):
        member.state, member.task = "gone", ""
        story.tell(at_s, member.name, "left")


def _died(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    if member := story.members.get(str(fields["agent"])):
        member.state, member.task = "killed", ""
        story.tell(
            at_s, member.name, f"is dead; given back: {fields.get('tasks') or 'nothing'}", "kill"
        )


def _added(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    task = str(fields["task"])
    story.work[task] = Work(
        task,
        str(fields["title"]),
        float(fields.get("priority", 0)),
        str(fields.get("state", "pending")),
    )
    story.tell(at_s, "queue", f"{task}: {fields['title']}")


def _claimed(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    agent, task = str(fields["agent"]), str(fields["task"])
    if fields.get("stage") in AT_GATE:
        return  # told when it is judged or merged
    story.tell(at_s, agent, f"claimed {task} (token {fields['token']})")
    failover = story.failover
    if failover and failover.task == task and not failover.heir:
        failover.reclaimed_s, failover.heir = at_s, agent


def _progress(story: Chronicle, fields: Mapping[str, Any], _at_s: float) -> None:
    work = story.work[str(fields["task"])]
    work.progress = float(fields.get("progress", 0))
    if member := story.members.get(work.holder):
        member.doing = str(fields.get("note", ""))


def _submitted(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    work = story.work[str(fields["task"])]
    work.state, work.progress = "submitted", 100
    story.tell(at_s, str(fields["agent"]), f"submitted {work.id} on {fields.get('branch', '')}")


def _released(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    work = story.work[str(fields["task"])]
    work.state, work.progress = (
        ("submitted", 100) if work.state in AT_GATE.values() else ("pending", 0)
    )
    failover = story.failover
    if failover and failover.task == work.id and not failover.claimable_s:
        failover.claimable_s = at_s


def _unblocked(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    work = story.work[str(fields["task"])]
    work.state = "pending"
    story.tell(at_s, "queue", f"{work.id} can begin: {fields.get('by', '')} is done")


def _passed(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    work, gate = story.work[str(fields["task"])], str(fields.get("gate", ""))
    work.state = "submitted"
    story.reviews += gate == "review"
    story.test_runs += gate == "test"
    story.tell(
        at_s,
        str(fields.get("agent", "")),
        f"{PASSED.get(gate, gate)} {work.id} at {str(fields.get('commit', ''))[:10]}",
        "good",
    )


def _returned(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    work, gate = story.work[str(fields["task"])], str(fields.get("gate", ""))
    work.state, work.progress = "pending", 0
    story.reviews += gate == "review"
    story.test_runs += gate == "test"
    if gate == "review":
        story.sent_back += 1
    else:  # the jobs of the sample fit together in any order
        story.conflicts.append(f"{work.id} did not pass the {gate} gate")
    story.tell(
        at_s,
        str(fields.get("agent", "")),
        f"sent {work.id} back: {fields.get('findings', '')}",
        "bad",
    )


def _dead(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    work = story.work[str(fields["task"])]
    work.state = "dead"
    story.failures.append(f"{work.id} is dead: {fields.get('reason', '')}")
    story.tell(at_s, "queue", f"{work.id} is dead: {fields.get('reason', '')}", "bad")


def _completed(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    work = story.work[str(fields["task"])]
    work.state = "done"
    work.completions += 1
    story.merges += 1
    if work.completions > 1:
        story.conflicts.append(f"{work.id} was completed twice")
    story.tell(
        at_s,
        str(fields.get("agent", REPOSITORY_GUARDIAN)),
        f"merged {work.id} as {str(fields.get('commit', ''))[:10]}, tests passed",
        "good",
    )


def _locked(story: Chronicle, fields: Mapping[str, Any], at_s: float) -> None:
    resource, agent = str(fields["resource"]), str(fields["agent"])
    if story.locks.get(resource):
        story.conflicts.append(f"{agent} was given {resource}, which {story.locks[resource]} held")
    story.locks[resource] = agent
    if not resource.startswith("worktree:"):  # each developer has its own, and nobody else wants it
        story.tell(at_s, agent, f"locked {resource}")


def _unlocked(story: Chronicle, fields: Mapping[str, Any], _at_s: float) -> None:
    story.locks.pop(str(fields["resource"]), None)


_HANDLERS: Mapping[str, Callable[[Chronicle, Mapping[str, Any], float], None]] = {
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
