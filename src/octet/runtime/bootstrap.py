"""Builds the environment of a source tree if it is missing, then becomes the tree's command.

Standard library only, because bin/octet runs it on the system's Python, before anything is
installed. Only the dependencies go into the environment; Octet itself runs from its source.

    <base>/venv-<key>/              the environment; base is $CLAUDE_PLUGIN_DATA where that is set,
                                    else the cache directory
    <cache>/venv-<key>              a link to it, where base is the plugin's data: commands that a
                                    tool runs do not know that directory
    <cache>/ready/<root>/octet.venv for bin/octet: the environment of the source tree <root>, and
                                    its stamp
    <cache>/venv.lock               locked by the process that builds
    <cache>/setup.log               the installers' output
    <cache>/setup.failed            why the last build failed, for those that do not wait for it
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NoReturn

if not __package__:
    sys.path.insert(0, str(Path(__file__).absolute().parents[2]))

from octet.base import dirs
from octet.base.errors import UsageError
from octet.base.files import write_if_changed
from octet.runtime import environment
from octet.runtime.environment import SetupFailed
from octet.runtime.venv import CHECKED, stamp

NOT_READY = 75  # EX_TEMPFAIL
INTERRUPTED = 130
ANNOUNCE_AFTER_S = 3.0
RETRY_AFTER_S = 60.0
LOG_LIMIT_BYTES = 1_000_000


def main(root: str, arguments: Sequence[str]) -> int:
    """Become the command `arguments` of the source tree `root`; an exit status where that fails.

    Where the environment is not ready, the variable OCTET_SETUP says what to do; see bin/octet.
    """
    mode = os.environ.get("OCTET_SETUP", "")
    try:
        requirements = read_requirements(root)
        venv = find(requirements)
        if venv is None and mode == "fail":
            return NOT_READY
        if venv is None and mode == "background":
            return build_in_background(root, requirements)
        venv = venv or build_once(root, requirements)
        publish(root, venv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except UsageError as error:
        print(f"octet: {error}", file=sys.stderr)
        return error.exit_code
    return 0 if mode == "build" else run(root, venv, arguments)


def run(root: str, venv: Path, arguments: Sequence[str]) -> NoReturn:
    """Become the command, as bin/octet does."""
    command = [
        *environment.python_command(venv),
        "-X",
        f"octet={CHECKED}",
        f"{root}/src/octet",
        *arguments,
    ]
    os.execv(command[0], command)


def read_requirements(root: str, *extras: str) -> tuple[str, ...]:
    """The dependencies in `root`'s pyproject.toml and those of its `extras`, with their markers.

    Raises:
        SetupFailed: there is no such file, or it is not Octet's.
    """
    import tomllib

    try:
        with open(f"{root}/pyproject.toml", "rb") as file:
            project = tomllib.load(file)["project"]
        optional = [project["optional-dependencies"][extra] for extra in extras]
        return tuple(sum(optional, start=project["dependencies"]))
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise SetupFailed(
            f"{root}/pyproject.toml cannot be used ({error}): install Octet again"
        ) from error


# Where the environment is


def find(requirements: Sequence[str]) -> Path | None:
    """The environment that has them: in the cache, or in the plugin's data."""
    name = environment.name_of(requirements)
    for base in (dirs.cache_dir(), *plugin_data()):
        if environment.is_complete(base / name):
            return (base / name).resolve()
    return None


def plugin_data() -> Iterator[Path]:
    """The directory that Claude Code keeps for the plugin; only its hooks are told of it."""
    if data := os.environ.get("CLAUDE_PLUGIN_DATA"):
        yield Path(data)


def choose_base(cache: Path) -> Path:
    """The directory to build in: the plugin's data where it can be written, else the cache."""
    for data in plugin_data():
        with contextlib.suppress(OSError):  # read-only: then the cache
            data.mkdir(parents=True, exist_ok=True)
            if os.access(data, os.W_OK | os.X_OK):
                return data
    return cache


def publish(root: str, venv: Path) -> None:
    """Record the environment for the next start and the hooks.

    Where that cannot be written, the next start looks for it again.
    """
    cache = dirs.cache_dir()
    with contextlib.suppress(OSError):
        link = cache / venv.name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(venv)
    with contextlib.suppress(OSError):
        write_if_changed(Path(f"{cache}/ready{root}/octet.venv"), f"{venv}\n{stamp(root)}\n")
    with contextlib.suppress(OSError, UsageError):
        record_interpreter()


def forget_lost_trees(cache: Path) -> None:
    """Remove the pointers of source trees that are no longer there."""
    pointers = cache / "ready"
    for pointer in list(pointers.rglob("octet.venv")):
        if not Path("/", pointer.parent.relative_to(pointers), "pyproject.toml").exists():
            with contextlib.suppress(OSError):  # another process was faster
                pointer.unlink()
                os.removedirs(pointer.parent)


