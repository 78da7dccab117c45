"""A session that starts with a newer plugin brings a newer daemon.

Hooks talk to the daemon that runs; without this, an update of the plugin would wait until the last
session has ended.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from pathlib import Path

from octet.daemon.process.build import Build, read_build
from octet.daemon.process.server import Handler
from octet.daemon.protocol.wire import Reply, Request

START_LIMIT_S = 60.0

_log = logging.getLogger(__name__)


class Upgrading:
    """A handler around `handler` that checks the plugin at each SessionStart, in a thread."""

    def __init__(self, handler: Handler, own: Build) -> None:
        self._handler = handler
        self._own = own
        self._busy = threading.Lock()

    def handle(self, request: Request) -> Reply:
        if request.event == "SessionStart" and request.plugin:
            threading.Thread(
                target=self._look, args=(Path(request.plugin),), name="upgrade", daemon=True
            ).start()
        return self._handler.handle(request)

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
