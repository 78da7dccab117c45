"""Tasks: add, claim, progress, submit, renew, pass on, send back, complete, fail, release, cancel,
retry.

Each method is one Lua script. A claim returns a fencing token that only grows; every later write
shows it, and one that is no longer the current claim's is refused with `StaleToken`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from octet.base.errors import (
    AgentGone,
    IllegalTransition,
    NotFound,
    NothingToClaim,
    NotYourTurn,
    OctetError,
    Refused,
    StaleToken,
    UsageError,
    WorkMoved,
)
from octet.base.vocabulary import BUILD, PLAN, stage_of_role
from octet.core.agents.election import as_orchestrator, refusal
from octet.core.agents.registry import Agent
from octet.core.tasks.plans import MOST_TEXT, MOST_TITLE, NewTask, check_gates, check_plan
from octet.core.tasks.reader import TaskReader, stage_named
from octet.core.tasks.record import HELD_STATES, STAGES, Stage, Task, TaskState
from octet.core.tasks.verdicts import NewRecord
from octet.store.scripts import Reply, as_mapping, to_json

# How long what a gate sent back is kept for its author.
OFFER_MS = 120_000

__all__ = [
    "OFFER_MS",
    "STAGES",
    "ClaimOrder",
    "NewTask",
    "Stage",
    "Task",
    "TaskState",
    "Tasks",
    "capabilities_of",
]


class ClaimOrder(StrEnum):
    """Whose turn a claim must be: anybody's, the longest waiter's, or this agent's now, because
    those before it did not come.
    """

    ANY = ""
    WAIT = "wait"
    NOW = "now"


class Tasks(TaskReader):
    """The tasks of one project: what moves them; what reads them is inherited."""

    def add(
        self,
        title: str,
        *,
        description: str = "",
        priority: float = 0,
        task_id: str | None = None,
        labels: Sequence[str] = (),
        paths: Sequence[str] = (),
        needs: Sequence[str] = (),
        after: Sequence[str] = (),
        stage: str = BUILD,
        gates: Sequence[str] = (),
        accept: str = "",
        feature: str = "",
        max_attempts: int = 3,
        created_by: str = "",
        by: Agent | None = None,
    ) -> Task:
        """Store one task; when this returns, it is in the store. The arguments are those of
        `NewTask`.

        `by`: the agent that adds it, which is its creator; an orchestrator must lead.

        Raises:
            UsageError: a field is out of its bounds, or the id is taken.
            NotFound: a dependency does not exist.
            NotLeading: an orchestrator adds it, and another leads.
        """
        if task_id == "":
            raise UsageError("a task id is not empty: leave it out for the next number")
        wanted = NewTask(
            title=title,
            id=task_id or "",
            description=description,
            priority=priority,
            labels=tuple(labels),
            paths=tuple(paths),
            needs=tuple(needs),
            after=tuple(after),
            stage=stage,
            gates=tuple(gates),
            accept=accept,
            feature=feature,
            max_attempts=max_attempts,
        )
        return self.add_many([wanted], created_by=created_by, by=by)[0]

    def add_many(
        self, plan: Sequence[NewTask], *, created_by: str = "", by: Agent | None = None
    ) -> Sequence[Task]:
        """Store tasks that may depend on each other, all of them or none, in one script.

        Raises:
            UsageError: a field is out of its bounds, an id is taken or given twice, dependencies go
                round, or the plan is too long.
            NotFound: a dependency does not exist.
            NotLeading: an orchestrator (`by`) adds them, and another leads.
        """
        check_plan(plan)
        if not plan:
            return []
        specs = [_spec(task, created_by or (by.id if by else "")) for task in plan]
        leader, incarnation = as_orchestrator(by)
        reply = self._store.run(
            "task/add", leader=leader, leader_incarnation=incarnation, tasks=specs
        )
        if reply[0] == Reply.LED:
            raise refusal(reply)
        if reply[0] == Reply.EXISTS:
            raise UsageError(f"task id {reply[1]} is taken: leave the id out or choose another")
        if reply[0] == Reply.FULL:
            raise UsageError(
                "there are too many different sets of needed capabilities in the queue: use fewer"
            )
        if reply[0] == Reply.MISSING:
            raise NotFound(f"no task {reply[1]} to depend on: `octet task list` shows them")
        return self._read(reply[1:])

    def claim(
        self,
        agent: Agent,
        stage: str = BUILD,
        task_id: str | None = None,
        most: int = 1,
        turn: ClaimOrder = ClaimOrder.ANY,
    ) -> Task:
        """Give `agent` the first task of a stage that fits it: what was sent back to it, then
        highest priority, then oldest.

        It fits when the agent has the capabilities it needs and its declared paths overlap no task
        in flight; at the review and security gates when the agent did not write it. An agent that
        holds `most` claims already gets one of those again: a claim repeated after a lost answer is
        safe.

        Raises:
            NothingToClaim: nothing that fits waits. `NotYourTurn`, a kind of it: something does,
                and others wait longer (`turn`).
            Refused: it holds `most` claims, none of which is the task or of the stage asked for; or
                the task asked for does not fit.
            NotFound, IllegalTransition: the task asked for does not exist or does not wait.
            AgentGone: the agent was declared dead in the meantime.
            NotLeading: an orchestrator claims at the plan stage, and another leads.
            UsageError: there is no such stage.
        """
        step = stage_named(stage)
        capabilities = capabilities_of(agent)
        reply = self._store.run(
            "task/claim",
            agent=agent.id,
            incarnation=agent.incarnation,
            waiting=step.waiting,
            working=step.working,
            max_claims=most,
            wanted=task_id or "",
            stage=stage,
            capabilities=f",{capabilities},",
            fit=f"{stage}:{capabilities}",
            turn=turn,
            process=agent.process,
            leader=as_orchestrator(agent)[0] if stage == PLAN else "",
        )
        if reply[0] in (Reply.OK, Reply.HAS):
            task = Task.from_hash({**as_mapping(reply[2]), "id": reply[1]})
            if reply[0] == Reply.HAS and (task.stage != stage or (task_id and task.id != task_id)):
                raise Refused(
                    f"{agent.id} holds task {task.id} already: submit, complete, fail or "
                    "release it first"
                )
            return task
        if reply[0] == Reply.EMPTY:
            raise _nothing(stage, int(reply[1]), int(reply[2]), int(reply[3]))
        if reply[0] == Reply.LATER:
            raise NotYourTurn(f"others have waited longer for the {stage} stage")
        if reply[0] == Reply.NEEDS:
            raise Refused(
                f"task {task_id} needs {reply[1]!r}, which {agent.id} has not: `octet agent "
                f"join ROLE --capability {reply[1]}`"
            )
        if reply[0] == Reply.SCOPE:
            raise Refused(
                f"task {task_id} may touch the same files as task {reply[1]}, which is in "
                "flight: wait for that, or take another"
            )
        raise _refusal(reply, task_id or "", "claim", step.waiting)

    def progress(self, task_id: str, token: str, percent: float, note: str = "") -> None:
        """Record progress, 0 to 100.

        Raises:
            StaleToken, IllegalTransition, NotFound: as for every write under a claim.
        """
        if not 0 <= percent <= 100:
            raise UsageError(f"progress is 0 to 100, not {percent:g}")
        reply = self._store.run(
            "task/progress",
            id=task_id,
            token=token,
            percent=f"{percent:g}",
            note=note[:MOST_TITLE],
        )
        _check(reply, task_id, "report progress on", ", ".join(HELD_STATES))

    def submit(
        self,
        task_id: str,
        token: str,
        *,
        branch: str = "",
        commit: str = "",
        note: str = "",
        gates: Sequence[str] = (),
    ) -> str:
        """Hand built work on to its first gate; the claim and the task's locks end with it. Returns
        that gate.

        `gates`: what the work passes (`gates_for`), stored with it; without them the task's own,
        and the merge alone for one without any.
        """
        check_gates(gates)
        reply = self._store.run(
            "task/submit",
            id=task_id,
            token=token,
            branch=branch,
            commit=commit,
            note=note[:MOST_TEXT],
            gates=" ".join(gates),
        )
        _check(reply, task_id, "submit", TaskState.CLAIMED)
        return str(reply[1])

    def renew(
        self,
        task_id: str,
        *,
        agent: Agent,
        branch: str,
        commit: str,
        token: str = "",
        note: str = "",
        gates: Sequence[str] = (),
    ) -> str:
        """Put a new commit in the place of the one submitted: the task goes to its first gate
        again. Returns the gate it is at.

        Its author may until it is being merged; with the claim's token, who holds it at a gate.
        Whoever held it holds it no longer. The commit that it is at already changes nothing.

        Raises:
            Refused: neither author nor holder. StaleToken, IllegalTransition, NotFound, AgentGone:
                as for every write.
        """
        check_gates(gates)
        reply = self._store.run(
            "task/renew",
            id=task_id,
            agent=agent.id,
            incarnation=agent.incarnation,
            process=agent.process,
            token=token,
            branch=branch,
            commit=commit,
            note=note[:MOST_TEXT],
            gates=" ".join(gates),
        )
        if reply[0] == Reply.AUTHOR:
            raise Refused(
                f"task {task_id} is {reply[1]}'s work: only its author or who holds it at a "
                "gate gives it a new commit"
            )
        _check(reply, task_id, "renew", "submitted, in-review, testing")
        return str(reply[1])

    def pass_on(
        self,
        task_id: str,
        token: str,
        note: str = "",
        *,
        commit: str = "",
        record: NewRecord | None = None,
    ) -> str:
        """From a gate before the merge: the work may go on. Returns the next stage. `record` is
        kept with it.

        Raises:
            WorkMoved: the task is at another commit than the one judged, `commit`.
            Refused: from review or security, by the agent that wrote it.
        """
        reply = self._store.run(
            "task/pass_on",
            id=task_id,
            token=token,
            note=note[:MOST_TEXT],
            commit=commit,
            record=record.pack() if record else "",
        )
        _check(reply, task_id, "pass on", "in-review, testing")
        return str(reply[1])

    def complete(
        self,
        task_id: str,
        token: str,
        result: str = "",
        merge_commit: str = "",
        *,
        record: NewRecord | None = None,
    ) -> None:
        """Mark the task done, and queue what waited for nothing else. `record` is kept with it.

        One with a branch is done only from the merge stage. Repeating it with the same token is
        harmless.
        """
        reply = self._store.run(
            "task/complete",
            id=task_id,
            token=token,
            result=result[:MOST_TEXT],
            merge_commit=merge_commit,
            record=record.pack() if record else "",
        )
        _check(reply, task_id, "complete", TaskState.MERGING)

    def fail(self, task_id: str, token: str, reason: str) -> TaskState:
        """Give the task back as failed; after `max_attempts` at building it, or at one gate, it is
        dead. Returns its new state.
        """
        return self._give_back(task_id, token, reason, counts=True)

    def release(self, task_id: str, token: str, note: str = "") -> TaskState:
        """Give the task back untried; no attempt is counted. Returns its new state."""
        return self._give_back(task_id, token, note or "released", counts=False)

    def send_back(
        self,
        task_id: str,
        token: str,
        findings: str = "",
        offer_ms: int = OFFER_MS,
        *,
        commit: str = "",
        record: NewRecord | None = None,
    ) -> None:
        """From a gate: the work is to be built again, for `offer_ms` by its author, if that lives;
        a message tells it.

        `findings` is what to change; without it, what the `record` says, which is kept.

        Raises:
            WorkMoved: the task is at another commit than the one judged, `commit`.
        """
        text = findings or (record.text() if record else "")
        reply = self._store.run(
            "task/send_back",
            id=task_id,
            token=token,
            findings=text[:MOST_TEXT],
            offer_ms=offer_ms,
            commit=commit,
            record=record.pack() if record else "",
        )
        _check(reply, task_id, "send back", "in-review, testing, merging")

    def cancel(self, task_id: str, reason: str = "", *, by: Agent | None = None) -> str:
        """The task is not wanted any more; what depends on it stays blocked. Returns its holder,
        whose claim has ended, or "".

        Raises:
            IllegalTransition: it is done, cancelled already, or being merged.
            NotLeading: an orchestrator (`by`) cancels it, and another leads.
        """
        reason = reason[:MOST_TEXT] or "cancelled"
        leader, incarnation = as_orchestrator(by)
        reply = self._store.run(
            "task/cancel",
            id=task_id,
            reason=reason,
            leader=leader,
            leader_incarnation=incarnation,
        )
        _check(
            reply,
            task_id,
            "cancel",
            "blocked, pending, claimed, submitted, in-review, testing, dead",
        )
        return str(reply[1])

    def retry(self, task_id: str, *, by: Agent | None = None) -> TaskState:
        """Queue a dead or cancelled task again, with all its attempts. Returns its new state.

        Raises:
            IllegalTransition: it is neither.
            NotLeading: an orchestrator (`by`) queues it, and another leads.
        """
        leader, incarnation = as_orchestrator(by)
        reply = self._store.run(
            "task/retry", id=task_id, leader=leader, leader_incarnation=incarnation
        )
        _check(reply, task_id, "retry", "dead, cancelled")
        return TaskState(reply[1])

    def _give_back(self, task_id: str, token: str, reason: str, *, counts: bool) -> TaskState:
        reply = self._store.run(
            "task/requeue", id=task_id, token=token, reason=reason[:MOST_TEXT], counts=int(counts)
        )
        _check(reply, task_id, "fail" if counts else "release", ", ".join(HELD_STATES))
        return TaskState(reply[1])

    def stop_waiting(self, agent: Agent, stage: str) -> None:
        """Give up the agent's place among those that wait for a claim."""
        with self._store.errors():
            self._store.client.zrem(
                self._keys.waiters(f"{stage}:{capabilities_of(agent)}"), agent.id
            )


