"""What gates found out about a task's work: who judged which commit, with what outcome, and the
evidence for it.

A record is written by the same script as the step that it belongs to (`task/pass.lua`,
`task/return.lua`, `task/complete.lua`), which adds its number, gate, judge, commit and time. The
last hundred of a task stay, each of 64 KiB at most.

`evidence` is a JSON object. What `octet task show` looks for in it: `command` (what was run),
`exit_code`, `duration_ms`, `output` (its end). Whatever else a gate adds (base, tree, conflicting
paths) is kept and shown as JSON.
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

MOST_BYTES = 63 * 1024  # the script's part is the rest of 64 KiB
MOST_FINDINGS = 100
MOST_FINDING = 2000
MOST_FILE = 500


class Verdict(StrEnum):
    """How a gate's work on a task ended: reviews approve or ask for changes, tests pass or fail,
    merges conflict or merge.
    """

    APPROVE = "approve"
    CHANGES = "changes"
    PASS = "pass"
    FAIL = "fail"
    CONFLICT = "conflict"
    MERGED = "merged"


class Severity(StrEnum):
    """How much a finding matters."""

    BLOCKER = "blocker"
    MAJOR = "major"
    MINOR = "minor"
    NOTE = "note"


_FINDING = re.compile(
    rf"(?P<file>.+?)(?::(?P<line>[0-9]{{1,9}}))?:\s*(?P<severity>{'|'.join(Severity)})\s*:\s*(?P<text>\S.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Finding:
    """One thing to change: where (`line` 0 for the whole file), how much it matters, what it is."""

    file: str
    line: int
    severity: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}{f':{self.line}' if self.line else ''}: {self.severity}: {self.text}"

    @classmethod
    def parse(cls, text: str) -> Finding:
        """From `FILE:LINE: SEVERITY: TEXT`, or without the line.

        Raises:
            UsageError: it is written in another way, or too long.
        """
        found = _FINDING.fullmatch(text.strip())
        if not found:
            raise UsageError(
                f"finding {text[:80]!r}: write it as FILE:LINE: SEVERITY: TEXT, severity one "
                f"of {', '.join(Severity)}"
            )
        if len(found["file"]) > MOST_FILE or len(found["text"]) > MOST_FINDING:
            raise UsageError(
                f"finding {text[:80]!r}: a file has at most {MOST_FILE} characters, a text "
                f"{MOST_FINDING}"
            )
        return cls(found["file"], int(found["line"] or 0), found["severity"], found["text"])


@dataclass(frozen=True)
class NewRecord:
    """What a gate found out, to be kept; `evidence` is described on top of this module."""

    verdict: str
    note: str = ""
    findings: tuple[Finding, ...] = ()
    evidence: Mapping[str, Any] | None = field(default=None, hash=False)

    def text(self) -> str:
        """Findings and note for whoever is to act on them, a line each."""
        return "\n".join([*map(str, self.findings), *filter(None, [self.note])])

    def pack(self) -> str:
        """As JSON of at most `MOST_BYTES`: what is too long loses the beginning of its output
        first, then its last findings, then its note.

        Raises:
            UsageError: there is no such verdict, there are too many findings, or the evidence is no
                JSON or too long all the same.
        """
        if self.verdict not in set(Verdict):
            raise UsageError(f"no verdict {self.verdict!r}: choose one of {', '.join(Verdict)}")
        if len(self.findings) > MOST_FINDINGS:
            raise UsageError(
                f"a record has at most {MOST_FINDINGS} findings, not {len(self.findings)}: "
                "put the rest into its note"
            )
        try:
            return _fit(self)
        except (TypeError, ValueError) as error:
            raise UsageError(f"the evidence is no JSON: {error}") from error


@dataclass(frozen=True)
class Record:
    """One record as it was kept; `at_ms` is server time, `commit` what was judged."""

    n: int
    gate: str
    verdict: str
    by: str
    commit: str
    at_ms: int
    note: str = ""
    findings: tuple[Finding, ...] = ()
    evidence: Mapping[str, Any] | None = field(default=None, hash=False)

    def is_stale(self, commit: str) -> bool:
        """Whether it is about another commit than this one, the task's."""
        return self.commit != commit


def read_records(entries: Mapping[str, str]) -> Sequence[Record]:
    """The records of a task's HASH, oldest first. What somebody spoiled by hand is left out, or has
    its default where a field is.
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
        if length and _bytes(_json(record)) > MOST_BYTES:
            record = _cut_to_fit(record, length, cut)
    if _bytes(packed := _json(record)) > MOST_BYTES:
        raise UsageError(f"the evidence has at most {MOST_BYTES} bytes: put the rest into a file")
    return packed


def _cut_to_fit(record: NewRecord, length: int, cut: Cut) -> NewRecord:
    """With as much of a part as fits beside the rest; without it when the rest alone is too long."""
    longest = (
        bisect_right(range(length), MOST_BYTES, key=lambda n: _bytes(_json(cut(record, n)))) - 1
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
