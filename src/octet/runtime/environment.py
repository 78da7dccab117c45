"""The virtual environment with Octet's dependencies: its name, its build and its removal.

Standard library only: bootstrap.py runs this on the system's Python.

    <base>/venv-<key>/          complete as soon as it has this name
    <base>/venv-<key>.*.tmp/    being built or removed; left by a kill, the next build removes it

A process holds a shared lock on the directory of its environment (`venv.hold`), and the directory's
time says when that was last done: an environment unused for a week is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from octet import __version__
from octet.base.commands import run_command
from octet.base.errors import UsageError

INSTALL_LIMIT_S = 900.0
REMOVE_AFTER_S = 7 * 24 * 3600.0

# Installers' output and its meaning, the more certain first.
DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|os error (28|122)\b")
NO_REGISTRY = re.compile(
    r"NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Failed to "
    r"establish|name resolution|Network is unreachable"
    r"|Connection refused|error sending request|dns error|Failed to fetch|from versions: none"
)
NO_PIP = re.compile(
    r"ensurepip is not\s+available|'ensurepip'.* returned non-zero|No module named '?venv"
)
REASONS = (
    (
        DISK_FULL,
        "the disk is full: free some space, or set OCTET_HOME to a directory on another one",
    ),
    (
        NO_REGISTRY,
        "the package registry does not answer: check the network, and the proxy and index "
        "that pip is set to",
    ),
    (
        NO_PIP,
        "this Python has no usable pip: install python3-venv (apt install python3-venv) or uv",
    ),
)

# The caller's own settings, which would install elsewhere or make Python start differently.
FOREIGN_SETTINGS = re.compile(
    r"PYTHON|VIRTUAL_ENV|UV_(PYTHON|SYSTEM_PYTHON|PROJECT|WORKING_DIR|TARGET|PREFIX|REQUIRE)"
    r"|PIP_(TARGET|PREFIX|ROOT|USER|PYTHON|REQUIRE|DRY_RUN|EDITABLE|NO_DEPS|QUIET)"
)

# With a `pycache_prefix`, Python finds no bytecode of others, also not of the standard library:
# compile and import everything once.
COMPILE = """
import compileall, importlib, pkgutil, sys, traceback
for directory in sys.argv[1:]:
    compileall.compile_dir(directory, quiet=2)
sys.path.insert(0, sys.argv[1])
import octet
show = lambda name: traceback.print_exc()
for module in pkgutil.walk_packages(octet.__path__, "octet.", onerror=show):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except Exception:
            traceback.print_exc()
"""


class SetupFailed(UsageError):
    """The environment cannot be built on this machine as it is."""


def name_of(requirements: Sequence[str]) -> str:
    """The directory's name: version and Python for people, a digest of all that it depends on."""
    parts = (
        __version__,
        sys.implementation.cache_tag,
        sys.platform,
        os.uname().machine,
        real_python(),
        *sorted(requirements),
    )
    digest = hashlib.sha256(os.fsencode("\n".join(parts))).hexdigest()
    return f"venv-{__version__}-{sys.implementation.cache_tag}-{digest[:12]}"


def real_python() -> str:
    """The interpreter below any virtual environment, by a name that survives upgrades.

    `python3` becomes another version when the system is upgraded, and the file behind a package
    manager's links goes with each patch release; `python3.N` in the same directory stays. So links
    are followed out of the environment, and no further.
    """
    base = Path(sys.executable)
    while base.is_symlink() and (base.parent.parent / "pyvenv.cfg").exists():
        base = base.parent / base.readlink()
    if (base.parent.parent / "pyvenv.cfg").exists():  # made of copies
        base = Path(getattr(sys, "_base_executable", base))
    versioned = base.with_name("python{}.{}".format(*sys.version_info))
    try:
        return str(versioned if versioned.samefile(base) else base)
    except OSError:
        return str(base)


def module_command(module: str, *arguments: str) -> list[str]:
    """A command line that runs `main()` of a module of this package, despite PYTHON* variables."""
    packages = str(Path(__file__).resolve().parents[2])
    return [
        sys.executable,
        "-I",
        "-c",
        f"import sys; sys.path.insert(0, {packages!r}); from {module} import main; main()",
        *arguments,
    ]


def is_complete(venv: Path) -> bool:
    """Whether the environment exists, and the interpreter that it was built on."""
    return os.access(venv / "bin" / "python", os.X_OK)


def python_command(venv: Path) -> list[str]:
    """Python in an environment, isolated from the caller's PYTHON* settings. As in bin/octet.

    Bytecode goes beside the packages, because the source may be read-only.
    """
    return [f"{venv}/bin/python", "-I", "-X", f"pycache_prefix={venv}/pycache"]


