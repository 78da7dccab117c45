"""Records as texts: what fits, what is cut first, and findings as people write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octet.base.errors import UsageError
from octet.core.tasks.verdicts import MAX_BYTES, MAX_FINDINGS, Finding, NewRecord, read_records

TEXT = st.text(st.characters(exclude_categories=[]), max_size=200)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("src/a.py:12: blocker: it breaks", Finding("src/a.py", 12, "blocker", "it breaks")),
        ("src/a.py: minor: it breaks: badly", Finding("src/a.py", 0, "minor", "it breaks: badly")),
        ("C: a file.py:1:note:x", Finding("C: a file.py", 1, "note", "x")),
        ("  a:b:7: major: two\nlines ", Finding("a:b", 7, "major", "two\nlines")),
    ],
)
def test_a_finding_as_people_write_it(text: str, finding: Finding) -> None:
    """File, line (optional), severity and text, which read the same when written again."""
    assert Finding.parse(text) == finding
    assert Finding.parse(str(finding)) == finding


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "it breaks",
        "a.py:1: it breaks",
        "a.py:1: critical: x",
        ": note: x",
        "a.py: note:",
        "a.py:1: note: " + "x" * 2001,
        "x" * 501 + ": note: x",
    ],
)
def test_what_is_no_finding_is_refused(text: str) -> None:
    """Anything else is refused in one line that shows the form."""
    with pytest.raises(UsageError, match=r"FILE:LINE: SEVERITY: TEXT|at most"):
        Finding.parse(text)


def evidence(output: str) -> dict[str, Any]:
    return {"command": "pytest", "exit_code": 1, "output": output}


def test_the_beginning_of_the_output_goes_first() -> None:
    """A long output keeps its end, and findings and note stay whole."""
    record = NewRecord(
        "fail",
        "note",
        (Finding("a", 1, "note", "x"),),
        evidence("begin" + "\n" * 200_000 + "the last line"),
    )
    packed = record.pack()
    kept = json.loads(packed)
    assert MAX_BYTES - 10 < len(packed.encode()) <= MAX_BYTES
    assert kept["evidence"]["output"].endswith("the last line")
    assert (kept["note"], len(kept["findings"]), kept["evidence"]["exit_code"]) == ("note", 1, 1)


def test_then_the_last_findings_and_the_note() -> None:
    """What still does not fit loses its last findings, then the end of its note."""
    findings = tuple(Finding(str(number), 1, "note", "ü" * 2000) for number in range(MAX_FINDINGS))
    kept = json.loads(NewRecord("changes", "n" * 1000, findings, evidence("x" * 9)).pack())
    assert kept["evidence"]["output"] == ""
    assert [finding["file"] for finding in kept["findings"]] == [
        str(number) for number in range(len(kept["findings"]))
    ]
    assert 10 < len(kept["findings"]) < 20
    assert kept["note"] == "n" * 1000
    assert json.loads(NewRecord("changes", "\x00" * 200_000).pack())["note"].startswith("\x00")


@pytest.mark.parametrize(
    "record",
    [
        NewRecord("approved"),
        NewRecord("fail", evidence={"x": "y" * MAX_BYTES}),
        NewRecord("fail", evidence={"x": object()}),
        NewRecord("changes", findings=(Finding("a", 1, "note", "x"),) * (MAX_FINDINGS + 1)),
    ],
)
def test_what_is_no_record_is_refused(record: NewRecord) -> None:
    """An unknown verdict, evidence too long or no JSON, too many findings."""
    with pytest.raises(UsageError):
        record.pack()


@given(
    st.lists(st.builds(Finding, TEXT, st.integers(0, 9), TEXT, TEXT), max_size=5),
    TEXT,
    TEXT,
    st.integers(0, 3000),
)
def test_every_record_fits_and_comes_back(
    findings: list[Finding], note: str, output: str, times: int
) -> None:
    """Whatever characters it has, a record is one JSON object within its bound; what was not cut
    reads back as it was.
    """
    record = NewRecord("changes", note, tuple(findings), evidence(output * times))
    packed = record.pack()
    assert len(packed.encode("utf-8", "surrogatepass")) <= MAX_BYTES
    assert packed.startswith('{"')
    (found,) = read_records({"1": packed})
    assert (found.note, found.findings) == (record.note, record.findings)
    assert found.evidence is not None
    assert (output * times).endswith(found.evidence["output"])


@given(
    st.dictionaries(
        st.text(max_size=5), st.text(max_size=80) | st.just('{"findings": [{"line": true}]}')
    )
)
def test_any_hash_is_read(entries: dict[str, str]) -> None:
    """Whatever stands in the HASH, what is a record is read, and nothing breaks."""
    assert all(record.n >= 0 for record in read_records(entries))
