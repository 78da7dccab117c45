"""Messages on real servers: stored before the send returns, given out once, in order."""

from __future__ import annotations

import threading

import pytest
from tests.store_fixtures import join

from octet.api import Octet
from octet.errors import UsageError
from octet.messages import MOST_TEXT, Message


def texts(messages: object) -> list[str]:
    assert isinstance(messages, list)
    return [message.text for message in messages]


def test_given_out_once(octet: Octet) -> None:
    """A message is there when the send returns, is given out once, and has its sender, its recipient and its time."""
    agent = join(octet)
    (ref,) = octet.messages.send(agent.id, "hello\n\x1b[2J ü", sender="architect-1").refs
    found = octet.messages.read(agent)
    assert list(found) == [Message(ref, "architect-1", agent.id, "hello\n\x1b[2J ü", found[0].sent_ms, "note", "", "normal")]
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
    assert portions == [[str(n) for n in range(20)], [str(n) for n in range(20, 40)], [str(n) for n in range(40, 50)], []]


def test_a_large_portion(single_octet: Octet) -> None:
    """More messages by hand than an inbox takes are given out all the same, some thousands at a time."""
    octet = single_octet
    pipe = octet.store.client.pipeline(transaction=False)
    agent = join(octet)
    for number in range(9000):
        pipe.xadd(octet.store.keys.inbox(agent.id), {"text": str(number)})
    pipe.execute()
    portions = [len(octet.messages.read(agent, most=100_000)) for _ in range(6)]
    assert (sum(portions), portions[-1]) == (9000, 0)


def test_an_agent_that_comes_back_reads_on(octet: Octet) -> None:
    """Messages to an agent that was gone wait for it; those it was given are not given again."""
    agent = join(octet, session="s")
    octet.messages.send(agent.id, "before", sender="x")
    octet.messages.read(agent)
    octet.agents.bury(agent)
    octet.messages.send(agent.id, "while gone", sender="x")
    assert texts(octet.messages.read(join(octet, session="s"))) == ["while gone"]


def test_two_readers_at_once(octet: Octet) -> None:
    """Two that take for the same role at the same time get different messages, and all of them."""
    agents = [join(octet), join(octet)]
    for number in range(200):
        octet.messages.send("developer", str(number), sender="x")
    found: list[list[str]] = [[], []]

    def take(index: int) -> None:
        while got := texts(octet.messages.read(agents[index], most=3)):
            found[index] += got

    threads = [threading.Thread(target=take, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, found[0] + found[1])) == list(range(200))


@pytest.mark.parametrize(("to", "text"), [("", "x"), ("a b", "x"), ("a\n", "x"), ("developer-1", ""), ("developer-1", " \n "), ("é", "x")])
def test_what_cannot_be_sent(octet: Octet, to: str, text: str) -> None:
    """A recipient's name is plain and a text is not empty."""
    with pytest.raises(UsageError):
        octet.messages.send(to, text, sender="x")


@pytest.mark.parametrize("text", ["x" * (MOST_TEXT + 1), "\ud800"])
def test_texts_that_cannot_be_sent(octet: Octet, text: str) -> None:
    """A text has a bound and is Unicode."""
    with pytest.raises(UsageError):
        octet.messages.send("developer", text, sender="x")
    assert octet.messages.read(join(octet)) == []
