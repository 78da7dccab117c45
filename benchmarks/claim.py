"""Claim and complete by fifty workers: Octet's library against its bare scripts on raw sockets, on
the same server, in turn.

What is compared is what the library adds to the two scripts it calls. A row without a budget shows
beside it the least that could be called a queue (ZPOPMAX and a HSET to claim, a HSET to complete):
what tokens, registry and events cost. All sides run the same number of worker processes for the
same time, A B C A B C.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.synchronize import Barrier as BarrierType
from pathlib import Path
from typing import Any

from benchmarks.table import Row, render
from octet.base.errors import NothingToClaim
from octet.core.agents.registry import Agent, Agents, Registration
from octet.core.tasks.record import Task
from octet.core.tasks.tasks import Tasks
from octet.store.connection import open_client
from octet.store.embedded import program
from octet.store.keys import Keys
from octet.store.script_files import load_script
from octet.store.scripts import Reply, Store, Value, from_json, to_json

WORKERS = 50
ROUNDS = 3
SECONDS = 3.0
QUEUED = 60_000

Worker = Callable[[str, int, BarrierType, Path], None]

LEAST_CLAIM = """
local id = redis.call('ZPOPMAX', KEYS[1])[1]
if not id then return false end
redis.call('HSET', KEYS[2] .. id, 'state', 'claimed', 'holder', ARGV[1])
return id
"""
LEAST_COMPLETE = "return redis.call('HSET', KEYS[1] .. ARGV[1], 'state', 'done')"


def run() -> list[Row]:
    """Throughput and the claim's 99th percentile, as ratios of the bare scripts'."""
    sides = {
        "octet": (octet_worker, fill_octet),
        "bare": (bare_worker, fill_octet),
        "least": (least_worker, fill_least),
    }
    with tempfile.TemporaryDirectory(prefix="octet-bench") as directory:
        server, path = start_server(Path(directory))
        try:
            rounds = [
                {name: measure(*side, path) for name, side in sides.items()} for _ in range(ROUNDS)
            ]
        finally:
            server.terminate()
            server.wait()

    def median(name: str, figure: str) -> float:
        return statistics.median(one[name][figure] for one in rounds)

    rate = statistics.median(one["octet"]["rate"] / one["bare"]["rate"] for one in rounds)
    tail = statistics.median(one["octet"]["p99_ms"] / one["bare"]["p99_ms"] for one in rounds)
    return [
        Row(
            "least possible queue, raw sockets",
            median("least", "rate"),
            "pairs/s",
            None,
            None,
            True,
        ),
        Row(
            "bare scripts, raw sockets, claim + complete",
            median("bare", "rate"),
            "pairs/s",
            None,
            None,
            True,
        ),
        Row(
            f"claim + complete, {WORKERS} workers",
            median("octet", "rate"),
            "pairs/s",
            rate,
            ">= 0.4",
            rate >= 0.4,
        ),
        Row("bare claim, p99", median("bare", "p99_ms"), "ms", None, None, True),
        Row(
            f"claim, {WORKERS} workers, p99",
            median("octet", "p99_ms"),
            "ms",
            tail,
            "<= 2",
            tail <= 2,
        ),
    ]


def start_server(directory: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server of the benchmark's own, without persistence on either side."""
    path = str(directory / "s")
    binary = program.find_server().path
    server = subprocess.Popen(
        [
            binary,
            "--port",
            "0",
            "--unixsocket",
            path,
            "--save",
            "",
            "--appendonly",
            "no",
            "--logfile",
            "/dev/null",
        ]
    )
    deadline = time.monotonic() + 10
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise RuntimeError("the benchmark's server does not start")
        time.sleep(0.01)
    return server, path


def measure(worker: Worker, fill: Callable[[str], None], path: str) -> dict[str, float]:
    """Pairs per second over all workers, and the 99th percentile of a claim's time in ms."""
    client = open_client(f"unix://{path}")
    client.flushall()
    fill(path)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(WORKERS + 1)
    with tempfile.TemporaryDirectory() as out:
        processes = [
            context.Process(target=worker, args=(path, n, barrier, Path(out) / str(n)))
            for n in range(WORKERS)
        ]
        for process in processes:
            process.start()
        barrier.wait()
        started = time.perf_counter()
        for process in processes:
            process.join()
        elapsed = time.perf_counter() - started
        times = [ms for n in range(WORKERS) for ms in json.loads((Path(out) / str(n)).read_text())]
    client.close()
    return {"rate": len(times) / elapsed, "p99_ms": statistics.quantiles(times, n=100)[98]}


def octet_worker(path: str, number: int, barrier: BarrierType, out: Path) -> None:
    """Claim and complete through the library."""
    store, agent = registered(path, number)
    tasks = Tasks(store)
    link: list[Task] = []

    def claim() -> bool:
        try:
            link[:] = [tasks.claim(agent)]
        except NothingToClaim:
            return False
        return True

    race(claim, lambda: tasks.complete(link[0].id, link[0].token), barrier, out)


