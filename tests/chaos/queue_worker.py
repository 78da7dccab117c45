"""Works the merge queue off once, and kills itself with SIGKILL at the step it was told: before or
after a call of the store.

queue_worker.py ROOT URL STEP       # STEP 0: no kill
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from octet.base.errors import NothingToClaim
from octet.client.api import connect
from octet.core.agents.identity import this_process
from octet.core.agents.registry import Agent
from octet.merge.queue import MergeQueue
from octet.merge.settings import approved_test_command, read_merge_settings
from octet.project.repository import load_project
from octet.store.scripts import Store


def main(root: str, url: str, step: str) -> None:
    left, run = int(step), Store.run

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(*args: Any, **named: Any) -> Any:
        count()
        answer = run(*args, **named)
        count()
        return answer

    Store.run = counted  # type: ignore[method-assign]
    with connect(Path(root), url=url) as octet:
        project = load_project(root)

        def register() -> Agent:
            return octet.agents.register(this_process("repository-guardian")).agent

        queue = MergeQueue(
            octet, read_merge_settings(project, approved_test_command(project)), register
        )
        try:
            for report in queue.merge_once():
                print(report.kind, report.text, flush=True)
        except NothingToClaim:
            print("nothing", flush=True)
        octet.agents.leave(octet.agents.list()[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
