"""The outcome of a landing or a test run in words for the developer, and as a record."""

from __future__ import annotations

from octet.base.text import plain
from octet.core.tasks.verdicts import NewRecord, Verdict
from octet.merge.model import Conflict, Evidence, TestsFailed, Unusable

MAX_OUTPUT = 2000


def evidence_data(evidence: Evidence | None) -> dict[str, object] | None:
    """A run of the tests as a record keeps it."""
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


def write_feedback(
    outcome: Conflict | TestsFailed | Unusable, branch: str
) -> tuple[str, NewRecord]:
    """Why a work goes back: the text for its developer, and the record."""
    commit = outcome.work.commit
    if isinstance(outcome, Conflict):
        paths = ", ".join(map(plain, outcome.paths))
        found = f"conflicts with {branch} at {outcome.onto[:12]} in {paths}"
        text = f"{found}: `git merge {branch}` in your worktree, resolve, commit, submit again"
        return text, NewRecord(Verdict.CONFLICT, found)
    if isinstance(outcome, Unusable):
        return outcome.why, NewRecord(Verdict.FAIL, outcome.why)
    ran = outcome.evidence
    how = "did not end in time" if ran.status is None else f"ended with {ran.status}"
    found = f"`{plain(ran.command)}` {how} on {branch} at {ran.onto[:12]} with {commit[:12]} merged"
    record = NewRecord(Verdict.FAIL, found, evidence=evidence_data(ran))
    return f"{found}:\n{ran.tail[-MAX_OUTPUT:]}", record


def first_line(text: str) -> str:
    return plain(text.partition("\n")[0].removesuffix(":"))