def bare_worker(path: str, number: int, barrier: BarrierType, out: Path) -> None:
    """The very commands that the library sends, over a raw socket."""
    store, agent = registered(path, number)
    claim_words, complete_words = sent_by(
        store, lambda tasks: tasks.claim(agent), lambda tasks: tasks.complete("@ID", "@TOKEN")
    )
    claim_command, key = encode(*claim_words), store.keys.task("@ID")
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        reply = b""

        def claim() -> bool:
            nonlocal reply
            reply = ask(link, claim_command)
            return b"\r\nEMPTY\r\n" not in reply[:20]

        def complete() -> None:
            task, token = field(reply, b"id"), field(reply, b"token")
            known = {key: store.keys.task(task), "@ID": task, "@TOKEN": token}
            ask(link, encode(*[known.get(word, word) for word in complete_words]))

        race(claim, complete, barrier, out)


def least_worker(path: str, number: int, barrier: BarrierType, out: Path) -> None:
    """Two scripts of a line or three, over a raw socket."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        claim_sha, complete_sha = (
            field(ask(link, encode("SCRIPT", "LOAD", text)), b"")
            for text in (LEAST_CLAIM, LEAST_COMPLETE)
        )
        claim_command = encode("EVALSHA", claim_sha, "2", "q", "task:", f"w{number}")
        reply = b""

        def claim() -> bool:
            nonlocal reply
            reply = ask(link, claim_command)
            return not reply.startswith(b"$-1")

        race(
            claim,
            lambda: ask(link, encode("EVALSHA", complete_sha, "1", "task:", field(reply, b""))),
            barrier,
            out,
        )


def race(
    claim: Callable[[], bool], complete: Callable[[], object], barrier: BarrierType, out: Path
) -> None:
    """Claim and complete until the time is over; writes down each claim's time in ms."""
    times = []
    barrier.wait()
    end = time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < end and claim():
        times.append((time.perf_counter() - began) * 1000)
        complete()
    out.write_text(json.dumps(times))


def registered(path: str, number: int) -> tuple[Store, Agent]:
    """A store and an agent of one worker's own."""
    store = Store(open_client(f"unix://{path}"), Keys("bench"))
    return store, Agents(store).register(
        Registration(role="worker", name=f"w{number}", lease_ms=600_000)
    ).agent


def sent_by(store: Store, *calls: Callable[[Tasks], object]) -> list[list[str]]:
    """The words of the command that each call sends; nothing is sent."""
    words: list[list[str]] = []

    class Recorder(Store):
        def run(self, script: str, /, **values: Value) -> list[str]:
            words.append([*map(str, self.command(script, **values))])
            return ["EMPTY", "0", "0"] if script == "task/claim" else ["OK"]

    for call in calls:
        with suppress(NothingToClaim, IndexError):  # what was added is nowhere
            call(Tasks(Recorder(store.client, store.keys)))
    return words


def fill_octet(path: str) -> None:
    """Queue tasks by the real script, in one pipeline after the other."""
    client: Any = open_client(f"unix://{path}", wait_s=60)
    keys = Keys("bench")
    for name in ("task/add", "task/claim", "task/complete"):
        client.script_load(load_script(name).text)
    *words, task = sent_by(Store(client, keys), lambda tasks: tasks.add("title"))[0]
    for start in range(0, QUEUED, 5000):
        pipe = client.pipeline(transaction=False)
        for n in range(start, start + 5000):
            pipe.execute_command(
                *words, to_json({**from_json(task), "title": f"task {n}", "priority": n % 7})
            )
        if any(reply[0] != Reply.OK for reply in pipe.execute()):
            raise RuntimeError(
                "the benchmark's tasks are not added: its commands are not those of the "
                "library any more"
            )


def fill_least(path: str) -> None:
    """Bare members of a set."""
    client = open_client(f"unix://{path}", wait_s=60)
    for start in range(0, QUEUED * 3, 5000):
        client.zadd("q", {f"t{n}": n % 7 for n in range(start, start + 5000)})


def encode(*words: str) -> bytes:
    """One command in the Redis protocol."""
    parts = [f"*{len(words)}\r\n".encode()]
    parts += [b"$%d\r\n%s\r\n" % (len(data), data) for data in (word.encode() for word in words)]
    return b"".join(parts)


def ask(link: socket.socket, command: bytes) -> bytes:
    """Send one command; its reply as it came, which is short enough for one read."""
    link.sendall(command)
    reply = link.recv(16384)
    if reply.startswith(b"-"):
        raise RuntimeError(reply.decode())
    return reply


def field(reply: bytes, name: bytes) -> str:
    """The bulk string after the one called `name` in a reply; without a name, the reply itself."""
    start = reply.index(b"\r\n" + name + b"\r\n") + len(name) + 4 if name else 0
    return reply[start:].split(b"\r\n", 2)[1].decode()


if __name__ == "__main__":
    print(render(run()))
