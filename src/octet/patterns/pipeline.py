"""Pipelines: steps that follow one another, each begun when all before it are done; one that fails
stops what follows.

pipeline = octet.pipeline("release")
pipeline.start("search", "analyse", "report")
step = pipeline.begin("analyse", wait_s=600)          # waits for "search", and brings its result
pipeline.done(step, {"total_lines": 500})

A worker that dies gives its step back when its lease runs out. No command stands in the store:
whoever runs steps brings them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from octet.base.errors import NothingThere, OctetError, Refused, StaleToken, Stopped, UsageError
from octet.base.process import host_id
from octet.base.text import plain
from octet.base.threads import in_thread
from octet.patterns.renewal import renewing
from octet.patterns.values import (
    NAME_PATTERN,
    WORKER_PATTERN,
    check_name,
    decode,
    encode,
    span_ms,
    ttl_ms,
    whole_number,
)
from octet.store.scripts import Reply, Store
from octet.store.subscription import LOOK_EVERY_S, Wakeups, wait_until

LEASE_S = 300.0
RUN_LEASE_S = 15.0
MAX_STEPS = 100
_AFTER_S = 0.002


class StepState(StrEnum):
    """What a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Step:
    """One step as it was at one instant: `result` if it is done, `reason` if it failed; `at_ms` is
    since when it is so (server time).

    `until_ms` is the end of its worker's lease.
    """

    name: str
    state: str
    result: Any = None
    reason: str = ""
    worker: str = ""
    at_ms: int = 0
    until_ms: int = 0
    tries: int = 0


@dataclass(frozen=True)
class StepClaim:
    """A step that was begun: the token to show for it, and the result of the step before (None for
    the first).
    """

    pipeline: str
    step: str
    token: str
    given: Any
    until_ms: int
    tries: int


