"""A blocking wait, awaited: in a thread of its own, because the pool of `asyncio.to_thread` is so
small that fifty waits would deadlock.

A wait that is cancelled ends within a second, and what it got in that second is given back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TypeVar

T = TypeVar("T")


async def in_thread(
    call: Callable[[threading.Event], T],
    *,
    undo: Callable[[T], object] | None = None,
    stop: threading.Event | None = None,
) -> T:
    """What `call(stop)` returns or raises; `stop` is set when the awaiting task is cancelled,
    `undo(result)` called if it came too late.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    stop = stop or threading.Event()

    def settle(result: T | None, error: Exception | None) -> None:
        if not future.done():
            future.set_exception(error) if error else future.set_result(result)  # type: ignore[arg-type]
        elif not error and undo:
            threading.Thread(target=undo, args=(result,)).start()

    def work() -> None:
        result, error = None, None
        try:
            result = call(stop)
        except Exception as caught:  # noqa: BLE001 - it is raised where it is awaited
            error = caught
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop was closed meanwhile
            if undo and not error:
                undo(result)  # type: ignore[arg-type]

    threading.Thread(target=work, name="octet wait", daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError:
        stop.set()
        raise


async def iterate_in_thread(make: Callable[[threading.Event], Iterator[T]]) -> AsyncIterator[T]:
    """The items of `make(stop)`, each awaited."""
    stop = threading.Event()
    iterator = make(stop)
    try:
        while True:
            found = await in_thread(lambda _: next(iterator, None), stop=stop)
            if found is None:
                return
            yield found
    finally:
        stop.set()
