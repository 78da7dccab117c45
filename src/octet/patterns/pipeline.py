"""Pipelines: steps in order, each begun when all before it are done; a failed step stops the rest.

    pipeline = octet.pipeline("release")
    pipeline.start("search", "analyse", "report")
    step = pipeline.begin("analyse", wait_s=600)          # waits for "search", and has its result
    pipeline.done(step, {"total_lines": 500})

When a worker dies, its step can be begun again once its lease runs out. The store has no commands:
the worker that runs a step brings them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from octet.base.errors import NothingThere, OctetError, Refused, StaleToken, Stopped, UsageError
from octet.base.process import host_id
from octet.base.text import plain
from octet.patterns.renewal import renewing
from octet.patterns.values import (
    NAME_PATTERN,
    WORKER_PATTERN,
    check_key_name,
    decode,
    encode,
    span_ms,
    ttl_ms,
    whole_number,
)
from octet.store.scripts import Reply, Store
from octet.store.subscription import LOOK_EVERY_S, Subscription, wait_until

LEASE_S = 300.0
RUN_LEASE_S = 15.0
MAX_STEPS = 100
# The server rounds times to ms: an attempt for a step whose lease ends must not come before that.
_AFTER_S = 0.002


class StepState(StrEnum):
    """A step's state."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Step:
    """One step at one instant. Times are server time."""

    name: str
    state: str
    result: Any = None  # if it is done
    reason: str = ""  # if it failed
    worker: str = ""
    at_ms: int = 0  # since when it is in its state
    until_ms: int = 0  # the end of its worker's lease
    tries: int = 0


@dataclass(frozen=True)
class StepClaim:
    """A step that a worker has begun."""

    pipeline: str
    step: str
    token: str  # to be shown when it is settled
    given: Any  # the result of the step before; None for the first
    until_ms: int  # the end of the lease, server time
    tries: int


