"""Forks workers: a process that has imported everything and started no thread, so that a new one is
there in milliseconds.

The conductor tells it over a socket; when the conductor is gone, however it ended, it ends all its
children and itself.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from tests.chaos.torture.worker import Setting, Worker

from octet.base.errors import OctetError

WORD = 8


class Tally:
    """Numbers that all processes see: operations done by each slot, and whether to end."""

    def __init__(self, slots: int) -> None:
        self._numbers = memoryview(mmap.mmap(-1, (slots + 1) * WORD)).cast("Q")

    def count(self, slot: int) -> None:
        self._numbers[slot] += 1

    def total(self) -> int:
        return sum(self._numbers[:-1])

    @property
    def ended(self) -> bool:
        return bool(self._numbers[-1])

    def end(self) -> None:
        self._numbers[-1] = 1


class Nursery:
    """The conductor's side."""

    def __init__(self, setting: Setting, tally: Tally) -> None:
        self._socket, other = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self._socket.close()
            _serve(other, setting, tally)
        other.close()

    def fork(self, slot: int, generation: int) -> int:
        """A new worker; its pid."""
        return int(self._ask(f"fork {slot} {generation}"))

    def collect(self) -> tuple[int, list[str]]:
        """How many workers are left, and those that ended badly, of themselves."""
        left, *failed = self._ask("collect").split()
        return int(left), failed

    def close(self) -> None:
        """End it and its remaining children."""
        self._socket.close()
        os.waitpid(self.pid, 0)

    def _ask(self, question: str) -> str:
        self._socket.sendall(question.encode())
        return self._socket.recv(1 << 20).decode()


def _serve(orders: socket.socket, setting: Setting, tally: Tally) -> NoReturn:
    children: dict[int, str] = {}
    failed: list[str] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while order := orders.recv(1024).decode().split():
        if order[0] == "fork":
            slot, generation = int(order[1]), int(order[2])
            pid = os.fork()
            if pid == 0:
                orders.close()
                _live(setting, tally, slot, generation)
            children[pid] = f"w{slot}.{generation}"
            orders.sendall(str(pid).encode())
        else:
            _collect(children, failed)
            orders.sendall(" ".join([str(len(children)), *failed]).encode())
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _collect(children: dict[int, str], failed: list[str]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        name = children.pop(pid)
        if status not in (0, signal.SIGKILL):
            failed.append(name)


def _live(setting: Setting, tally: Tally, slot: int, generation: int) -> NoReturn:
    """A worker's whole life; the server may be down when it is born."""
    status = 1
    try:
        worker = _born(lambda: Worker(setting, slot, generation), tally)
        counted = 0

        def go_on(done: int) -> bool:
            nonlocal counted
            while counted < done:
                counted += 1
                tally.count(slot)
            return not tally.ended

        if worker:
            worker.run(go_on)
        status = 0
    except BaseException:  # noqa: BLE001 - the process's edge
        traceback.print_exc()
    finally:
        os._exit(status)


def _born(make: Callable[[], Worker], tally: Tally) -> Worker | None:
    while not tally.ended:
        try:
            return make()
        except OctetError:
            time.sleep(0.05)
    return None
