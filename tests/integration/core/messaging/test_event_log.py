"""A reader's place in the log: in order, without a gap that is not said."""

from __future__ import annotations

from typing import Any

import pytest

from octet.client.api import Octet
from octet.core.messaging.event_log import READ_AT_ONCE, LogReader


def publish(octet: Octet, *numbers: int) -> None:
    for number in numbers:
        octet.events.publish("note", {"n": number})


def trim(octet: Octet, left: int) -> None:
    octet.store.client.xtrim(octet.store.keys.log, maxlen=left, approximate=False)


def test_from_the_beginning(any_octet: Octet) -> None:
    """All that exists, then nothing, then what came; entries trimmed before are no gap."""
    assert LogReader(any_octet.store, "0-0").read() == ([], 0)
    publish(any_octet, *range(10))
    trim(any_octet, 4)
    reader = LogReader(any_octet.store, "0-0")
    entries, trimmed = reader.read()
    assert (len(entries), trimmed) == (4, 0)
    assert reader.read() == ([], 0)
    publish(any_octet, 11)
    assert (len(reader.read()[0]), reader.last) == (1, any_octet.events.log(1)[0].id)


def test_from_now_on(octet: Octet) -> None:
    """Only what comes; the number of those trimmed meanwhile is exact, though the log was empty to
    begin with, or is in the end.
    """
    for before in (0, 5):
        publish(octet, *range(before))
        reader = LogReader(octet.store)
        assert reader.read() == ([], 0)
        publish(octet, *range(10))
        trim(octet, 3)
        assert [len(reader.read()[0]), reader.read()[1]] == [3, 0]
        publish(octet, 1, 2)
        trim(octet, 0)
        assert reader.read() == ([], 0)
        publish(octet, 3)
        entries, trimmed = reader.read()
        assert (len(entries), trimmed) == (1, 2)


@pytest.mark.parametrize(
    "count", [READ_AT_ONCE - 1, READ_AT_ONCE, READ_AT_ONCE + 1, 2 * READ_AT_ONCE + 5]
)
def test_the_number_is_exact_after_many_readings(single_octet: Octet, count: int) -> None:
    """Whether a reading fills its measure or not, the reader knows how far it is."""
    octet = single_octet
    publish(octet, *range(count))
    first = octet.events.log(count)[0].id
    reader, read = LogReader(octet.store, first), 1
    while entries := reader.read()[0]:
        read += len(entries)
    assert read == count
    publish(octet, *range(20))
    trim(octet, 7)
    entries, trimmed = reader.read()
    assert (len(entries), trimmed) == (7, 13)


def test_a_beginning_that_was_trimmed(octet: Octet) -> None:
    """From an id that the log has no more, it is said that some may be missing; not where nothing
    ever was trimmed.
    """
    publish(octet, *range(3))
    old = octet.events.log(1)[0].id
    assert LogReader(octet.store, "1-0").read()[1] == 0
    publish(octet, *range(10))
    trim(octet, 5)
    entries, trimmed = LogReader(octet.store, old).read()
    assert (len(entries), trimmed) == (5, None)


def test_a_log_that_was_set_back(octet: Octet) -> None:
    """The server lost its newest entries, or all: that is said once, and what comes is read,
    whatever its ids.
    """
    publish(octet, *range(5))
    reader = LogReader(octet.store)
    client, log = octet.store.client, octet.store.keys.log
    client.delete(log)
    assert reader.read() == ([], 0)
    client.xadd(log, {"type": "note", "data": "{}"}, id="5-1")
    assert reader.read()[1] is None
    client.xadd(log, {"type": "note", "data": "{}"}, id="6-1")
    entries, trimmed = reader.read()
    assert ([entry_id for entry_id, _ in entries], trimmed) == (["6-1"], 0)


def test_a_place_in_the_future(octet: Octet) -> None:
    """An id that is yet to come is waited for, and not taken for a log that was set back."""
    publish(octet, 1)
    reader = LogReader(octet.store, "99999999999999-0")
    assert reader.read() == ([], 0)
    assert reader.last == "99999999999999-0"


def test_a_server_that_does_not_count(octet: Octet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Redis 7.0 there is no count of what was added: a gap is said without its number, and
    no gap where there is none.
    """
    real = octet.store.run

    def old(script: str, **values: Any) -> list[object]:
        reply = real(script, **values)
        if script == "event/read_log":
            reply[1] = ""
        return reply

    monkeypatch.setattr(octet.store, "run", old)
    reader = LogReader(octet.store)
    publish(octet, *range(5))
    assert (len(reader.read()[0]), reader.read()[1]) == (5, 0)
    publish(octet, *range(5))
    trim(octet, 2)
    entries, trimmed = reader.read()
    assert (len(entries), trimmed) == (2, None)
