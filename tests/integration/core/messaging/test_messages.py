"""Messages on real servers: stored before the send returns, given out once, in order."""

from __future__ import annotations

import threading

import pytest
from tests.support.store_fixtures import join

from octet.base.errors import NotFound, Refused, UsageError
from octet.client.api import Octet
from octet.core.agents.registry import Registration
from octet.core.messaging.messages import MAX_TEXT, InboxSnapshot, Message


def texts(messages: object) -> list[str]:
    assert isinstance(messages, list)
    return [message.text for message in messages]


def test_given_out_once(octet: Octet) -> None:
    """A message is there when the send returns, is given out once, and has its sender, its
    recipient and its time.
    """
    agent = join(octet)
    (ref,) = octet.messages.send(agent.id, "hello\n\x1b[2J ü", sender="architect-1").refs
    found = octet.messages.read(agent)
    assert list(found) == [
        Message(
            ref, "architect-1", agent.id, "hello\n\x1b[2J ü", found[0].sent_ms, "note", "", "normal"
        )
    ]
    assert abs(found[0].sent_ms - octet.now_ms()) < 60_000
    assert octet.messages.read(agent) == []


def test_a_role_s_message_goes_to_one_of_it(octet: Octet) -> None:
    """The first member that looks takes it; other roles never see it."""
    first, second, other = join(octet), join(octet), join(octet, "architect")
    octet.messages.send("developer", "for anyone", sender="x")
    octet.messages.send(second.id, "for you", sender="x")
    assert octet.messages.read(other) == []
    assert sorted(texts(octet.messages.read(second))) == ["for anyone", "for you"]
    assert octet.messages.read(first) == []


def test_order_and_portions(octet: Octet) -> None:
    """Oldest first, at most as many as asked for, and the rest next time."""
    agent = join(octet)
    for number in range(50):
        octet.messages.send(agent.id, str(number), sender="x")
    portions = [texts(octet.messages.read(agent)) for _ in range(4)]
    assert portions == [
        [str(n) for n in range(20)],
        [str(n) for n in range(20, 40)],
        [str(n) for n in range(40, 50)],
        [],
    ]


def test_a_large_portion(single_octet: Octet) -> None:
    """More messages by hand than an inbox takes are given out, some thousands at a time."""
    octet = single_octet
    pipe = octet.store.client.pipeline(transaction=False)
    agent = join(octet)
    for number in range(9000):
        pipe.xadd(octet.store.keys.inbox(agent.id), {"text": str(number)})
    pipe.execute()
    portions = [len(octet.messages.read(agent, limit=100_000)) for _ in range(6)]
    assert (sum(portions), portions[-1]) == (9000, 0)


def test_an_agent_that_comes_back_reads_on(octet: Octet) -> None:
    """Messages to an agent that was gone wait for it; those it was given are not given again."""
    agent = join(octet, session="s")
    octet.messages.send(agent.id, "before", sender="x")
    octet.messages.read(agent)
    octet.agents.expire(agent)
    octet.messages.send(agent.id, "while gone", sender="x")
    assert texts(octet.messages.read(join(octet, session="s"))) == ["while gone"]


def test_two_readers_at_once(octet: Octet) -> None:
    """Two that take for the same role at the same time get different messages, and all of them."""
    agents = [join(octet), join(octet)]
    for number in range(200):
        octet.messages.send("developer", str(number), sender="x")
    found: list[list[str]] = [[], []]

    def take(index: int) -> None:
        while got := texts(octet.messages.read(agents[index], limit=3)):
            found[index] += got

    threads = [threading.Thread(target=take, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, found[0] + found[1])) == list(range(200))


@pytest.mark.parametrize(
    ("to", "text"),
    [
        ("", "x"),
        ("a b", "x"),
        ("a\n", "x"),
        ("developer-1", ""),
        ("developer-1", " \n "),
        ("é", "x"),
    ],
)
def test_what_cannot_be_sent(octet: Octet, to: str, text: str) -> None:
    """A recipient's name is plain and a text is not empty."""
    with pytest.raises(UsageError):
        octet.messages.send(to, text, sender="x")


@pytest.mark.parametrize("text", ["x" * (MAX_TEXT + 1), "\ud800"])
def test_texts_that_cannot_be_sent(octet: Octet, text: str) -> None:
    """A text has a bound and is Unicode."""
    with pytest.raises(UsageError):
        octet.messages.send("developer", text, sender="x")
    assert octet.messages.read(join(octet)) == []


def test_to_every_member_and_to_everybody(octet: Octet) -> None:
    """`everyone` reaches each member of a role, `all` each agent but the sender; who comes later
    has neither, a person is no agent.
    """
    first, second, other = join(octet), join(octet), join(octet, "architect")
    octet.agents.register(Registration(role="person", kind="person", name="ann"))
    sent = octet.messages.send("developer", "both", sender=other.id, everyone=True)
    assert [ref.partition("/")[0] for ref in sent.refs] == [first.id, second.id]
    octet.messages.send("all", "every one", sender=first.id)
    late = join(octet)
    found = {
        agent.id: [message.text for message in octet.messages.read(agent)]
        for agent in (first, second, other, late)
    }
    assert found == {
        first.id: ["both"],
        second.id: ["both", "every one"],
        other.id: ["every one"],
        late.id: [],
    }
    with pytest.raises(Refused, match="there is no agent to send it to"):
        octet.messages.send("repository-guardian", "x", sender="x", everyone=True)