class Pipeline:
    """One pipeline. Every use renews its time to live: to `ttl_s` (`math.inf`: for ever), or by
    default to at least 24 h.
    """

    def __init__(self, store: Store, name: str, ttl_s: float | None = None) -> None:
        self.name = check_key_name("pipeline", name)
        self._store = store
        self._ttl_ms = ttl_ms(ttl_s)
        self._key = store.keys.pipeline(name)

    def start(self, *steps: str) -> bool:
        """Set the steps up. False if the pipeline has the same steps already: it goes on with them.

        Raises:
            Refused: it has other steps.
            UsageError: there are none or more than 100 steps, or two have the same name.
        """
        if not 0 < len(steps) <= MAX_STEPS or len(set(steps)) < len(steps):
            raise UsageError(f"a pipeline has 1 to {MAX_STEPS} steps, each with a name of its own")
        for step in steps:
            if not NAME_PATTERN.fullmatch(step):
                raise UsageError(
                    f"step {step[:80]!r}: use letters, digits and . : / @ _ + = ~ , % - (200 at "
                    "most, with no - or : first)"
                )
        reply = self._store.run("pipeline/start", name=self.name, ttl_ms=self._ttl_ms, steps=steps)
        if reply[0] == Reply.EXISTS:
            raise Refused(
                f"pipeline {self.name} has other steps: `octet pipeline clear {self.name}` "
                "deletes it"
            )
        return bool(reply[1])

    def steps(self) -> list[Step]:
        """Every step, in order.

        Raises:
            NothingThere: there is no such pipeline.
        """
        with self._store.errors():
            fields = self._store.client.hgetall(self._key)
        count = min(whole_number(fields.get("n", "")) or 0, MAX_STEPS)
        if count < 1:
            raise NothingThere(
                f"there is no pipeline {self.name}: `octet pipeline start {self.name} STEP…` "
                "makes it"
            )
        return [_step(fields, number) for number in range(1, count + 1)]

    def begin(
        self,
        step: str = "",
        *,
        wait_s: float = 0.0,
        lease_s: float = LEASE_S,
        worker: str | None = None,
        again: bool = False,
    ) -> StepClaim:
        """Begin a step (default: the first that is not done), when all before it are done; it is
        leased to this worker alone.

        Args:
            wait_s: how long to wait for the steps before; one that fails ends the wait.
            lease_s: how long the lease lasts; `renew` renews it.
            again: begin it even if it has failed.

        Raises:
            Stopped: this step or one before it has failed.
            NothingThere: there is no such pipeline or step, it is done, another worker has it, or
                one before it is not done.
        """
        worker = worker or f"{host_id()}:{os.getpid()}"
        if not WORKER_PATTERN.fullmatch(worker):
            raise UsageError(f"a worker is one word, not {worker[:80]!r}")
        lease_ms, why, back_s = span_ms("a lease", lease_s), "", LOOK_EVERY_S

        def attempt(_: Sequence[str]) -> StepClaim | None:
            nonlocal why, back_s
            reply = self._store.run(
                "pipeline/begin",
                name=self.name,
                ttl_ms=self._ttl_ms,
                step=step,
                worker=worker,
                lease_ms=lease_ms,
                again="again" if again else "",
            )
            if reply[0] == Reply.OK:
                return self._claim(reply)
            why, left_ms = self._obstacle(step, reply)
            back_s = min(LOOK_EVERY_S, left_ms / 1000 + _AFTER_S) if left_ms >= 0 else LOOK_EVERY_S
            return None

        found = wait_until(
            Subscription(self._store, self._key), attempt, wait_s, look_s=lambda: back_s
        )
        if found is None:
            raise NothingThere(why)
        return found

    def done(self, claim: StepClaim | str, result: Any = None) -> int:
        """Store the step's result, which ends it; returns the number of steps left.

        Raises:
            StaleToken: another worker has begun it since, or it is settled; nothing was changed.
            UsageError: the result is no JSON or larger than 64 KiB.
        """
        return int(self._settle(claim, StepState.DONE, encode(result))[2])

    def fail(self, claim: StepClaim | str, reason: str) -> None:
        """Mark the step as failed; the steps after it are not begun. Raises as `done`."""
        self._settle(claim, StepState.FAILED, plain(reason or "failed", 500))

    def renew(self, claim: StepClaim | str, lease_s: float = LEASE_S) -> None:
        """Let the step's lease end `lease_s` seconds from now. Raises as `done`."""
        self._settle(claim, StepState.RUNNING, span_ms("a lease", lease_s))

    def wait(self, step: str = "", *, wait_s: float) -> list[Step]:
        """Wait until a step (default: every step) is done; returns all steps.

        Raises:
            Stopped: it has failed, or one before it.
            NothingThere: there is no such pipeline or step, or the time is over.
        """
        open_steps: list[Step] = []

        def attempt(_: Sequence[str]) -> list[Step] | None:
            nonlocal open_steps
            steps = self.steps()
            open_steps = self._unfinished(steps, step)
            return steps if not open_steps else None

        found = wait_until(Subscription(self._store, self._key), attempt, wait_s)
        if found is None:
            raise NothingThere(
                f"step {open_steps[0].name} of pipeline {self.name} is {open_steps[0].state} "
                f"after {wait_s:g} s"
            )
        return found

    def run(
        self,
        work: Mapping[str, Callable[[Any], Any]],
        *,
        wait_s: float = 0.0,
        lease_s: float = RUN_LEASE_S,
    ) -> list[Step]:
        """Do the steps in order, each by its function of the result before. A failed step is done
        again, a done one is not.

        Args:
            work: step → function. A step fails when its function raises.
            wait_s: how long to wait for a step that another worker is doing.
            lease_s: how soon another worker may do the step of one that was killed; renewed while
                this one lives.

        Raises:
            Stopped: a step failed.
        """
        self.start(*work)
        while True:
            try:
                claim = self.begin(wait_s=wait_s, lease_s=lease_s, again=True)
            except NothingThere:
                if any(step.state != StepState.DONE for step in self.steps()):
                    raise
                return self.steps()
            self._do(work[claim.step], claim, lease_s)

    def renewing(self, claim: StepClaim, lease_s: float) -> AbstractContextManager[None]:
        """Renew a step's lease while the block runs."""
        return renewing(lambda: self.renew(claim, lease_s), lease_s, f"pipeline {self.name}")

    def clear(self) -> bool:
        """Delete the pipeline; False if there was none."""
        with self._store.errors():
            return bool(self._store.client.unlink(self._key))

    def _do(self, call: Callable[[Any], Any], claim: StepClaim, lease_s: float) -> None:
        try:
            with self.renewing(claim, lease_s):
                result = call(claim.given)
                encode(result)
        except Exception as error:
            own = isinstance(error, OctetError)
            self.fail(claim, str(error) if own else f"{type(error).__name__}: {error}")
            raise Stopped(self._failed(claim.step, str(error))) from error
        except BaseException:
            self.fail(claim, "interrupted")
            raise
        self.done(claim, result)

    def _claim(self, reply: Sequence[Any]) -> StepClaim:
        _, step, token, given, until_ms, tries = reply
        return StepClaim(
            self.name,
            str(step),
            str(token),
            decode(given) if given else None,
            int(until_ms),
            int(tries),
        )

    def _obstacle(self, step: str, reply: Sequence[Any]) -> tuple[str, int]:
        """Why a step cannot be begun yet, and in how many ms it may be (-1: not known).

        Raises:
            Stopped, NothingThere: it cannot be begun at all.
        """
        match reply:
            case [Reply.LATER, first, left_ms]:
                return (
                    f"step {step} of pipeline {self.name} comes after {first}, which is not done",
                    int(left_ms),
                )
            case [Reply.HELD, held, worker, left_ms]:
                return f"{worker} is doing step {held} of pipeline {self.name}", int(left_ms)
            case [Reply.STATE, failed, StepState.FAILED, reason]:
                raise Stopped(self._failed(str(failed), str(reason)))
            case [Reply.STATE, done, *_]:
                raise NothingThere(f"step {done} of pipeline {self.name} is done already")
            case [Reply.EMPTY]:
                raise NothingThere(f"every step of pipeline {self.name} is done")
        raise NothingThere(
            f"there is no {f'step {step} of ' if step else ''}pipeline {self.name}: `octet "
            "pipeline list` shows them"
        )

    def _failed(self, step: str, reason: str) -> str:
        return f"step {step} of pipeline {self.name} failed: {plain(reason, 300)}"

    def _unfinished(self, steps: Sequence[Step], until: str) -> list[Step]:
        """The steps up to `until` ("": all) that are not done.

        Raises:
            Stopped, NothingThere: as `wait`.
        """
        names = [step.name for step in steps]
        if until and until not in names:
            raise NothingThere(f"there is no step {until} of pipeline {self.name}")
        wanted = steps[: names.index(until) + 1] if until else steps
        found = [step for step in wanted if step.state != StepState.DONE]
        for step in found:
            if step.state == StepState.FAILED:
                raise Stopped(self._failed(step.name, step.reason))
        return found

    def _settle(self, claim: StepClaim | str, state: StepState, detail: str | int) -> list[Any]:
        token = claim.token if isinstance(claim, StepClaim) else claim
        reply = self._store.run(
            "pipeline/settle",
            name=self.name,
            ttl_ms=self._ttl_ms,
            token=token,
            state=state,
            detail=detail,
        )
        if reply[0] == Reply.STALE:
            raise StaleToken(
                f"token {token[:40]} of pipeline {self.name} is not in force: its step is "
                "settled, or another worker has it"
            )
        return reply


def _step(fields: Mapping[str, str], number: int) -> Step:
    """One step of a HASH; a number that was spoiled by hand is 0."""
    own = {
        name: fields.get(f"{number}:{name}", "")
        for name in ("name", "state", "result", "worker", "at", "until", "tries")
    }
    at_ms, until_ms, tries = (whole_number(own[name]) or 0 for name in ("at", "until", "tries"))
    done, failed = own["state"] == StepState.DONE, own["state"] == StepState.FAILED
    result, reason = decode(own["result"]) if done else None, own["result"] if failed else ""
    return Step(
        own["name"],
        own["state"],
        result,
        reason,
        own["worker"],
        at_ms,
        until_ms if own["state"] == StepState.RUNNING else 0,
        tries,
    )
