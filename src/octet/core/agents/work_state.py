"""What an agent's loop knows of it between turns: the record, and the phase that follows from it.

    octet.work_states.get("developer-1").phase       # Phase.HANDED

The record is kept as one HASH an agent (`agents:standing:<agent>`), written by `work_states` alone;
`work_changes` has the transitions. Each part is complete or absent, so that every combination of
parts is legal:

| phase | pause | park | cut_off | asked | task | idle_ms |
|---|---|---|---|---|---|---|
| paused | yes | any | any | any | any | any |
| parked | no | yes | any | any | no | any |
| cut off | no | no | yes | any | any | set |
| answering | no | no | no | yes | any | any |
| handed | no | no | no | no | yes | any |
| idle | no | no | no | no | no | set |
| working | no | no | no | no | no | 0 |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from octet.base.text import plain
from octet.store.scripts import from_json

MAX_REASON = 300
# In a time of a changed record: the server's time when it is written.
NOW = -1
# Since when an agent is cut off whose record, of the version before, does not say it.
LONG_AGO_MS = 1


class Phase(StrEnum):
    """What an agent's loop does with it, the first that applies."""

    PAUSED = "paused"  # by a person, a budget or `octet down`: it is handed nothing
    PARKED = "parked"  # by the runaway guard: it is handed nothing
    CUT_OFF = "cut off"  # its last turn ended in an error of the API
    ANSWERING = "answering"  # a person's prompt came since it last went on by itself
    HANDED = "handed"  # it has the task that it was handed
    IDLE = "idle"  # its turn has ended, and nothing is in its hands
    WORKING = "working"  # in a turn, with no task from the loop


@dataclass(frozen=True)
class Pause:
    """Nothing is handed to the agent until `resume`."""

    reason: str
    by: str = ""
    at_ms: int = 0


@dataclass(frozen=True)
class Park:
    """The runaway guard has stopped the agent; a person's prompt or `resume` lets it go on."""

    reason: str
    at_ms: int = 0


@dataclass(frozen=True)
class HandedTask:
    """The task that the agent was handed last, or took up by itself."""

    id: str
    token: str
    stage: str = ""
    base: str = ""  # the task's commit when it was handed out
    at_ms: int = 0  # when it was handed out
    mark: str = ""  # what had been done for it at the last reminder; "": none since the last prompt
    reminders: int = 0


@dataclass(frozen=True)
class Unclaimable:
    """What waited when nothing of it could be handed to the agent, which is true until `until_ms`
    (0: until something changes).
    """

    fingerprint: str  # of the queue, as `TaskReader.fingerprint`
    until_ms: int = 0
    offers: int = 0  # in a row, of work that the agent's own command claims


@dataclass(frozen=True)
class WorkState:
    """One agent's record. Times are server time in ms, 0 for never."""

    pause: Pause | None = None
    park: Park | None = None
    begun: bool = False  # a turn has ended since the loop began: with the session, or by `resume`
    asked: bool = False  # a person's prompt came since the agent last went on with its task
    talked_ms: int = 0  # when the last turn that was a person's ended
    idle_ms: int = 0  # since when it is idle; 0 in a turn
    cut_off: bool = False  # it is idle by an error of the API
    task: HandedTask | None = None
    fruitless: int = 0  # tasks in a row that came to no commit
    returned: Mapping[str, int] = field(default_factory=dict, hash=False)  # how often, by task
    unclaimable: Unclaimable | None = None
    version: int = field(default=0, compare=False)  # grows with every change

    def __post_init__(self) -> None:
        if self.cut_off and not self.idle_ms:
            raise ValueError("an agent that was cut off is idle")

    @property
    def phase(self) -> Phase:
        """The one state that says what comes next."""
        if self.pause:
            return Phase.PAUSED
        if self.park:
            return Phase.PARKED
        if self.cut_off:
            return Phase.CUT_OFF
        if self.asked:
            return Phase.ANSWERING
        if self.task:
            return Phase.HANDED
        return Phase.IDLE if self.idle_ms else Phase.WORKING

    @property
    def stopped(self) -> str:
        """Why it is handed nothing, "" when it is: `paused: lunch`, `parked: …`."""
        stop = self.pause or self.park
        return f"{self.phase}: {plain(stop.reason, MAX_REASON)}" if stop else ""

    @property
    def paused(self) -> str:
        """Why it is paused; "" where it is not."""
        return self.pause.reason if self.pause else ""

    @property
    def paused_by(self) -> str:
        """Who paused it; "" if it is not paused, or by an unknown hand."""
        return self.pause.by if self.pause else ""

    @property
    def parked(self) -> str:
        """Why it is parked; "" where it is not."""
        return self.park.reason if self.park else ""


def from_fields(fields: Mapping[str, str]) -> WorkState:
    """The record of a Redis hash. Fields that are spoiled by hand or incomplete count as absent."""

    def text(name: str) -> str:
        return fields.get(name, "")

    def number(name: str) -> int:
        found = text(name)
        return int(found) if found.isascii() and found.isdigit() and len(found) < 16 else 0

    cut_off, idle_ms = bool(text("cut")), number("idle_ms")
    return WorkState(
        pause=Pause(text("paused"), text("paused_by"), number("paused_ms"))
        if text("paused")
        else None,
        park=Park(text("parked"), number("parked_ms")) if text("parked") else None,
        begun=bool(text("begun")),
        asked=bool(text("asked")),
        talked_ms=number("talked_ms"),
        idle_ms=idle_ms or (LONG_AGO_MS if cut_off else 0),
        cut_off=cut_off,
        task=HandedTask(
            text("task"),
            text("token"),
            text("stage"),
            text("base"),
            number("given_ms"),
            text("told"),
            number("reminders"),
        )
        if text("task") and text("token")
        else None,
        fruitless=number("barren"),
        returned=_counts(text("returns")),
        unclaimable=Unclaimable(text("vain"), number("vain_until_ms"), number("offers"))
        if text("vain")
        else None,
        version=number("version"),
    )


def to_fields(state: WorkState) -> dict[str, str]:
    """The hash's fields without `version`; "" for an absent one, `now` for a time that is `NOW`."""
    pause, park = state.pause or Pause(""), state.park or Park("")
    task = state.task or HandedTask("", "")
    unclaimable = state.unclaimable or Unclaimable("")
    values: dict[str, str | int | bool] = {
        "paused": pause.reason,
        "paused_by": pause.by,
        "paused_ms": pause.at_ms,
        "parked": park.reason,
        "parked_ms": park.at_ms,
        "begun": state.begun,
        "asked": state.asked,
        "talked_ms": state.talked_ms,
        "idle_ms": state.idle_ms,
        "cut": state.cut_off,
        "task": task.id,
        "token": task.token,
        "stage": task.stage,
        "base": task.base,
        "given_ms": task.at_ms,
        "told": task.mark,
        "reminders": task.reminders,
        "barren": state.fruitless,
        "returns": json.dumps(dict(state.returned)) if state.returned else "",
        "vain": unclaimable.fingerprint,
        "vain_until_ms": unclaimable.until_ms,
        "offers": unclaimable.offers,
    }
    return {name: _packed(value) for name, value in values.items()}


def _packed(value: str | int | bool) -> str:
    if isinstance(value, str):
        return value
    return "now" if value == NOW else str(int(value)) if value else ""


def _counts(text: str) -> dict[str, int]:
    try:
        found = from_json(text or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        name: count
        for name, count in found.items()
        if isinstance(count, int) and not isinstance(count, bool)
    }
