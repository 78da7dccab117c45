"""A hook's cold path: the daemon gave no valid answer. Start it and ask again, else apply the
failure policy.

Imported by `pipe` only then, on the bare interpreter; what it uses of `pipe` comes with the `Call`.
Two hundred hooks may come here at once while one of them starts the daemon, so what they all need
imports little; `json` and the failure policy are for those that are left without an answer.
"""

# pathlib would cost more than all that is imported here.
# ruff: noqa: PTH103, PTH113, PTH116, PTH120

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import fcntl
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Answer = tuple[int, bytes, bytes]

GUARD = "PreToolUse"
# The share of the time left that starting the daemon may take; the rest is for the failure policy.
START_SHARE = 0.75
POLL_S = 0.015
REPLACING_POLL_S = 0.1
# A daemon that takes the request and closes without a valid reply counts as broken after so many
# times.
MAX_ATTEMPTS = 3
NOT_READY = 75  # bin/octet's EX_TEMPFAIL: the virtual environment is being built
GATE = "daemon.start"
ERRORS = "daemon.start.err"
FIRST_DELAY_S = 1.0
MAX_DELAY_S = 60.0


class Call:
    """One hook's run."""

    def __init__(
        self,
        hooks: str,
        event: str,
        root: str,
        state: str,
        raw: bytes | None,
        end: float,
        ask: Callable[[], Answer],
        set_alarm: Callable[[float], None],
    ) -> None:
        # The directory of the hooks, the event's name, the repository, the state directory.
        self.hooks = hooks
        self.event = event
        self.root = root
        self.state = state
        # Standard input; None when it did not end in time.
        self.raw = raw
        # When the answer has to be there, on the clock of `time.monotonic`.
        self.end = end
        # Sends the request to the daemon; raises OSError or ValueError where no valid reply comes.
        self.ask = ask
        # After so many seconds, raises TimeoutError out of whatever runs then.
        self.set_alarm = set_alarm


class Unavailable(Exception):
    """No daemon will answer this call; the message says why, for people. `reply` is the last that
    a daemon said of its own failure.
    """

    def __init__(self, why: str, reply: Answer | None = None) -> None:
        self.reply = reply
        super().__init__(why)


class SettingUp(Unavailable):
    """The virtual environment is still being built, or the daemon being replaced."""


def answer(call: Call, error: Exception) -> Answer:
    """The answer to `call`, for which the hot path had `error` instead of one."""
    try:
        if call.raw is None:
            raise Unavailable("Octet did not get the hook's input in time")
        if isinstance(error, TimeoutError):
            raise Unavailable("Octet's daemon does not answer in time: `octet daemon stop` ends it")
        return ask_started(call, (call.end - time.monotonic()) * START_SHARE)
    except Unavailable as unavailable:
        if unavailable.reply:
            return unavailable.reply
        call.set_alarm(call.end - time.monotonic())
        return fail_safe(call, unavailable)


def ask_started(call: Call, within_s: float) -> Answer:
    """Start the daemon unless another process does, and ask it as soon as its socket is there. One
    that fails and is older than the code on the disk is replaced.

    Raises:
        Unavailable: it cannot be started, is not there in time, or sends no valid reply.
    """
    attempts, end = 0, time.monotonic() + within_s
    reply: Answer | None = None
    replacing = False
    call.set_alarm(within_s)
    try:
        with Starter(call) as starter:
            while time.monotonic() < end and attempts < MAX_ATTEMPTS:
                try:
                    return call.ask()
                except (FileNotFoundError, ConnectionRefusedError):
                    starter.look()
                except TimeoutError:
                    break
                except (OSError, ValueError) as error:
                    # It ended with our request, and the next one gets it; or it failed.
                    reply = getattr(error, "reply", None)
                    was_replacing, replacing = replacing, starter.replace()
                    attempts += not replacing
                    if reply and not (replacing or was_replacing):
                        break  # it would fail again
                time.sleep(REPLACING_POLL_S if replacing else POLL_S)
    except TimeoutError:
        pass
    if replacing:
        raise SettingUp(
            "Octet is being updated (some seconds); until then it cannot tell who holds what"
        )
    if reply or attempts == MAX_ATTEMPTS:
        raise Unavailable("Octet's daemon breaks off: see `octet daemon logs`", reply)
    raise Unavailable("Octet's daemon does not come up in time: see `octet daemon logs`")


