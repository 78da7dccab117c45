"""The benchmarks follow the code that they measure: what sends the library's own commands by hand
gets real answers to them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmarks import claim
from tests.support.redis_fixtures import find_program


@pytest.fixture
def path() -> Iterator[str]:
    """The socket of a server of the benchmark's own."""
    find_program("redis")
    with tempfile.TemporaryDirectory(prefix="octet-bench") as directory:
        server, socket = claim.start_server(Path(directory))
        yield socket
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    ("worker", "fill"),
    [
        (claim.octet_worker, claim.fill_octet),
        (claim.bare_worker, claim.fill_octet),
        (claim.least_worker, claim.fill_least),
    ],
)
@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # it forks beside threads, as of Python 3.12
def test_each_side_claims_and_completes(
    path: str, worker: claim.Worker, fill: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers for a tenth of a second."""
    for name, value in (("WORKERS", 2), ("SECONDS", 0.1), ("QUEUED", 5000)):
        monkeypatch.setattr(claim, name, value)
    assert claim.measure(worker, fill, path)["rate"] > 2