def record_interpreter() -> None:
    """Write the state file `interpreter`, for hooks: Python, the package's directory, the command.

    Raises:
        UsageError: the state directory cannot be used.
        OSError: the file cannot be written.
    """
    source = Path(__file__).absolute().parents[2]
    text = f"{environment.real_python()}\n{source}\n{own_command()}\n"
    write_if_changed(dirs.make_private(dirs.state_dir()) / "interpreter", text)


def own_command() -> Path:
    """The `octet` command that belongs to this code."""
    command = Path(__file__).absolute().parents[3] / "bin" / "octet"
    installed = Path(sys.executable).parent / "octet"  # by a wheel
    return command if command.exists() else installed


# Building it


def build_once(root: str, requirements: Sequence[str]) -> Path:
    """Build the environment, or wait for the process that builds it."""
    cache = dirs.make_private(dirs.cache_dir())
    with announced(), open_lock(cache) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return find(requirements) or build(cache, root, requirements)


def build_in_background(root: str, requirements: Sequence[str]) -> int:
    """Leave the build to another process, unless one is at work or has just failed; exit status."""
    cache = dirs.make_private(dirs.cache_dir())
    if reason := recent_failure(cache):
        raise SetupFailed(reason)
    print(
        "octet: setting itself up in the background: ready in about 20 s",
        file=sys.stderr,
        flush=True,
    )
    with open_lock(cache) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return NOT_READY
        # The child inherits the lock: no other process can take it in between.
        if os.fork():
            return NOT_READY
        detach(lock.fileno())
        publish(root, find(requirements) or build(cache, root, requirements))
        return 0


def detach(kept: int) -> None:
    """Leave the caller's session and close its descriptors.

    Claude Code waits until no process has a hook's standard output open.
    """
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    for descriptor in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        if descriptor > 2 and descriptor != kept:
            with contextlib.suppress(OSError):  # of the listing itself, closed by now
                os.close(descriptor)


def build(cache: Path, root: str, requirements: Sequence[str]) -> Path:
    """Build the environment and remove unused ones; the caller holds the lock."""
    base = choose_base(cache)
    venv = base / environment.name_of(requirements)
    note = cache / "setup.failed"
    with open_log(cache) as log:
        log.write(f"\n=== {time.strftime('%Y-%m-%d %H:%M:%S')} {venv}\n")
        environment.remove_unused(base)
        try:
            environment.build(venv, requirements, log)
        except (SetupFailed, OSError) as error:
            reason = error if isinstance(error, SetupFailed) else unusable(base, error)
            note.write_text(str(reason))
            raise reason from error
        note.unlink(missing_ok=True)
        environment.compile_all(venv, Path(root, "src"), log)
    environment.remove_unused(base)  # again: an orphaned installer may have ended meanwhile
    forget_lost_trees(cache)
    return venv.resolve()


def recent_failure(cache: Path) -> str:
    """Why the last build failed; "" after `RETRY_AFTER_S`, when the next hook may try again."""
    note = cache / "setup.failed"
    try:
        return note.read_text() if time.time() - note.stat().st_mtime < RETRY_AFTER_S else ""
    except OSError:
        return ""


def open_log(cache: Path) -> IO[str]:
    """The log, to append to and to read back; a long one is begun anew."""
    path = cache / "setup.log"
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.unlink()
    return open(path, "a+", encoding="utf-8", errors="replace")


@contextlib.contextmanager
def open_lock(cache: Path) -> Iterator[IO[bytes]]:
    """The file that the building process locks; the system releases it at the process's end.

    Raises:
        SetupFailed: the disk is full or read-only, under this file or while it is open.
    """
    try:
        with open(cache / "venv.lock", "ab") as lock:
            yield lock
    except OSError as error:
        raise unusable(cache, error) from error


def unusable(directory: Path, error: OSError) -> SetupFailed:
    """The error for a directory that cannot be written."""
    return SetupFailed(f"cannot set up in {directory}: {error.strerror}: free it or set OCTET_HOME")


@contextlib.contextmanager
def announced() -> Iterator[None]:
    """Say that the build takes time: to a person at once, to a program after a while."""
    delay_s = 0 if sys.stderr.isatty() else ANNOUNCE_AFTER_S
    line = "octet: setting up (once, about 20 s) ..."
    timer = threading.Timer(delay_s, print, [line], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def fill_standard_streams() -> None:
    """Open closed standard streams: the lock or the log must not get one of their numbers.

    They are not inherited: the command starts with these streams closed, as before.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - stays open


def enter(root: str, arguments: Sequence[str]) -> int:
    """`main`, with one line for an unexpected error."""
    fill_standard_streams()
    try:
        return main(root, arguments)
    except Exception as error:  # noqa: BLE001 - the edge of the process
        log = dirs.cache_dir() / "setup.log"
        with contextlib.suppress(OSError), open(log, "a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
        print(
            f"octet: cannot set up: {type(error).__name__}: {error} (log: {log})", file=sys.stderr
        )
        return SetupFailed.exit_code


if __name__ == "__main__":
    sys.exit(enter(sys.argv[1], sys.argv[2:]))
