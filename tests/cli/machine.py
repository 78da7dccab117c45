"""A machine of its own to start Octet on: a small source tree, a package that it depends on, a
home, a PATH.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent.parent.parent
DEADLINE_S = 120.0
PYTHON = Path(getattr(sys, "_base_executable", sys.executable))
# All that stands between bin/octet and the command line.
MODULES = (
    "__init__.py",
    "__main__.py",
    "base/__init__.py",
    "base/commands.py",
    "base/dirs.py",
    "base/errors.py",
    "base/files.py",
    "runtime/__init__.py",
    "runtime/bootstrap.py",
    "runtime/environment.py",
    "runtime/venv.py",
)

# In the place of octet.cli: tells how it was started.
COMMAND = """
import json, os, sys, time
import octet_test_dependency
from octet.base import errors

def main():
    if sys.argv[1:2] == ["exit"]:
        sys.exit(int(sys.argv[2]))
    print(json.dumps({
        "arguments": sys.argv[1:], "directory": os.getcwd(),
        "venv": sys.prefix, "environment": dict(os.environ),
        "dependency": octet_test_dependency.VERSION,
        "bytecode": [errors.__cached__, octet_test_dependency.__cached__],
    }), flush=True)
    if sys.argv[1:2] == ["stay"]:
        sys.stdin.read()
"""


class Machine:
    """A home, a source tree whose path has a space and letters beyond ASCII, and the environment
    that commands start in.
    """

    def __init__(self, directory: Path, environment: dict[str, str], wheels: Path) -> None:
        self.home = Path(environment["HOME"])
        self.cache = self.home / ".cache" / "octet"
        self.state = self.home / ".local" / "state" / "octet"
        self.programs = directory / "programs"
        self.programs.mkdir()
        self.environment = environment | {"PATH": f"{self.programs}:/usr/bin:/bin"}
        self.environment |= {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheels),
            "PIP_CONFIG_FILE": os.devnull,
        }
        self.environment |= {"UV_OFFLINE": "1", "UV_FIND_LINKS": str(wheels), "UV_NO_CONFIG": "1"}
        self.use_python(PYTHON)
        self.tree = self.add_tree(directory / "a tree, größer" / "octet")

    def add_tree(self, tree: Path) -> Path:
        """Another copy of the source."""
        (tree / "src" / "octet" / "cli").mkdir(parents=True)
        (tree / "bin").mkdir()
        shutil.copy(PROJECT / "bin" / "octet", tree / "bin")
        for module in MODULES:
            target = tree / "src" / "octet" / module
            target.parent.mkdir(exist_ok=True)
            shutil.copy(PROJECT / "src" / "octet" / module, target)
        (tree / "src" / "octet" / "cli" / "__init__.py").write_text(COMMAND)
        depend(tree, "octet-test-dependency")
        return tree

    @property
    def command(self) -> Path:
        return self.tree / "bin" / "octet"

    @property
    def pointer(self) -> Path:
        """What bin/octet reads for the tree."""
        return Path(f"{self.cache}/ready{self.tree}/octet.venv")

    def spawn(
        self,
        *arguments: str | Path,
        command: Path | str | None = None,
        cwd: Path | None = None,
        **settings: str,
    ) -> subprocess.Popen[str]:
        """Start the command in a session of its own, whose processes can be killed together."""
        return subprocess.Popen(
            [command or self.command, *arguments],
            env=self.environment | settings,
            cwd=cwd or self.home,
            text=True,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(
        self,
        *arguments: str | Path,
        command: Path | str | None = None,
        cwd: Path | None = None,
        **settings: str,
    ) -> Ended:
        """Run the command to its end."""
        return finish(self.spawn(*arguments, command=command, cwd=cwd, **settings))

    def start(self, *arguments: str, **settings: Any) -> dict[str, Any]:
        """Run the command, which must succeed, and return what it tells."""
        ended = self.run(*arguments, **settings)
        assert ended.status == 0, ended
        return ended.told

    def add_program(self, name: str, script: str) -> Path:
        """Put a shell script on PATH, before everything else."""
        program = self.programs / name
        program.unlink(missing_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    def use_python(self, python: Path) -> None:
        """Make `python` the first one on PATH."""
        self.add_program("python3", f'exec "{python}" "$@"')

    def hang_installer(self) -> Path:
        """Let the installer stop in the middle; the file that then tells its pid."""
        reached = self.home / "reached"
        self.add_program(
            "uv",
            '[ "$1" = venv ] || exit 1\nfor at; do :; done\nmkdir "$at/bin"\n'
            f'echo $$ >"{reached}.new"\nmv "{reached}.new" "{reached}"\nexec sleep 600',
        )
        return reached

    def mend_installer(self) -> None:
        """Undo `hang_installer`."""
        (self.programs / "uv").unlink()
        (self.home / "reached").unlink(missing_ok=True)

    @property
    def builds(self) -> int:
        """How often an environment was built, or begun."""
        log = self.cache / "setup.log"
        return (
            sum(line.startswith("=== ") for line in log.read_text().splitlines())
            if log.exists()
            else 0
        )

    def venvs(self, base: Path | None = None) -> list[Path]:
        """Complete environments in the cache or `base`; links do not count."""
        return [path for path in self._all(base) if path.suffix != ".tmp" and not path.is_symlink()]

    def leftovers(self, base: Path | None = None) -> list[Path]:
        """Environments half built or half removed."""
        return [path for path in self._all(base) if path.suffix == ".tmp"]

    def _all(self, base: Path | None) -> list[Path]:
        return sorted((base or self.cache).glob("venv-*"))


class Ended:
    """How a command ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def __repr__(self) -> str:
        return f"status {self.status}\nstdout: {self.out}\nstderr: {self.err}"


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for the command, whatever it takes to end it."""
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Ended(process.returncode, out, err)


def depend(tree: Path, *requirements: str) -> None:
    """Write the tree's pyproject.toml."""
    (tree / "pyproject.toml").write_text(
        f"[project]\nname = 'octet'\ndependencies = {list(requirements)}\n"
    )


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:.0f} s: {what}"
        time.sleep(0.005)


def make_wheel(directory: Path, version: str) -> None:
    """The package that the trees depend on."""
    meta = f"octet_test_dependency-{version}.dist-info"
    with zipfile.ZipFile(
        directory / f"octet_test_dependency-{version}-py3-none-any.whl", "w"
    ) as wheel:
        wheel.writestr("octet_test_dependency.py", f"VERSION = {version!r}\n")
        wheel.writestr(
            f"{meta}/METADATA",
            f"Metadata-Version: 2.1\nName: octet-test-dependency\nVersion: {version}\n",
        )
        wheel.writestr(
            f"{meta}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(
            f"{meta}/RECORD",
            f"octet_test_dependency.py,,\n{meta}/METADATA,,\n{meta}/WHEEL,,\n{meta}/RECORD,,\n",
        )


def make_python(prefix: Path, *without: str) -> Path:
    """An installation of this Python without site-packages and some library modules."""
    name = "python{}.{}".format(*sys.version_info)
    library = prefix / "lib" / name
    library.mkdir(parents=True)
    (prefix / "bin").mkdir()
    python = prefix / "bin" / name
    shutil.copy(PYTHON.resolve(), python)
    for entry in Path(os.__file__).parent.iterdir():
        if entry.name not in {*without, "site-packages", "dist-packages"}:
            (library / entry.name).symlink_to(entry)
    return python