def capabilities_of(agent: Agent) -> str:
    """What an agent can do, sorted, with commas between: what it registered, and the stage that its
    role serves.
    """
    return ",".join(sorted({*agent.capabilities, stage_of_role(agent.role)} - {""}))


def _nothing(stage: str, overlapping: int, offer_ms: int, own: int) -> NothingToClaim:
    why = f"nothing waits for the {stage} stage that you could take"
    if own:
        why = (
            f"all that waits for the {stage} stage is your own work, which another agent must judge"
        )
    if overlapping:
        why = (
            f"{overlapping} of the tasks that wait for the {stage} stage may touch the same "
            "files as tasks in flight, and no other fits"
        )
    return NothingToClaim(why, offer_ms=offer_ms)


def _spec(task: NewTask, created_by: str) -> str:
    fields = {
        "description": task.description,
        "labels": to_json(list(task.labels)),
        "paths": to_json(list(task.paths)),
        "accept": task.accept,
        "feature": task.feature,
        "gates": " ".join(task.gates),
        "max_attempts": str(task.max_attempts),
        "created_by": created_by,
    }
    return to_json(
        {
            "id": task.id,
            "title": task.title,
            "priority": round(float(task.priority), 3),
            "stage": task.stage,
            "needs": ",".join(sorted(set(task.needs))),
            "after": list(dict.fromkeys(task.after)),
            "fields": [part for pair in fields.items() for part in pair],
        }
    )


def _check(reply: list[str], task_id: str, step: str, allowed: str) -> None:
    if reply[0] != Reply.OK:
        raise _refusal(reply, task_id, step, allowed)


def _refusal(reply: list[str], task_id: str, step: str, allowed: str) -> OctetError:
    if reply[0] == Reply.MISSING:
        return NotFound(f"no task {task_id}: `octet task list` shows them")
    if reply[0] == Reply.STATE:
        return IllegalTransition(task_id, reply[1], step, allowed)
    if reply[0] == Reply.STALE:
        now = f"{reply[1]}, held by {reply[2]}" if reply[2] else reply[1]
        return StaleToken(
            f"cannot {step} task {task_id}: this claim has ended (the task is {now} now); "
            "stop work on it and claim again"
        )
    if reply[0] == Reply.MOVED:
        return WorkMoved(task_id, reply[1])
    if reply[0] == Reply.OWN:
        return Refused(f"task {task_id} is your own work: another agent must judge it")
    if reply[0] == Reply.LED:
        return refusal(reply)
    if reply[0] == Reply.GONE:
        return AgentGone("this agent was declared dead and its work given back: claim again")
    raise AssertionError(f"a script answered {reply!r}")
