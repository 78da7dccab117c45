"""Example 3: three processes check files and report errors; one is killed in the middle; the third
error stops them all.

Run it in a repository that uses Octet: python examples/error_handling.py
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import octet

RUN, NAME, FAIL_FAST = f"errors-{os.getpid()}", "checks", 3
FILES = [f"src/file{n}.ts" for n in range(60)]


def check(path: str) -> str:
    time.sleep(0.1)  # the work
    if path.endswith("5.ts"):
        raise ValueError(f"syntax error in {path}")
    return "fine"


def work(run: str) -> None:
    with octet.connect() as project:
        try:
            project.run(run).map(NAME).work(check, lease_s=1.0)
        except octet.Stopped as stopped:
            print(f"{os.getpid()} stops: {stopped}", flush=True)


def main() -> None:
    with octet.connect() as project:
        run = project.run(RUN)
        try:
            run.errors(NAME).limit(FAIL_FAST)
            run.map(NAME).start(FILES)
            workers = [
                multiprocessing.get_context("spawn").Process(target=work, args=(RUN,))
                for _ in range(4)
            ]
            for worker in workers:
                worker.start()
            kill_one_at_work(run, [worker.pid or 0 for worker in workers])
            try:
                run.map(NAME).wait(wait_s=30)
            except octet.Stopped as stopped:
                print(stopped)
            for worker in workers:
                worker.join()
            errors, tally = run.errors(NAME).list(), run.map(NAME).tally()
            assert len(errors) >= FAIL_FAST
            assert all("syntax error" in error.text for error in errors)
            assert tally.ready > 0, "items that were not begun are not done"
            print(
                f"ended right: {len(errors)} errors, {tally.done} done, {tally.ready} never begun"
            )
        finally:
            run.clear()


def kill_one_at_work(run: octet.Run, workers: list[int]) -> None:
    """Kill a worker that has an item."""
    queue, deadline = run.map(NAME).queue, time.monotonic() + 20
    while time.monotonic() < deadline:
        for kept in queue.leased():
            pid = int(kept.worker.rpartition(":")[2])
            if pid in workers:
                os.kill(pid, signal.SIGKILL)
                print(f"killed {pid} with {kept.value}")
                return
        time.sleep(0.01)
    raise TimeoutError("no worker took an item")


if __name__ == "__main__":
    main()
