"""A wire between two unix sockets that can be cut, slowed down, and made to swallow what goes over
it.

proxy = Proxy(Path("in"), Path("out"))      # a process of its own; who connects to `in` speaks to
`out` proxy.cut()                                 # every connection ends, in the middle of whatever
is on its way proxy.slow(0.05)                            # each piece takes so long (s) on each
way; 0: none proxy.swallow("requests")                   # nothing arrives, nobody is told;
"answers": it is done, and nobody hears of it proxy.swallow("")                           # over;
what had been swallowed never arrives: those connections end
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

CHUNK = 65536


class Proxy:
    """The wire, as its owner sees it."""

    def __init__(self, listen: Path, target: Path) -> None:
        self.url = f"unix://{listen}"
        reader, self._orders = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._orders)
            try:
                asyncio.run(_Wire(listen, target).serve(reader))
            finally:
                os._exit(0)
        os.close(reader)
        deadline = time.monotonic() + 20
        while not listen.exists():
            assert time.monotonic() < deadline, "the proxy does not listen"
            time.sleep(0.005)

    def cut(self) -> None:
        self._order("cut")

    def slow(self, delay_s: float) -> None:
        self._order(f"slow {delay_s}")

    def swallow(self, what: str) -> None:
        self._order(f"swallow {what or '-'}")

    def close(self) -> None:
        """End it; every connection ends with it."""
        os.close(self._orders)
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def _order(self, text: str) -> None:
        os.write(self._orders, f"{text}\n".encode())


class _Wire:
    def __init__(self, listen: Path, target: Path) -> None:
        self._listen, self._target = listen, target
        self._delay_s, self._swallowed = 0.0, "-"
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, orders: int) -> None:
        """Until the owner closes the pipe."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(orders, "rb")
        )
        await asyncio.start_unix_server(self._connect, self._listen)
        while line := await reader.readline():
            self._obey(*line.decode().split())

    def _obey(self, order: str, value: str = "") -> None:
        if order == "slow":
            self._delay_s = float(value)
            return
        self._swallowed = value if order == "swallow" else self._swallowed
        if order == "cut" or value == "-":
            for writer in self._writers:
                writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inward, outward = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, outward}
        ways = [
            asyncio.create_task(self._pump(reader, outward, "requests")),
            asyncio.create_task(self._pump(inward, writer, "answers")),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        self._writers -= {writer, outward}
        writer.transport.abort()
        outward.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: str
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._swallowed == what:
                    continue
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                writer.write(data)
                await writer.drain()
