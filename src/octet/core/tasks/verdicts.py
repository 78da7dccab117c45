"""The gates' records of a task: the judge, the commit, the verdict, and the evidence for it.

A record is written by the script of its step (`task/pass_on.lua`, `task/send_back.lua`,
`task/complete.lua`), which adds its number, gate, judge, commit and time. A task keeps the last
hundred, each at most 64 KiB long.

`evidence` is a JSON object. `octet task show` reads its `command`, `exit_code`, `duration_ms`
and `output` (the end of it), and shows all others (base, tree, conflicting paths) as JSON.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from octet.base.errors import UsageError
from octet.store.scripts import from_json, to_json

MAX_BYTES = 63 * 1024  # the script's part is the rest of 64 KiB
MAX_FINDINGS = 100
MAX_FINDING = 2000
MAX_FILE = 500


class Verdict(StrEnum):
    """A gate's judgement of a task."""

    APPROVE = "approve"  # of a review, as is the next
    CHANGES = "changes"
    PASS = "pass"  # of the tests, as is the next
    FAIL = "fail"
    CONFLICT = "conflict"  # of the merge, as is the next
    MERGED = "merged"


class Severity(StrEnum):
    """How much a finding matters."""

    BLOCKER = "blocker"
    MAJOR = "major"
    MINOR = "minor"
    NOTE = "note"


_FINDING = re.compile(
    r"(?P<file>.+?)(?::(?P<line>[0-9]{1,9}))?:\s*"
    rf"(?P<severity>{'|'.join(Severity)})\s*:\s*(?P<text>\S.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Finding:
    """One thing to change."""

    file: str
    line: int  # 0 for the whole file
    severity: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}{f':{self.line}' if self.line else ''}: {self.severity}: {self.text}"

    @classmethod
    def parse(cls, text: str) -> Finding:
        """Parse `FILE:LINE: SEVERITY: TEXT`, or `FILE: SEVERITY: TEXT`.

        Raises:
            UsageError: it has another form, or is too long.
        """
        found = _FINDING.fullmatch(text.strip())
        if not found:
            raise UsageError(
                f"finding {text[:80]!r}: write it as FILE:LINE: SEVERITY: TEXT, severity one "
                f"of {', '.join(Severity)}"
            )
        if len(found["file"]) > MAX_FILE or len(found["text"]) > MAX_FINDING:
            raise UsageError(
                f"finding {text[:80]!r}: a file has at most {MAX_FILE} characters, a text "
                f"{MAX_FINDING}"
            )
        return cls(found["file"], int(found["line"] or 0), found["severity"], found["text"])


@dataclass(frozen=True)
class NewRecord:
    """A gate's record to be stored; for `evidence` see the top of this module."""

    verdict: str
    note: str = ""
    findings: tuple[Finding, ...] = ()
    evidence: Mapping[str, Any] | None = field(default=None, hash=False)

    def text(self) -> str:
        """The findings and the note, a line each."""
        return "\n".join([*map(str, self.findings), *filter(None, [self.note])])

    def pack(self) -> str:
        """The record as JSON of at most `MAX_BYTES`; a longer one loses its output's beginning,
        then its last findings, then the end of its note.

        Raises:
            UsageError: there is no such verdict, there are too many findings, or the evidence is no
                JSON or still too long.
        """
        if self.verdict not in set(Verdict):
            raise UsageError(f"no verdict {self.verdict!r}: choose one of {', '.join(Verdict)}")
        if len(self.findings) > MAX_FINDINGS:
            raise UsageError(
                f"a record has at most {MAX_FINDINGS} findings, not {len(self.findings)}: "
                "put the rest into its note"
            )
        try:
            return _fit(self)
        except (TypeError, ValueError) as error:
            raise UsageError(f"the evidence is no JSON: {error}") from error


@dataclass(frozen=True)
class Record:
    """One stored record."""

    n: int  # its number
    gate: str
    verdict: str
    by: str  # the judge
    commit: str  # that was judged
    at_ms: int  # server time
    note: str = ""
    findings: tuple[Finding, ...] = ()
    evidence: Mapping[str, Any] | None = field(default=None, hash=False)

    def is_stale(self, commit: str) -> bool:
        """Whether it judges another commit than this one."""
        return self.commit != commit


def read_records(entries: Mapping[str, str]) -> Sequence[Record]:
    """The records of a task's HASH, oldest first. One that was spoiled by hand is left out; a
    spoiled field has its default.
    """
    found = [_record(int(n), text) for n, text in entries.items() if re.fullmatch("[0-9]{1,16}", n)]
    return sorted((record for record in found if record), key=lambda record: record.n)


def _record(n: int, text: str) -> Record | None:
    try:
        known = from_json(text)
    except ValueError:
        return None
    if not isinstance(known, dict):
        return None
    texts = {name: _text(known.get(name)) for name in ("gate", "verdict", "by", "commit", "note")}
    items = known.get("findings")
    findings = (
        tuple(_finding(item) for item in items if isinstance(item, dict))
        if isinstance(items, list)
        else ()
    )
    evidence = known.get("evidence")
    return Record(
        n,
        at_ms=_whole(known.get("at_ms")),
        findings=findings,
        evidence=evidence if isinstance(evidence, dict) else None,
        **texts,
    )


def _finding(known: Mapping[str, Any]) -> Finding:
    return Finding(
        _text(known.get("file")),
        _whole(known.get("line")),
        _text(known.get("severity")),
        _text(known.get("text")),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return (
        value
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
        else 0
    )


Cut = Callable[[NewRecord, int], NewRecord]


def _fit(record: NewRecord) -> str:
    output = _text((record.evidence or {}).get("output"))
    cuts: list[tuple[int, Cut]] = [
        (
            len(output),
            lambda whole, n: replace(
                whole, evidence={**(whole.evidence or {}), "output": output[len(output) - n :]}
            ),
        ),
        (len(record.findings), lambda whole, n: replace(whole, findings=whole.findings[:n])),
        (len(record.note), lambda whole, n: replace(whole, note=whole.note[:n])),
    ]
    for length, cut in cuts:
        if length and _bytes(_json(record)) > MAX_BYTES:
            record = _cut_to_fit(record, length, cut)
    if _bytes(packed := _json(record)) > MAX_BYTES:
        raise UsageError(f"the evidence has at most {MAX_BYTES} bytes: put the rest into a file")
    return packed


def _cut_to_fit(record: NewRecord, length: int, cut: Cut) -> NewRecord:
    """The record with as much of a part as fits beside the rest."""
    longest = (
        bisect_right(range(length), MAX_BYTES, key=lambda n: _bytes(_json(cut(record, n)))) - 1
    )
    return cut(record, max(0, longest))


def _json(record: NewRecord) -> str:
    found = {
        "verdict": str(record.verdict),
        "note": record.note,
        "findings": [asdict(finding) for finding in record.findings],
    }
    return to_json(
        {**found, **({} if record.evidence is None else {"evidence": dict(record.evidence)})}
    )


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
