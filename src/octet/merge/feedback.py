"""What a landing or a test run found out, put into words for the developer it goes back to, and
into a record.
"""

from __future__ import annotations

from octet.base.text import plain
from octet.core.tasks.verdicts import NewRecord, Verdict
from octet.merge.model import Conflict, TestsFailed, Unusable
from octet.merge.test_command import Evidence

MOST_OUTPUT = 2000


def evidence_of(evidence: Evidence | None) -> dict[str, object] | None:
    """A run of the tests as it is kept in a record."""
    if evidence is None:
        return None
    return {
        "command": evidence.command,
        "exit_code": evidence.status,
        "started_ms": evidence.started_ms,
        "duration_ms": evidence.duration_ms,
        "onto": evidence.onto,
        "combined": evidence.combined,
        "tree": evidence.tree,
        "commits": list(evidence.commits),
        "output": evidence.tail,
    }


def findings_of(outcome: Conflict | TestsFailed | Unusable, branch: str) -> tuple[str, NewRecord]:
    """Why a work goes back, for its developer, and the record of it."""
    commit = outcome.work.commit
    if isinstance(outcome, Conflict):
        found = (
            f"conflicts with {branch} at {outcome.onto[:12]} in "
            f"{', '.join(map(plain, outcome.paths))}"
        )
        text = f"{found}: `git merge {branch}` in your worktree, resolve, commit, submit again"
        return text, NewRecord(Verdict.CONFLICT, found)
    if isinstance(outcome, Unusable):
        return outcome.why, NewRecord(Verdict.FAIL, outcome.why)
    ran = outcome.evidence
    how = "did not end in time" if ran.status is None else f"ended with {ran.status}"
    found = f"`{plain(ran.command)}` {how} on {branch} at {ran.onto[:12]} with {commit[:12]} merged"
    return f"{found}:\n{ran.tail[-MOST_OUTPUT:]}", NewRecord(
        Verdict.FAIL, found, evidence=evidence_of(ran)
    )


def first_line(text: str) -> str:
    return plain(text.partition("\n")[0].removesuffix(":"))