def test_to_the_holder_of_a_task(octet: Octet) -> None:
    """The holder reads it, now or next; a task that is over, or is none, has no inbox."""
    agent, task = join(octet), octet.tasks.add("work")
    octet.messages.send(f"task:{task.id}", "first", sender="x")
    assert octet.messages.waiting(agent) == 0
    held = octet.tasks.claim(agent)
    assert octet.messages.waiting(agent) == 1
    octet.tasks.release(task.id, held.token)
    assert list(octet.messages.read(agent)) == []
    held = octet.tasks.claim(agent)
    assert [(message.text, message.to) for message in octet.messages.read(agent)] == [
        ("first", f"task:{task.id}")
    ]
    octet.tasks.complete(task.id, held.token)
    with pytest.raises(Refused, match="is done"):
        octet.messages.send(f"task:{task.id}", "late", sender="x")
    with pytest.raises(NotFound, match="no task nine"):
        octet.messages.send("task:nine", "x", sender="x")


def test_to_a_task_with_the_longest_name(octet: Octet) -> None:
    """Every name that a task can have can be written to."""
    agent, task = join(octet), octet.tasks.add("work", task_id="t" * 64)
    octet.tasks.claim(agent)
    octet.messages.send(f"task:{task.id}", "look", sender="x")
    assert [message.text for message in octet.messages.read(agent)] == ["look"]


def test_what_one_sends_to_ones_own_role_is_for_another(octet: Octet) -> None:
    """A developer that asks the developers does not answer itself."""
    first, second = join(octet), join(octet)
    octet.messages.send("developer", "who knows?", sender=first.id)
    assert (octet.messages.waiting(first), octet.messages.waiting(second)) == (0, 1)
    assert list(octet.messages.read(first)) == []
    assert [message.text for message in octet.messages.read(second)] == ["who knows?"]


def test_urgent_ones_first(octet: Octet) -> None:
    """Whatever lies before them, even more than is looked at."""
    agent = join(octet)
    for number in range(100):
        octet.messages.send(agent.id, str(number), sender="x")
    octet.messages.send(
        agent.id,
        "now",
        sender="x",
        priority="high",
        kind="warning",
        task="T1",
        reply_to=f"{agent.id}/1-1",
    )
    (first, *_) = octet.messages.read(agent, limit=3)
    assert (first.text, first.kind, first.task, first.priority, first.reply_to) == (
        "now",
        "warning",
        "T1",
        "high",
        f"{agent.id}/1-1",
    )
    assert octet.messages.waiting(agent) == 98


def test_a_full_inbox_refuses_and_drops_nothing(single_octet: Octet) -> None:
    """The sender is told; to several, those that have room have it, and the others are named."""
    octet = single_octet
    agent, other = join(octet), join(octet)
    pipe = octet.store.client.pipeline(transaction=False)
    for number in range(1000):
        pipe.xadd(octet.store.keys.inbox(agent.id), {"text": str(number)})
    pipe.execute()
    with pytest.raises(Refused, match=f"inbox of {agent.id} is full"):
        octet.messages.send(agent.id, "one more", sender="x")
    sent = octet.messages.send("developer", "both", sender="x", everyone=True)
    assert (list(sent.full), [message.text for message in octet.messages.read(other)]) == (
        [agent.id],
        ["both"],
    )
    assert octet.messages.read(agent, limit=1)[0].text == "0"
    assert octet.messages.send(agent.id, "now", sender="x").refs


def test_given_is_not_read(any_octet: Octet) -> None:
    """A message taken and not settled goes to no other agent, comes back when it is said to be
    lost, and goes when it was shown.
    """
    octet = any_octet
    first, second = join(octet), join(octet)
    octet.messages.send("developer", "x", sender="y")
    (given,) = octet.messages.take(first, {"session": "s"}).given
    assert list(octet.messages.read(second)) == []
    assert octet.messages.snapshot(first).given == [given]
    octet.messages.settle([(given, False)])
    (again,) = octet.messages.take(second, {"session": "s2"}).given
    octet.messages.settle([(given, True)])  # the first one's, too late
    assert octet.messages.snapshot(second).given == [again]
    octet.messages.settle([(again, True)])
    assert octet.messages.snapshot(second) == InboxSnapshot(0, 0, [])
    assert [message.text for message in octet.messages.shown(second)] == ["x"]
    assert octet.messages.peek(again.ref) is None


def test_what_became_of_it(octet: Octet) -> None:
    """A sender can look back: waiting, given, read."""
    sender, agent = join(octet, "architect"), join(octet)
    refs = [
        octet.messages.send(agent.id, text, sender=sender.id).refs[0]
        for text in ("one", "two", "three")
    ]
    taken = octet.messages.take(agent, {"session": "s"}, limit=2)
    octet.messages.settle([(taken.given[0], True)])
    found = octet.messages.sent(sender)
    assert [(ref, text, fate) for ref, text, fate, _ in found] == [
        (refs[2], "three", "waits"),
        (refs[1], "two", "given"),
        (refs[0], "one", "read"),
    ]
    assert all(abs(at_ms - octet.now_ms()) < 60_000 for *_, at_ms in found)


@pytest.mark.parametrize(
    "record",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"agent": 1, "at_ms": "x"}',
        "\udcff",
        '{"agent": "developer-9", "offset": []}',
    ],
)
def test_spoiled_records_of_what_was_given(octet: Octet, record: str) -> None:
    """A record written by hand holds up no message."""
    agent, keys = join(octet), octet.store.keys
    octet.messages.send(agent.id, "x", sender="y")
    entry = octet.store.client.xrange(keys.inbox(agent.id))[0][0]
    octet.store.client.hset(keys.inbox_given(agent.id), entry, record)
    octet.store.client.hset(keys.inbox_given(agent.id), "1-1", record)
    octet.store.client.zadd(keys.inbox_high(agent.id), {"nonsense": 0, "1-1": 0})
    assert octet.messages.waiting(agent) == 2
    assert [message.text for message in octet.messages.read(agent)] == ["x"]
    assert octet.messages.waiting(agent) == 0
