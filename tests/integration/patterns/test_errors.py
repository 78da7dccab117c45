"""Lists of errors on real servers."""

from __future__ import annotations

import pytest

from octet.base.errors import UsageError
from octet.client.api import Octet


def test_errors_keep_the_last(octet: Octet) -> None:
    """All are counted, the last 10,000 can be read, and an entry that is no report is text."""
    errors = octet.errors("e")
    for _ in range(11):
        errors.add(*["x"] * 1000)
    octet.store.client.lpush("workflow:{p}:error:e", '{"text": 1}', "[", "last")
    assert errors.count().count == 11_003
    assert [report.text for report in errors.list(3)] == ['{"text": 1}', "[", "last"]
    assert octet.store.client.llen("workflow:{p}:error:e") == 10_003
    with pytest.raises(UsageError):
        errors.add(" ")
