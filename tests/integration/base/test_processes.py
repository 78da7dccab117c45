"""Finding and killing every process that names a mark."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.redis_fixtures import wait_for

from octet.base.processes import kill_all, processes_of


def test_what_names_the_directory_is_found_and_killed(tmp_path: Path) -> None:
    """A process is found by its environment, in whatever session it is, and no other is."""
    environment = {**os.environ, "HOME": str(tmp_path)}
    inside = subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True)
    outside = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        # the system fills in a new program's environment a moment after it runs
        wait_for(lambda: list(processes_of(tmp_path)) == [inside.pid], "it is found alone")
        kill_all(tmp_path)
        assert inside.wait(10) < 0
        assert outside.poll() is None
    finally:
        for process in (inside, outside):
            process.kill()
            process.wait()