class Pipeline:
    """One pipeline. Every use renews its time to live: by default to 24 h at least, with `ttl_s` to
    that (`math.inf`: for ever).
    """

    def __init__(self, store: Store, name: str, ttl_s: float | None = None) -> None:
        self.name = check_name("pipeline", name)
        self._store = store
        self._ttl_ms = ttl_ms(ttl_s)
        self._key = store.keys.pipeline(name)

    def start(self, *steps: str) -> bool:
        """Set the steps up; whether they are new. A pipeline that has the same ones goes on where
        it is.

        Raises:
            Refused: it has other steps.
            UsageError: there are none or more than 100, or two are called alike.
        """
        if not 0 < len(steps) <= MAX_STEPS or len(set(steps)) < len(steps):
            raise UsageError(f"a pipeline has 1 to {MAX_STEPS} steps, each with a name of its own")
        for step in steps:
            if not NAME_PATTERN.fullmatch(step):
                raise UsageError(
                    f"step {step[:80]!r}: use letters, digits and . : / @ _ + = ~ , % - (200 "
                    "at most, no - or : in front)"
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
        """Begin a step (default: the first that is not done) when those before it are done, for
        this worker alone.

        Args:
            wait_s: how long to wait for that; a step that fails meanwhile ends the waiting.
            lease_s: how long nobody else may begin it; `renew` lengthens that.
            again: also if it failed before.

        Raises:
            Stopped: this step failed, or one before it.
            NothingThere: no such pipeline or step; it is done already; somebody else has it; or one
                before it is not done.
        """
        return self._begin(step, wait_s, lease_s, worker, again, None)

    async def begin_async(
        self,
        step: str = "",
        *,
        wait_s: float,
        lease_s: float = LEASE_S,
        worker: str | None = None,
        again: bool = False,
    ) -> StepClaim:
        """Like `begin`; a step that was begun when the waiting task was cancelled has failed, and
        may be begun again.
        """

        def undo(turn: StepClaim) -> None:
            self.fail(turn, "its worker stopped waiting for it")

        return await in_thread(
            lambda stop: self._begin(step, wait_s, lease_s, worker, again, stop), undo=undo
        )

    def done(self, turn: StepClaim | str, result: Any = None) -> int:
        """The step is done; returns how many are left.

        Raises:
            StaleToken: somebody else has begun it since, or it is settled; nothing was changed.
            UsageError: the result is no JSON or larger than 64 KiB.
        """
        return int(self._settle(turn, StepState.DONE, encode(result))[2])

    def fail(self, turn: StepClaim | str, reason: str) -> None:
        """The step failed, and what follows it is not begun. Raises as `done`."""
        self._settle(turn, StepState.FAILED, plain(reason or "failed", 500))

    def renew(self, turn: StepClaim | str, lease_s: float = LEASE_S) -> None:
        """The lease ends in `lease_s` seconds from now. Raises as `done`."""
        self._settle(turn, StepState.RUNNING, span_ms("a lease", lease_s))

    def wait(self, step: str = "", *, wait_s: float) -> list[Step]:
        """Wait until a step (default: every one) is done; returns the steps.

        Raises:
            Stopped: it failed, or one before it.
            NothingThere: no such pipeline or step, or the time is over before.
        """
        return self._wait(step, wait_s, None)

    async def wait_async(self, step: str = "", *, wait_s: float) -> list[Step]:
        """Like `wait`."""
        return await in_thread(lambda stop: self._wait(step, wait_s, stop))

    def run(
        self,
        work: Mapping[str, Callable[[Any], Any]],
        *,
        wait_s: float = 0.0,
        lease_s: float = RUN_LEASE_S,
    ) -> list[Step]:
        """Do the steps, one after the other, each by its function of the result before; one that
        failed is done again, those done are not.

        Args:
            work: step → what does it. A step fails when that raises.
            wait_s: how long to wait for a step that somebody else is doing.
            lease_s: how soon somebody else may do the step of a worker that was killed; renewed
                while it lives.

        Raises:
            Stopped: a step failed.
        """
        self.start(*work)
        while True:
            try:
                turn = self.begin(wait_s=wait_s, lease_s=lease_s, again=True)
            except NothingThere:
                if any(step.state != StepState.DONE for step in self.steps()):
                    raise
                return self.steps()
            self._do(work[turn.step], turn, lease_s)

    def renewing(self, turn: StepClaim, lease_s: float) -> AbstractContextManager[None]:
        """Renew a step's lease while the block works."""
        return renewing(lambda: self.renew(turn, lease_s), lease_s, f"pipeline {self.name}")

    def clear(self) -> bool:
        """Delete it; whether there was one."""
        with self._store.errors():
            return bool(self._store.client.unlink(self._key))

    def _do(self, call: Callable[[Any], Any], turn: StepClaim, lease_s: float) -> None:
        try:
            with self.renewing(turn, lease_s):
                result = call(turn.given)
                encode(result)
        except Exception as error:
            self.fail(
                turn,
                str(error) if isinstance(error, OctetError) else f"{type(error).__name__}: {error}",
            )
            raise Stopped(
                f"step {turn.step} of pipeline {self.name} failed: {plain(str(error), 300)}"
            ) from error
        except BaseException:
            self.fail(turn, "interrupted")
            raise
        self.done(turn, result)

    def _begin(
        self, step: str, wait_s: float, lease_s: float, worker: str | None, again: bool, stop: threading.Event | None
    ) -> StepClaim:  # fmt: skip
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
                return self._turn(reply)
            why, left_ms = self._obstacle(step, reply)
            back_s = min(LOOK_EVERY_S, left_ms / 1000 + _AFTER_S) if left_ms >= 0 else LOOK_EVERY_S
            return None

        found = wait_until(
            Wakeups(self._store, self._key, stop=stop), attempt, wait_s, look_s=lambda: back_s
        )
        if found is None:
            raise NothingThere(why)
        return found

    def _turn(self, reply: Sequence[Any]) -> StepClaim:
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
        """Why a step cannot be begun yet, and in how many ms it may be, -1: when the other is done.

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

    def _wait(self, step: str, wait_s: float, stop: threading.Event | None) -> list[Step]:
        open_steps: list[Step] = []

        def attempt(_: Sequence[str]) -> list[Step] | None:
            nonlocal open_steps
            steps = self.steps()
            names = [each.name for each in steps]
            if step and step not in names:
                raise NothingThere(f"there is no step {step} of pipeline {self.name}")
            until = steps[: names.index(step) + 1] if step else steps
            open_steps = [each for each in until if each.state != StepState.DONE]
            for each in open_steps:
                if each.state == StepState.FAILED:
                    raise Stopped(self._failed(each.name, each.reason))
            return steps if not open_steps else None

        found = wait_until(Wakeups(self._store, self._key, stop=stop), attempt, wait_s)
        if found is None:
            raise NothingThere(
                f"step {open_steps[0].name} of pipeline {self.name} is {open_steps[0].state} "
                f"after {wait_s:g} s"
            )
        return found

    def _settle(self, turn: StepClaim | str, state: StepState, what: str | int) -> list[Any]:
        token = turn.token if isinstance(turn, StepClaim) else turn
        reply = self._store.run(
            "pipeline/settle",
            name=self.name,
            ttl_ms=self._ttl_ms,
            token=token,
            state=state,
            detail=what,
        )
        if reply[0] == Reply.STALE:
            raise StaleToken(
                f"token {token[:40]} of pipeline {self.name} is not in force: its step is "
                "settled, or somebody else has it"
            )
        return reply


def _step(fields: Mapping[str, str], number: int) -> Step:
    """What the HASH says; what was spoiled by hand is 0."""
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
