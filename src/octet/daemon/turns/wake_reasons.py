"""Why an idle agent should be woken, and the line that says so: mail, a task for its stage, or a
lock that it was denied.
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

# How long a woken agent has to come for what only one of many needs, before the next is woken.
GRACE_MS = 5000
MAX_NAMED = 3


@dataclass
class WakeReasons:
    """What was found for an agent."""

    # For the line that wakes it.
    texts: list[str] = field(default_factory=list)
    # What is reserved for the agent for a while, before others.
    offers: list[str] = field(default_factory=list)
    # The locks that the line names.
    told: list[str] = field(default_factory=list)
    # How soon to look again, because another agent was woken first.
    later_ms: float = 0.0
    # How many locks the agent was denied and not told of since.
    denied: int = 0
    # Whether anything waits at all, for this agent or another.
    waits: bool = False

    @property
    def line(self) -> str:
        """For the session's context; "" for no reason."""
        return f"Octet: {'; '.join(self.texts)}.\n" if self.texts else ""


def find_reasons(octet: Octet, agent: Agent, news: News, denied: int | None) -> WakeReasons:
    """What there is for an agent, as far as the news may have changed it. `denied` is what the last
    search returned, None for the first.

    What only one of several agents needs is reserved for this one for a while: call
    `release_offers` when the agent is not woken after all.
    """
    found = WakeReasons(denied=denied or 0)
    if _must_sleep(octet, agent):
        return found
    offered = _Offers(octet, agent, found)
    _check_mail(octet, agent, news, found, offered)
    stage = stage_of_role(agent.role)
    if news.tasks and stage and has_work(octet, agent):
        found.waits = True
        if offered(f"task:{stage}", octet.tasks.waiting(stage)):
            found.texts.append(
                f"a task waits for the {stage} stage, which is yours; if none follows here, "
                "another agent was quicker"
            )
    if news.locks and denied != 0:
        _check_locks(octet, agent, found, offered)
    # Checked again: what came after a pause must not wake the agent.
    if found.texts and _must_sleep(octet, agent):
        release_offers(octet, agent, found.offers)
        return WakeReasons(denied=found.denied)
    return found


def release_offers(octet: Octet, agent: Agent, offers: list[str]) -> None:
    """The agent came for these, or cannot come: they are no longer reserved for it."""
    with octet.store.errors():
        for what in offers:
            octet.store.client.zrem(octet.store.keys.wakes(what), agent.id)


def _must_sleep(octet: Octet, agent: Agent) -> bool:
    """Whether nothing may wake it. Mail costs tokens too: it waits for a person or `resume`."""
    state = octet.work_states.get(agent.id)
    return bool(state.stopped) and state.paused_by != CREW_DOWN


class _Offers:
    """Asks whether the agent may be woken for something, and notes the answer."""

    def __init__(self, octet: Octet, agent: Agent, found: WakeReasons) -> None:
        self._octet, self._agent, self._found = octet, agent, found

    def __call__(self, what: str, count: int = 1) -> bool:
        reply = self._octet.store.run(
            "task/offer", what=what, agent=self._agent.id, count=count, offer_ms=GRACE_MS
        )
        if reply[0] == Reply.OK:
            self._found.offers.append(what)
            return True
        self._found.later_ms = max(self._found.later_ms, float(reply[1]))
        return False


def _check_mail(
    octet: Octet, agent: Agent, news: News, found: WakeReasons, offered: Callable[[str], bool]
) -> None:
    """Mail to a role is for one agent of it; mail that is not known to be its own may be that."""
    own = news.inboxes is not None and agent.id in news.inboxes
    if not (
        own or news.inboxes is None or agent.role in news.inboxes or _reaches_many(news.inboxes)
    ):
        return
    count = octet.messages.waiting(agent)
    if not count:
        return
    found.waits = True
    if own or offered(f"mail:{agent.role}"):
        messages = "1 message" if count == 1 else f"{count} messages"
        found.texts.append(f"{messages} came for {agent.id}")


def _reaches_many(inboxes: frozenset[str]) -> bool:
    """Whether a message went to what is neither agent nor role, and may be many: everybody, a
    task's holder.
    """
    return any(name in EVERYBODY or not AGENT_NAME.fullmatch(name) for name in inboxes)


def _check_locks(
    octet: Octet, agent: Agent, found: WakeReasons, offered: Callable[[str], bool]
) -> None:
    found.denied, free = octet.locks.freed(agent)
    found.waits = found.waits or bool(free)
    found.told = [resource for resource in free if offered(f"lock:{resource}")]
    if found.told:
        named = ", ".join(plain(resource, 200) for resource in found.told[:MAX_NAMED])
        more = f" and {len(found.told) - MAX_NAMED} more" if len(found.told) > MAX_NAMED else ""
        found.texts.append(
            f"{named}{more}, which you were denied, can be had now: go on where you stopped "
            "for it, if you still need it"
        )
