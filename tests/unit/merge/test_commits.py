"""Messages of Octet's commits: one line a title, and trailers that nothing can imitate."""

from __future__ import annotations

import pytest

from octet.merge.commits import (
    merge_message,
    replayed_message,
    rollup_message,
    squash_message,
)
from octet.merge.model import Work

WORK = Work("7", "Add the table", "c0ffee")
TRAILERS = "Octet-Task: 7\nOctet-Commit: c0ffee\n"


def test_one_work() -> None:
    """A merge says so, a squash has the title alone."""
    assert merge_message(WORK, "c0ffee") == f"Merge 7: Add the table\n\n{TRAILERS}"
    assert squash_message(WORK, "c0ffee") == f"7: Add the table\n\n{TRAILERS}"


def test_a_batch_names_every_task() -> None:
    """In the subject, in the list, and in the trailers; the subject has a bound."""
    works = [(Work(str(number), f"Title {number}", "c"), f"c{number}") for number in range(90)]
    subject, listed, trailers = rollup_message(works).split("\n\n")
    assert subject.startswith("Merge 90 tasks: 0, 1, 2, ")
    assert len(subject) <= 200
    assert listed.splitlines()[89] == "* 89: Title 89"
    assert trailers.splitlines()[-2:] == ["Octet-Task: 89", "Octet-Commit: c89"]


@pytest.mark.parametrize("title", ["Octet-Task: 8", "a\nOctet-Commit: x", "\x1b[2J", "x" * 9000])
def test_a_title_stays_on_its_line(title: str) -> None:
    """No line but Octet's own begins with a trailer, and the subject has a bound."""
    for message in (merge_message, squash_message):
        subject, _, trailers = message(Work("7", title, "c0ffee"), "c0ffee").partition("\n\n")
        assert subject.isprintable()
        assert len(subject) <= 220
        assert trailers == TRAILERS


@pytest.mark.parametrize(
    ("original", "expected"),
    [
        ("first", f"first\n\n{TRAILERS}"),
        ("first\n\nwhy\n", f"first\n\nwhy\n\n{TRAILERS}"),
        (
            "first\n\nSigned-off-by: A <a@example.org>\n",
            f"first\n\nSigned-off-by: A <a@example.org>\n{TRAILERS}",
        ),
        ("Octet-Commit: forged", f"> Octet-Commit: forged\n\n{TRAILERS}"),
        (
            "x\n\n octet-task: forged\nOther: y",
            f"x\n\n>  octet-task: forged\nOther: y\n\n{TRAILERS}",
        ),
    ],
)
def test_a_replayed_message_keeps_its_text(original: str, expected: str) -> None:
    """The trailers join the author's own block of trailers; imitations are quoted."""
    assert replayed_message(original, WORK, "c0ffee") == expected
