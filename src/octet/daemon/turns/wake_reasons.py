"""Why an idle agent should be woken: mail, a task for its stage, a lock that it was denied; and the
line that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from octet.base.text import plain
from octet.base.vocabulary import AGENT_NAME, stage_of_role
from octet.client.api import Octet
from octet.core.agents.registry import Agent
from octet.core.agents.work_states import CREW_DOWN
from octet.core.messaging.messages import EVERYBODY
from octet.daemon.projects.news import News
from octet.daemon.turns.work import has_work
from octet.store.scripts import Reply

# How long one idle agent has to come for what is there for one of many, before the next is woken.
GRACE_MS = 5000
MOST_NAMED = 3


@dataclass
class Found:
    """What a look found.

    `offers` is what the agent was given before others, `told` the locks that the line names,
    `denied` of how many it may hear; `later_ms` how soon to look again, because somebody else was
    woken; `waits`: whether there was anything, for whomever.
    """

    texts: list[str] = field(default_factory=list)
    offers: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    later_ms: float = 0.0
    denied: int = 0
    waits: bool = False

    @property
    def line(self) -> str:
        """For the session's context; "" for no reason."""
        return f"Octet: {'; '.join(self.texts)}.\n" if self.texts else ""


def find_reasons(octet: Octet, agent: Agent, news: News, denied: int | None) -> Found:
    """What there is for an agent, as far as the news may have changed it; `denied` is what the last
    look said, None for the first.

    What only one of several needs to come for is theirs from now on for a while: call `take_back`
    when they are not woken after all.
    """
    found = Found(denied=denied or 0)
    if _must_sleep(octet, agent):
        return found
    offered = _Offers(octet, agent, found)
    _look_at_mail(octet, agent, news, found, offered)
    stage = stage_of_role(agent.role)
    if news.tasks and stage and has_work(octet, agent):
        found.waits = True
        if offered(f"task:{stage}", octet.tasks.waiting(stage)):
            found.texts.append(
                f"a task waits for the {stage} stage, which is yours; if none follows here, "
                "another agent was quicker"
            )
    if news.locks and denied != 0:
        _look_at_locks(octet, agent, found, offered)
    if found.texts and _must_sleep(octet, agent):  # since: what came after a pause must not wake it
        take_back(octet, agent, found.offers)
        return Found(denied=found.denied)
    return found


def _must_sleep(octet: Octet, agent: Agent) -> bool:
    """Whether nothing may wake it. Mail would cost tokens too: it waits for the person, or
    `resume`.
    """
    state = octet.work_states.get(agent.id)
    return bool(state.stopped) and state.paused_by != CREW_DOWN


def take_back(octet: Octet, agent: Agent, offers: list[str]) -> None:
    """The agent came for it, or cannot: it need not be kept for it."""
    with octet.store.errors():
        for what in offers:
            octet.store.client.zrem(octet.store.keys.wakes(what), agent.id)


class _Offers:
    """Asks whether the agent may be woken for something, and notes the answer."""

    def __init__(self, octet: Octet, agent: Agent, found: Found) -> None:
        self._octet, self._agent, self._found = octet, agent, found

    def __call__(self, what: str, most: int = 1) -> bool:
        reply = self._octet.store.run(
            "task/offer", what=what, agent=self._agent.id, count=most, offer_ms=GRACE_MS
        )
        if reply[0] == Reply.OK:
            self._found.offers.append(what)
            return True
        self._found.later_ms = max(self._found.later_ms, float(reply[1]))
        return False


def _look_at_mail(
    octet: Octet, agent: Agent, news: News, found: Found, offered: Callable[[str], bool]
) -> None:
    """What came to its role is for one of that role; what is not known to be its own may have."""
    own = news.inboxes is not None and agent.id in news.inboxes
    if (
        not own
        and news.inboxes is not None
        and agent.role not in news.inboxes
        and not _is_elsewhere(news.inboxes)
    ):
        return
    count = octet.messages.waiting(agent)
    if not count:
        return
    found.waits = True
    if own or offered(f"mail:{agent.role}"):
        came = "1 message has" if count == 1 else f"{count} messages have"
        found.texts.append(f"{came} come for {agent.id}")


def _is_elsewhere(inboxes: frozenset[str]) -> bool:
    """Whether a message went to what is neither agent nor role, and may be many: everybody, a
    task's holder.
    """
    return any(name in EVERYBODY or not AGENT_NAME.fullmatch(name) for name in inboxes)


def _look_at_locks(
    octet: Octet, agent: Agent, found: Found, offered: Callable[[str], bool]
) -> None:
    found.denied, free = octet.locks.freed(agent)
    found.waits = found.waits or bool(free)
    found.told = [resource for resource in free if offered(f"lock:{resource}")]
    if found.told:
        named = ", ".join(plain(resource, 200) for resource in found.told[:MOST_NAMED])
        more = f" and {len(found.told) - MOST_NAMED} more" if len(found.told) > MOST_NAMED else ""
        found.texts.append(
            f"{named}{more}, which you were denied, can be had now: go on where you stopped "
            "for it, if you still need it"
        )
