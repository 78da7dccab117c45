"""Example 1: three processes count the lines of many files; one of them is killed in the middle,
and nothing is lost.

Run it in a repository that uses Octet: python examples/parallel_analysis.py
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import octet

RUN, NAME, LEASE_S = f"parallel-{os.getpid()}", "analysis", 1.0
FILES = [f"src/file{n}.ts" for n in range(12)]


def analyse(path: str) -> dict[str, object]:
    time.sleep(0.1)  # the work
    return {"file": path, "lines": len(path)}


def work(run: str) -> None:
    with octet.connect() as project:
        project.run(run).map(NAME).work(analyse, lease_s=LEASE_S)


def main() -> None:
    with octet.connect() as project:
        run = project.run(RUN)
        try:
            run.map(NAME).start(FILES)
            workers = [
                multiprocessing.get_context("spawn").Process(target=work, args=(RUN,))
                for _ in range(3)
            ]
            for worker in workers:
                worker.start()
            kill_one_at_work(run, [worker.pid or 0 for worker in workers])
            results = run.map(NAME).wait(wait_s=30)
            for worker in workers:
                worker.join()
            assert [result.item for result in results] == FILES
            assert all(
                result.value == {"file": result.item, "lines": len(result.item)}
                for result in results
            )
            print(
                f"ended right: {len(results)} results of "
                f"{len({result.worker for result in results})} workers"
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
