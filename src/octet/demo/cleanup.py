"""Cleans up after a demo, however that ended: waits for the end of its standard input, then kills
and removes what is left.

    python -m octet.demo.cleanup DIRECTORY

The demo holds the other end of the pipe, which closes when the demo exits or is killed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from octet.base.processes import kill_all


def main() -> None:
    """Wait, kill, remove."""
    directory = Path(sys.argv[1])
    while os.read(0, 4096):
        pass  # nothing is ever written
    kill_all(directory)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
