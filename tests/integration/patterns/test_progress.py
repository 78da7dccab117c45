"""Progress on real servers."""

from __future__ import annotations

import pytest

from octet.base.errors import UsageError
from octet.client.api import Octet


def test_progress_counts_from_where_it_began(octet: Octet) -> None:
    """The rate is that of the work done since; set back, it begins anew; without a total there is
    no percent.
    """
    progress = octet.progress("x")
    assert (progress.add(5).percent, progress.read().eta_s) == (None, None)
    octet.store.client.hset("workflow:{p}:progress:x", "started_ms", octet.now_ms() - 10_000)
    reading = progress.add(20, total=45)
    assert 1.8 < (reading.rate or 0) <= 2
    assert 9 < (reading.eta_s or 0) < 12
    assert progress.set(2).rate is None
    assert progress.set(90).percent == 100
    with pytest.raises(UsageError):
        progress.set(-1)
    with pytest.raises(UsageError):
        progress.set(0, total=-1)
    with pytest.raises(UsageError):
        progress.add(2**54)
