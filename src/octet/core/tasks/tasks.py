"""The life of a task: add, claim, progress, submit, renew, pass on, send back, complete, fail,
release, cancel, retry.

Each method is one Lua script. A claim returns a fencing token that only grows. Every later write
shows it, and the token of an ended claim is refused with `StaleToken`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from octet.base.errors import NotFound, Refused, UsageError
from octet.base.vocabulary import BUILD, PLAN, stage_of_role
from octet.core.agents.election import as_orchestrator, refusal
from octet.core.agents.registry import Agent
from octet.core.tasks.plans import (
    MAX_TEXT,
    MAX_TITLE,
    NewTask,
    check_gates,
    check_plan,
    pack_task,
)
from octet.core.tasks.reader import TaskReader, stage_named
from octet.core.tasks.record import HELD_STATES, Task, TaskState
from octet.core.tasks.refusals import check_reply, refused_claim
from octet.core.tasks.verdicts import NewRecord
from octet.store.scripts import Reply, as_mapping

# How long work that a gate sent back is reserved for its author.
OFFER_MS = 120_000


class ClaimOrder(StrEnum):
    """Whether a claim observes the order of the agents that wait for one."""

    ANY = ""  # it does not
    WAIT = "wait"  # it is refused while another agent has waited longer
    NOW = "now"  # its agent's turn has come, because those before it did not claim


class Tasks(TaskReader):
    """The tasks of one project; the methods that only read are inherited."""

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
        """Store one task, with the fields of `NewTask`; it is in the store when this returns.

        `by`: the agent that adds it, its creator where `created_by` is empty.

        Raises:
            UsageError: a field is out of bounds, or the id is taken.
            NotFound: a dependency does not exist.
            NotLeading: `by` is an orchestrator that does not lead.
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
            UsageError: a field is out of bounds, an id is taken or given twice, the dependencies
                form a cycle, or the plan is too long.
            NotFound: a dependency does not exist.
            NotLeading: `by` is an orchestrator that does not lead.
        """
        check_plan(plan)
        if not plan:
            return []
        specs = [pack_task(task, created_by or (by.id if by else "")) for task in plan]
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
        max_claims: int = 1,
        turn: ClaimOrder = ClaimOrder.ANY,
    ) -> Task:
        """Claim the first task of a stage that fits `agent`: one that was sent back to it, then the
        highest priority, then the oldest.

        A task fits when the agent has the capabilities it needs and its declared paths overlap no
        task in flight; at the review and security gates, when the agent is not its author. An agent
        that holds `max_claims` claims gets one of those again, so a claim that is repeated after a
        lost answer is safe.

        Raises:
            NothingToClaim: no task that fits waits. `NotYourTurn`, a kind of it: one does, and
                other agents have waited longer (`turn`).
            Refused: the agent holds `max_claims` claims, none of them this task or of this stage;
                or this task does not fit.
            NotFound, IllegalTransition: this task does not exist, or does not wait.
            AgentGone: the agent was declared dead.
            NotLeading: the agent is an orchestrator that does not lead (plan stage only).
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
            max_claims=max_claims,
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
        raise refused_claim(reply, agent.id, stage, task_id or "", step.waiting)

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
            note=note[:MAX_TITLE],
        )
        check_reply(reply, task_id, "report progress on", ", ".join(HELD_STATES))

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
        """Submit built work to its first gate, which ends claim and locks; returns the gate.

        `gates`: the gates that the work passes (`gates_for`), stored with it; default: the task's
        own, or else the merge alone.
        """
        check_gates(gates)
        reply = self._store.run(
            "task/submit",
            id=task_id,
            token=token,
            branch=branch,
            commit=commit,
            note=note[:MAX_TEXT],
            gates=" ".join(gates),
        )
        check_reply(reply, task_id, "submit", TaskState.CLAIMED)
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
        """Replace the submitted commit by a new one: the task returns to its first gate, and a
        claim at a gate ends. Returns the task's gate.

        Its author may do this until the task is being merged; its holder at a gate, with the
        claim's token. The commit that it is at changes nothing.

        Raises:
            Refused: the agent is neither author nor holder.
            StaleToken, IllegalTransition, NotFound, AgentGone: as for every write.
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
            note=note[:MAX_TEXT],
            gates=" ".join(gates),
        )
        if reply[0] == Reply.AUTHOR:
            raise Refused(
                f"task {task_id} is {reply[1]}'s work: only its author, or its holder at a gate, "
                "gives it a new commit"
            )
        check_reply(reply, task_id, "renew", "submitted, in-review, testing")
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
        """Pass the task from a gate to the next stage, which is returned. `record` is stored too.

        Raises:
            WorkMoved: the task is at another commit than `commit`, the one judged.
            Refused: the gate is review or security, and the agent is the task's author.
        """
        reply = self._store.run(
            "task/pass_on",
            id=task_id,
            token=token,
            note=note[:MAX_TEXT],
            commit=commit,
            record=record.pack() if record else "",
        )
        check_reply(reply, task_id, "pass on", "in-review, testing")
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
        """Mark the task done, queue the tasks that waited only for it, and store `record`.

        A task with a branch is completed only from the merge stage. A repeated call with the same
        token is harmless.
        """
        reply = self._store.run(
            "task/complete",
            id=task_id,
            token=token,
            result=result[:MAX_TEXT],
            merge_commit=merge_commit,
            record=record.pack() if record else "",
        )
        check_reply(reply, task_id, "complete", TaskState.MERGING)

    def fail(self, task_id: str, token: str, reason: str) -> TaskState:
        """Requeue the task as failed; after `max_attempts` of its work, or at one gate, it is dead.
        Returns its new state.
        """
        return self._requeue(task_id, token, reason, counts=True)

    def release(self, task_id: str, token: str, note: str = "") -> TaskState:
        """Requeue the task without counting an attempt. Returns its new state."""
        return self._requeue(task_id, token, note or "released", counts=False)

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
        """Send the task from a gate back to its work stage, reserved for a live author for
        `offer_ms`; a message tells the author.

        `findings`: the changes that are asked for; default: the text of `record`, which is stored.

        Raises:
            WorkMoved: the task is at another commit than `commit`, the one judged.
        """
        text = findings or (record.text() if record else "")
        reply = self._store.run(
            "task/send_back",
            id=task_id,
            token=token,
            findings=text[:MAX_TEXT],
            offer_ms=offer_ms,
            commit=commit,
            record=record.pack() if record else "",
        )
        check_reply(reply, task_id, "send back", "in-review, testing, merging")

    def cancel(self, task_id: str, reason: str = "", *, by: Agent | None = None) -> str:
        """Cancel the task; tasks that depend on it stay blocked. Returns its holder, whose claim
        ends, or "".

        Raises:
            IllegalTransition: it is done, cancelled, or being merged.
            NotLeading: `by` is an orchestrator that does not lead.
        """
        reason = reason[:MAX_TEXT] or "cancelled"
        leader, incarnation = as_orchestrator(by)
        reply = self._store.run(
            "task/cancel",
            id=task_id,
            reason=reason,
            leader=leader,
            leader_incarnation=incarnation,
        )
        check_reply(
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
            NotLeading: `by` is an orchestrator that does not lead.
        """
        leader, incarnation = as_orchestrator(by)
        reply = self._store.run(
            "task/retry", id=task_id, leader=leader, leader_incarnation=incarnation
        )
        check_reply(reply, task_id, "retry", "dead, cancelled")
        return TaskState(reply[1])

    def _requeue(self, task_id: str, token: str, reason: str, *, counts: bool) -> TaskState:
        reply = self._store.run(
            "task/requeue", id=task_id, token=token, reason=reason[:MAX_TEXT], counts=int(counts)
        )
        check_reply(reply, task_id, "fail" if counts else "release", ", ".join(HELD_STATES))
        return TaskState(reply[1])

    def stop_waiting(self, agent: Agent, stage: str) -> None:
        """Give up the agent's place in the queue for a claim."""
        with self._store.errors():
            self._store.client.zrem(
                self._keys.waiters(f"{stage}:{capabilities_of(agent)}"), agent.id
            )


def capabilities_of(agent: Agent) -> str:
    """An agent's capabilities and the stage that its role serves, sorted, separated by commas."""
    return ",".join(sorted({*agent.capabilities, stage_of_role(agent.role)} - {""}))