# Building


def build(venv: Path, requirements: Sequence[str], log: IO[str]) -> None:
    """Install in a directory beside `venv`, then rename it, so that no half of one has that name.

    Raises:
        SetupFailed: the requirements cannot be installed; the message says why, if known.
        OSError: the directory cannot be written.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f"{venv.name}.", suffix=".tmp", dir=venv.parent))
    directory = os.open(temporary, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_SH)
        install(requirements, temporary, log, directory)
        # Where two caches share the plugin's data, another process may have been faster.
        if not is_complete(venv):
            remove(venv)
            temporary.rename(venv)
    finally:
        os.close(directory)
        shutil.rmtree(temporary, ignore_errors=True)


def install(requirements: Sequence[str], target: Path, log: IO[str], held: int) -> None:
    """Try each way of installing until one succeeds; the installers inherit `held`, a lock."""
    begin = os.fstat(log.fileno()).st_size
    for recipe in recipes(requirements, target):
        if all(call(command, log, held) for command in recipe):
            return
        log.seek(begin)
        said = log.read()
        is_pip = Path(recipe[0][0]).name != "uv"  # which does not read pip's settings
        if DISK_FULL.search(said) or (is_pip and NO_REGISTRY.search(said)):
            break
    advice = next(
        (advice for pattern, advice in REASONS if pattern.search(said)),
        "installing the dependencies failed",
    )
    raise SetupFailed(f"cannot set up: {advice} (log: {log.name})")


def recipes(requirements: Sequence[str], target: Path) -> Iterator[list[list[str]]]:
    """Ways to fill `target`, the fastest first; each is a list of commands.

    Where possible without pip inside: it takes more time and room than all the rest.
    """
    python = real_python()
    inside = f"{target}/bin/python"
    create = [python, "-I", "-m", "venv", "--clear", str(target)]
    what = ["install", "--no-compile", *requirements]
    if uv := shutil.which("uv"):
        yield [
            [uv, "venv", "--no-project", "--python", python, str(target)],
            [uv, "pip", "install", "--python", inside, *requirements],
        ]
    yield [[*create, "--without-pip"], [python, "-I", "-m", "pip", "--python", inside, *what]]
    own_pip = [inside, "-I", "-m", "pip"]
    yield [create, [*own_pip, *what], [*own_pip, "uninstall", "--yes", "setuptools", "pip"]]
    if pip := shutil.which("pip3") or shutil.which("pip"):
        yield [[*create, "--without-pip"], [pip, "--python", inside, *what]]


def compile_all(venv: Path, source: Path, log: IO[str]) -> None:
    """Write the bytecode of the dependencies, and of the package in `source`; only for speed."""
    call([*python_command(venv), "-c", COMPILE, str(source), f"{venv}/lib"], log)


def call(command: Sequence[str], log: IO[str], *held: int) -> bool:
    """Run a command with its output in the log; whether it succeeded."""
    log.write(f"$ {shlex.join(command)}\n")
    log.flush()
    environment = installer_environment()
    try:
        status = run_command(
            command, log, environment=environment, kept=held, limit_s=INSTALL_LIMIT_S
        )
    except OSError as error:
        log.write(f"{error}\n")
        return False
    if status is None:
        log.write(f"not done within {INSTALL_LIMIT_S:g} s\n")
    return status == 0


def installer_environment() -> dict[str, str]:
    """The caller's environment (index, proxy, certificates) without `FOREIGN_SETTINGS`."""
    kept = {name: value for name, value in os.environ.items() if not FOREIGN_SETTINGS.match(name)}
    kept |= {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_USER": "0",
        "NO_COLOR": "1",
    }
    kept.setdefault("PIP_RETRIES", "2")
    return kept


# Removing


def remove_unused(base: Path) -> None:
    """Remove from `base` what killed builds left, and environments that were long unused."""
    for venv in base.glob("venv-*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours
            abandoned = venv.suffix == ".tmp" or time.time() - venv.stat().st_mtime > REMOVE_AFTER_S
            if abandoned and not venv.is_symlink():
                remove_if_idle(venv)


def remove_if_idle(venv: Path) -> None:
    """Remove it, unless a process runs from there or is building it."""
    directory = os.open(venv, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(venv)
    except BlockingIOError:
        pass
    finally:
        os.close(directory)


def remove(venv: Path) -> None:
    """Rename it first, then remove the files, so that no process finds half of it."""
    if venv.is_symlink():
        venv.unlink()
    elif venv.exists():
        gone = venv if venv.suffix == ".tmp" else venv.rename(f"{venv}.{os.getpid()}.tmp")
        shutil.rmtree(gone, ignore_errors=True)
