"""A session that starts with a newer plugin brings a newer daemon; so does a newer command.

Hooks talk to the daemon that runs; without this, an update would wait until the last session has
ended.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from pathlib import Path

from octet.daemon.process.build import Build, read_build
from octet.daemon.process.server import Handler
from octet.daemon.protocol.wire import SERVE, Reply, Request

START_LIMIT_S = 60.0
LOOK_AGAIN_S = 10.0

_log = logging.getLogger(__name__)


class Upgrading:
    """A handler around `handler` that checks the plugin, in a thread: at each SessionStart, and at
    times when a command is served. The command is told which build serves it.
    """

    def __init__(self, handler: Handler, own: Build) -> None:
        self._handler = handler
        self._own = own
        self._busy = threading.Lock()
        self._look_again_at: dict[str, float] = {}

    def handle(self, request: Request) -> Reply:
        if request.plugin and self._is_due(request):
            threading.Thread(
                target=self._look, args=(Path(request.plugin),), name="upgrade", daemon=True
            ).start()
        reply = self._handler.handle(request)
        if request.event == SERVE and reply == Reply():
            return Reply(stdout=self._own.fingerprint.encode())
        return reply

    def _is_due(self, request: Request) -> bool:
        if request.event == SERVE:
            now = time.monotonic()
            if now < self._look_again_at.get(request.plugin, 0.0):
                return False
            self._look_again_at[request.plugin] = now + LOOK_AGAIN_S
            return True
        return request.event == "SessionStart"

    def _look(self, plugin: Path) -> None:
        package, command = plugin / "src" / "octet", plugin / "bin" / "octet"
        if not self._busy.acquire(blocking=False):
            return  # one newer version at a time
        try:
            build = read_build(package)
            if build and build.is_newer_than(self._own):
                _log.info("the plugin in %s is newer (%s) and takes over", plugin, build.version)
                _start(command)
        except (OSError, subprocess.SubprocessError) as error:
            _log.warning("the newer version in %s does not start: %s", plugin, error)
        finally:
            self._busy.release()


def _start(command: Path) -> None:
    """Run the newer version's `daemon start`, which asks us to hand over. Where it must be set up
    first, a later session starts it.
    """
    environment = {**os.environ, "OCTET_SETUP": "background"}
    null = subprocess.DEVNULL
    subprocess.run(
        [command, "daemon", "start"],
        env=environment,
        stdin=null,
        stdout=null,
        stderr=null,
        timeout=START_LIMIT_S,
        check=False,
    )