class Starter:
    """Runs `octet daemon start` once, however many hooks want it: the one that locks `GATE` does.

    The file also remembers a failed start, so that a broken installation costs an attempt now and
    then, not one a hook.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._child = 0
        self._has_replaced = False
        try:
            os.makedirs(call.state, 0o700, exist_ok=True)
            os.chdir(call.state)
            self._gate = os.open(GATE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unavailable(
                f"Octet cannot use {call.state} ({error.strerror}): free it or set OCTET_HOME"
            ) from error

    def __enter__(self) -> Starter:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._gate)

    def look(self) -> None:
        """Start the daemon unless another process does, or learn how that went.

        Raises:
            Unavailable: it failed, now or so recently that it is not tried again.
        """
        if self._child:
            ended, status = os.waitpid(self._child, os.WNOHANG)
            if ended:
                self._child = 0
                self._judge(os.waitstatus_to_exitcode(status))
        elif self._lock():
            self._refuse_too_early()
            self._child = self._spawn()

    def replace(self) -> bool:
        """Have a daemon replaced that is older than the code on the disk; whether that goes on.

        Raises:
            Unavailable: as `look`.
        """
        if not self._child and (self._has_replaced or not is_outdated(self._call)):
            return False
        self.look()
        self._has_replaced = self._has_replaced or bool(self._child)
        return True

    def _lock(self) -> bool:
        try:
            fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _refuse_too_early(self) -> None:
        note = self._read_note()
        if not 0 < note["until"] - time.time() <= MAX_DELAY_S:
            return
        if note["setting_up"]:
            raise SettingUp(note["why"])
        if self._call.event != "SessionStart":  # the person may just have repaired it
            raise Unavailable(note["why"])

    def _spawn(self) -> int:
        """Run `octet daemon start` without our streams: a pipe that stays open blocks the tool."""
        command = find_command(self._call)
        if command is None:
            self._fail("Octet's command is missing: install it again, or put `octet` on PATH")
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                # Python ignores it, and a program would inherit that.
                _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
                os.dup2(os.open(os.devnull, os.O_RDWR), 0)
                os.dup2(0, 1)
                os.dup2(os.open(ERRORS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
                os.execve(
                    command,
                    [command, "daemon", "start"],
                    {**os.environ, "OCTET_SETUP": "background"},
                )
            finally:
                os._exit(127)
        return pid

    def _judge(self, status: int) -> None:
        if status == NOT_READY:
            self._fail(
                "Octet is setting itself up (about 20 s); until then it cannot tell who holds what",
                setting_up=True,
            )
        if status:
            lines = read_lines(ERRORS)
            said = lines[-1].removeprefix("octet: ")[:300] if lines else f"exit status {status}"
            self._fail(f"Octet's daemon does not start: {said}")
        os.truncate(self._gate, 0)

    def _fail(self, why: str, *, setting_up: bool = False) -> NoReturn:
        """Delay the next attempt, twice as long as this one was."""
        import json

        before_s = 0.0 if setting_up else self._read_note()["delay_s"]
        delay_s = min(max(before_s * 2, FIRST_DELAY_S), MAX_DELAY_S)
        until = time.time() + delay_s
        note = {"until": until, "delay_s": delay_s, "setting_up": setting_up, "why": why}
        try:
            os.truncate(self._gate, 0)
            os.pwrite(self._gate, json.dumps(note).encode(), 0)
        except OSError:
            pass  # a full disk: it is tried again at each hook
        raise SettingUp(why) if setting_up else Unavailable(why)

    def _read_note(self) -> dict[str, Any]:
        nothing = {"until": 0.0, "delay_s": 0.0, "setting_up": False, "why": ""}
        text = os.pread(self._gate, 4096, 0)
        if not text:
            return nothing
        import json

        try:
            note = json.loads(text)
            is_note = note.keys() == nothing.keys()
            return note if is_note and float(note["until"]) and float(note["delay_s"]) else nothing
        except (ValueError, TypeError, AttributeError):
            return nothing


def is_outdated(call: Call) -> bool:
    """Whether the daemon is older than the code on the disk: an update in place takes away files
    that it has not read yet.
    """
    import json

    try:
        with open(f"{call.state}/daemon.json", "rb") as file:
            modified_ns = json.load(file)["modified_ns"]
        for directory, _, names in os.walk(f"{find_package(call)}/octet"):
            for name in names:
                if not name.endswith((".py", ".lua")):
                    continue
                if os.stat(f"{directory}/{name}").st_mtime_ns > modified_ns:
                    return True
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no record, or an update at this very moment: the next hook looks again
    return False


def find_command(call: Call) -> str | None:
    """The `octet` command: the one last set up, the plugin's, or that on PATH."""
    beside = [f"{plugin}/bin" for plugin in plugin_roots(call)]
    on_path = os.environ.get("PATH", os.defpath).split(":")
    for command in (
        *interpreter_lines(call)[2:3],
        *(f"{directory}/octet" for directory in (*beside, *on_path) if directory),
    ):
        if os.path.isfile(command) and os.access(command, os.X_OK):
            return command
    return None


def find_package(call: Call) -> str | None:
    """The directory that holds the package `octet`: the one last set up, the plugin's source, or
    the wheel around the hooks.
    """
    beside = [*(f"{plugin}/src" for plugin in plugin_roots(call)), f"{call.hooks}/../../.."]
    for directory in (*interpreter_lines(call)[1:2], *beside):
        if os.path.isfile(f"{directory}/octet/guard/failsafe.py"):
            return directory
    return None


def plugin_roots(call: Call) -> list[str]:
    told = os.environ.get("CLAUDE_PLUGIN_ROOT")
    return [*([told] if told else []), os.path.dirname(call.hooks)]


def interpreter_lines(call: Call) -> list[str]:
    """Of the state file `interpreter`: Python, the package's directory, the command."""
    return read_lines(f"{call.state}/interpreter")


def read_lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip().split("\n")
    except OSError:
        return []


def fail_safe(call: Call, unavailable: Unavailable) -> Answer:
    """The guard follows the repository's failure policy; no other event is held up."""
    if call.event == GUARD:
        return decide(call, str(unavailable))
    if isinstance(unavailable, SettingUp) and call.event != "SessionStart":
        return 0, b"", b""  # the session was told when it began
    import json

    return 0, json.dumps({"systemMessage": f"{unavailable}."}).encode() + b"\n", b""


def decide(call: Call, why: str) -> Answer:
    package = find_package(call)
    if package is None:
        return 2, b"", f"{why}. So the call is blocked.\n".encode("utf-8", "replace")
    sys.path.insert(0, package)
    from octet.guard import failsafe

    return failsafe.decide(call.raw or b"", call.root, why)
