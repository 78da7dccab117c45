"""Runs a command of a source tree: makes sure of its environment, then becomes the command.

Standard library only, run by bin/octet on the system's Python: whatever this would import is what
it is about to install. Only the dependencies go into the environment; Octet itself runs from its
source.

    <base>/venv-<key>/                the environment; base is $CLAUDE_PLUGIN_DATA if that is set,
                                      else the cache directory
    <cache>/venv-<key>                a link, where base is the plugin's data: a tool's command is
                                      not told of that directory
    <cache>/ready/<root>/octet.venv   for bin/octet: the path of the environment of the source tree
                                      <root>, and its stamp
    <cache>/venv.lock                 held by the process that builds
    <cache>/setup.log                 what the installers said
    <cache>/setup.failed              why the last build failed, for those who do not wait for it
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
    """Become the command `arguments` of the source tree `root` as soon as its environment is there;
    else an exit status.

    The environment variable OCTET_SETUP says what to do until then; see bin/octet.
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
    """The dependencies in `root`'s pyproject.toml and those of its `extras`; their markers are the
    installer's business.

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
    """The environment that has them, wherever it was built."""
    name = environment.name_of(requirements)
    for base in (dirs.cache_dir(), *plugin_data()):
        if environment.is_complete(base / name):
            return (base / name).resolve()
    return None


def plugin_data() -> Iterator[Path]:
    """The directory that Claude Code keeps for the plugin, told only to the plugin's hooks."""
    if data := os.environ.get("CLAUDE_PLUGIN_DATA"):
        yield Path(data)


def choose_base(cache: Path) -> Path:
    """The directory to build in: the plugin's data where it can be written, else the cache."""
    for data in plugin_data():
        with contextlib.suppress(OSError):  # read-only: the cache does as well
            data.mkdir(parents=True, exist_ok=True)
            if os.access(data, os.W_OK | os.X_OK):
                return data
    return cache


def publish(root: str, venv: Path) -> None:
    """Record what the next start and the hooks go by; where that cannot be written, the next start
    goes the long way again.
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
    """Write the state file `interpreter` for hooks/launch, if it differs: Python, the package's
    directory, the command.

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
    return (
        command if command.exists() else Path(sys.executable).parent / "octet"
    )  # installed as a wheel


# Who builds it


def build_once(root: str, requirements: Sequence[str]) -> Path:
    """Build the environment, or wait for the process that does."""
    cache = dirs.make_private(dirs.cache_dir())
    with announced(), open_lock(cache) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return find(requirements) or build(cache, root, requirements)


def build_in_background(root: str, requirements: Sequence[str]) -> int:
    """Leave the build to a process of its own, unless one is at it or has just failed; the caller's
    exit status.
    """
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
        # the lock goes on with the child: there is no moment at which a second one could take it
        if os.fork():
            return NOT_READY
        detach(lock.fileno())
        publish(root, find(requirements) or build(cache, root, requirements))
        return 0


def detach(kept: int) -> None:
    """Leave the caller's session and descriptors: Claude Code waits for a hook's stdout to end."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    for descriptor in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        if descriptor > 2 and descriptor != kept:
            with contextlib.suppress(OSError):  # the one that listed the directory
                os.close(descriptor)


def build(cache: Path, root: str, requirements: Sequence[str]) -> Path:
    """Build the environment and clear away what is no longer needed; the caller holds the lock."""
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
    environment.remove_unused(
        base
    )  # again: what an installer was still writing whose parent had been killed
    forget_lost_trees(cache)
    return venv.resolve()


def recent_failure(cache: Path) -> str:
    """Why the last build failed, for so long that not every hook tries again."""
    note = cache / "setup.failed"
    try:
        return note.read_text() if time.time() - note.stat().st_mtime < RETRY_AFTER_S else ""
    except OSError:
        return ""


def open_log(cache: Path) -> IO[str]:
    """The log, to write on and to read back; begun anew where it has grown long."""
    path = cache / "setup.log"
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.unlink()
    return open(path, "a+", encoding="utf-8", errors="replace")


@contextlib.contextmanager
def open_lock(cache: Path) -> Iterator[IO[bytes]]:
    """The file that the building process locks; the system unlocks it however the process ends.

    Raises:
        SetupFailed: the disk is full or read-only, under this file or while it is open.
    """
    try:
        with open(cache / "venv.lock", "ab") as lock:
            yield lock
    except OSError as error:
        raise unusable(cache, error) from error


def unusable(directory: Path, error: OSError) -> SetupFailed:
    """What to tell of a directory that the system does not let us write in."""
    return SetupFailed(f"cannot set up in {directory}: {error.strerror}: free it or set OCTET_HOME")


@contextlib.contextmanager
def announced() -> Iterator[None]:
    """Say what takes so long; at once to a person, to a program only if it really does."""
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
    """Fill a closed standard stream, so that neither the lock nor the log gets its number.

    It is not inherited: the command starts with the stream closed, as it would have.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 - stays open


def enter(root: str, arguments: Sequence[str]) -> int:
    """`main`, with one line for what it did not foresee."""
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
