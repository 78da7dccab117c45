"""bin/octet as a stranger meets it: on a bare home, many at once, killed half-way, without network,
pip or a fitting Python.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.cli.machine import (
    PROJECT,
    PYTHON,
    Ended,
    Machine,
    depend,
    finish,
    make_python,
    make_wheel,
    wait_for,
)

from octet.base import dirs
from octet.base.process import ancestors, identify
from octet.runtime import bootstrap, environment
from octet.runtime.environment import SetupFailed

pytestmark = pytest.mark.timeout(300)  # fifty at once, on a machine that has other things to do

NOT_READY = 75
ANNOUNCEMENT = "octet: setting up (once, about 20 s) ...\n"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory to install from: no test here but one needs a network."""
    directory = tmp_path_factory.mktemp("wheels")
    make_wheel(directory, "1.0")
    make_wheel(directory, "2.0")
    return directory


@pytest.fixture
def machine(tmp_path: Path, clean_env: dict[str, str], wheels: Path) -> Machine:
    """A machine on which Octet was never started."""
    return Machine(tmp_path, clean_env, wheels)


@pytest.fixture(scope="session")
def used_cache(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """The cache of a machine on which it was, with a tree at the same version."""
    home = tmp_path_factory.mktemp("used-home")
    used = Machine(tmp_path_factory.mktemp("used"), {"HOME": str(home), "LANG": "C.UTF-8"}, wheels)
    used.start()
    return used.cache


@pytest.fixture
def used_machine(machine: Machine, used_cache: Path) -> Machine:
    """A machine whose environment is built, and whose tree has been started once."""
    machine.cache.mkdir(parents=True)
    for venv in used_cache.glob("venv-*"):
        (machine.cache / venv.name).symlink_to(venv)
    machine.start()
    assert machine.builds == 0
    return machine


def refusal(ended: Ended) -> str:
    """The one line with which a command that cannot be set up ends; that it was setting up may
    stand before it.
    """
    assert (ended.status, ended.out) == (2, ""), ended
    line = ended.err.removeprefix(ANNOUNCEMENT)
    assert line.startswith("octet: "), ended
    assert line.count("\n") == 1, ended
    return line


class TestFirstStart:
    def test_it_builds_once_and_runs_the_command(self, machine: Machine) -> None:
        """The first start ends with the command's own result, quietly; the second finds the
        environment.
        """
        first = machine.run("task", "two words", "", "*", "line\nbreak", cwd=machine.tree)
        assert first.status == 0, first
        assert first.told["arguments"] == ["task", "two words", "", "*", "line\nbreak"]
        assert first.told["directory"] == str(machine.tree)
        assert first.err in {"", ANNOUNCEMENT}
        assert machine.start()["venv"] == first.told["venv"]
        assert (machine.builds, len(machine.venvs()), machine.leftovers()) == (1, 1, [])

    def test_fifty_at_once_build_one(self, machine: Machine) -> None:
        """However many start on a fresh home, one builds and all of them run in what it built."""
        ended = [
            finish(process) for process in [machine.spawn(str(number)) for number in range(50)]
        ]
        assert [each.status for each in ended] == [0] * 50, [each for each in ended if each.status]
        assert {each.told["venv"] for each in ended} == {str(machine.venvs()[0])}
        assert (machine.builds, len(machine.venvs()), machine.leftovers()) == (1, 1, [])

    def test_other_dependencies_are_another_environment(self, machine: Machine) -> None:
        """An update of the dependencies in place is noticed; a touched file is not one."""
        depend(machine.tree, "octet-test-dependency<2")
        assert machine.start()["dependency"] == "1.0"
        depend(machine.tree, "octet-test-dependency>=2")
        assert machine.start()["dependency"] == "2.0"
        os.utime(machine.tree / "pyproject.toml", (1, 1))
        assert machine.start()["dependency"] == "2.0"
        assert machine.builds == 2

    def test_an_update_in_a_new_directory(self, machine: Machine) -> None:
        """A new version beside the old one has its own environment, and the old one goes on with
        its own.
        """
        old = machine.start()
        new = machine.add_tree(machine.tree.parent / "octet-9")
        package = new / "src" / "octet" / "__init__.py"
        package.write_text(package.read_text().replace('__version__ = "', '__version__ = "9.'))
        assert machine.start(command=new / "bin" / "octet")["venv"] != old["venv"]
        assert machine.start()["venv"] == old["venv"]
        assert machine.builds == 2

    @pytest.mark.parametrize(
        "settings",
        [
            {"PYTHONHOME": "/nonexistent", "PYTHONPATH": "/nonexistent"},
            {"PIP_TARGET": "/nonexistent", "PIP_USER": "1"},
            {
                "PIP_REQUIRE_VIRTUALENV": "1",
                "PIP_PREFIX": "/nonexistent",
                "VIRTUAL_ENV": "/nonexistent",
            },
        ],
    )
    def test_foreign_settings_do_not_reach_the_build(
        self, machine: Machine, settings: dict[str, str]
    ) -> None:
        """Variables for the caller's own Python work do not send the packages elsewhere, and are
        there for the command.
        """
        assert machine.start(**settings)["environment"].items() >= settings.items()

    def test_uv_is_used_where_it_is(
        self, machine: Machine, require_program: Callable[[str], Path]
    ) -> None:
        """With uv on PATH it builds; the result is the same."""
        (machine.programs / "uv").symlink_to(require_program("uv"))
        assert machine.start()["dependency"] == "2.0"
        assert "uv = " in (machine.venvs()[0] / "pyvenv.cfg").read_text()

    def test_an_installer_that_fails_leaves_it_to_the_next(self, machine: Machine) -> None:
        """A uv without a network does not end the build: pip may be set to another index."""
        machine.add_program("uv", "echo 'error sending request for url' >&2; exit 2")
        assert machine.start()["dependency"] == "2.0"


class TestStart:
    def test_needs_no_other_program(self, used_machine: Machine) -> None:
        """A start that finds its environment looks for nothing on PATH, Python included."""
        assert used_machine.start("x", PATH="/nonexistent")["arguments"] == ["x"]

    def test_passes_the_exit_status_on(self, used_machine: Machine) -> None:
        """The command's status is the caller's."""
        assert [used_machine.run("exit", status).status for status in ("0", "1", "3")] == [0, 1, 3]

    def test_leaves_the_environment_as_it_was(self, used_machine: Machine) -> None:
        """The command and its children see only the caller's variables and the shell's own."""
        seen = used_machine.start(PYTHONPATH="/own", OCTET_SETUP="fail")["environment"]
        assert seen.keys() - used_machine.environment.keys() <= {
            "PWD",
            "OLDPWD",
            "SHLVL",
            "_",
            "LC_CTYPE",
            "PYTHONPATH",
        }
        assert seen["PYTHONPATH"] == "/own"

    @pytest.mark.parametrize(
        "form",
        [
            "link",
            "link to a link",
            "relative link",
            "linked directory",
            "relative",
            "dotted",
            "by name",
            "sh",
        ],
    )
    def test_finds_its_tree(self, used_machine: Machine, tmp_path: Path, form: str) -> None:
        """Linked onto PATH, called by any path or by the shell, it finds the tree, and the command
        stays in its directory.
        """
        path, here = used_machine.environment["PATH"], tmp_path / "any where"
        here.mkdir()
        link = here / "octet"
        command: list[str] = [str(link)]
        match form:
            case "link":
                link.symlink_to(used_machine.command)
            case "link to a link":
                (here / "other").symlink_to(used_machine.command)
                link.symlink_to("other")
            case "relative link":
                link.symlink_to(os.path.relpath(used_machine.command, here))
            case "linked directory":
                (here / "programs").symlink_to(used_machine.tree / "bin")
                command = [str(here / "programs" / "octet")]
            case "relative":
                command = [os.path.relpath(used_machine.command, here)]
            case "dotted":
                command = [f"{used_machine.tree}/./src/..//bin/octet"]
            case "by name":
                command, path = ["octet"], f"{used_machine.tree}/bin:{path}"
            case "sh":
                command, here = ["sh", "octet"], used_machine.tree / "bin"
        ended = subprocess.run(
            ["/usr/bin/env", *command, "x"],
            cwd=here,
            env=used_machine.environment | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        told = Ended(ended.returncode, ended.stdout, ended.stderr).told
        assert (told["arguments"], told["directory"]) == (["x"], str(here))
        assert used_machine.builds == 0

    @pytest.mark.parametrize("shell", ["dash", "bash", "busybox", "mksh", "ksh", "yash", "zsh"])
    def test_any_shell_will_do(self, used_machine: Machine, shell: str) -> None:
        """Nothing in bin/octet is one shell's own."""
        if not (program := shutil.which(shell)):
            pytest.skip(f"needs {shell}")
        called = [program, "sh"] if shell == "busybox" else [program]
        ended = subprocess.run(
            [*called, used_machine.command, "a b", ""],
            env=used_machine.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert Ended(ended.returncode, ended.stdout, ended.stderr).told["arguments"] == ["a b", ""]

    def test_bytecode_is_kept_whatever_the_caller_says(self, used_machine: Machine) -> None:
        """PYTHONDONTWRITEBYTECODE is for the caller's own work; a changed source is compiled again,
        none of it in the tree.
        """
        errors = used_machine.tree / "src" / "octet" / "base" / "errors.py"
        errors.write_text(errors.read_text() + "\n# changed\n")
        told = used_machine.start(PYTHONDONTWRITEBYTECODE="1")
        compiled = [Path(path) for path in told["bytecode"]]
        assert all(path.is_file() and path.is_relative_to(told["venv"]) for path in compiled)
        assert compiled[0].stat().st_mtime >= errors.stat().st_mtime
        assert not list(used_machine.tree.rglob("*.pyc"))

    def test_closed_streams(self, machine: Machine) -> None:
        """Started with closed standard streams, it takes no file of its own for one of them."""
        closed = f'exec <&- >&- 2>&-; "{machine.command}" exit 7'
        for mode, status in (("background", NOT_READY), ("", 7), ("", 7)):
            ended = machine.run("-c", closed, command="/bin/sh", OCTET_SETUP=mode)
            assert (ended.status, ended.out, ended.err) == (status, "", "")
        assert (machine.builds, machine.leftovers()) == (1, [])

    def test_without_a_home_variable(self, used_machine: Machine) -> None:
        """Where HOME is not set, the way is longer, not closed."""
        del used_machine.environment["HOME"]
        assert (
            used_machine.run(
                "x",
                XDG_CACHE_HOME=str(used_machine.cache.parent),
                XDG_STATE_HOME=str(used_machine.home),
            ).status
            == 0
        )

    def test_damage_is_told_in_a_line(self, machine: Machine) -> None:
        """Removed packages are one line with the remedy; after that it works again."""
        venv = Path(machine.start()["venv"])
        next(venv.glob("lib/python*/site-packages/octet_test_dependency.py")).unlink()
        shutil.rmtree(venv / "pycache")
        assert str(venv) in refusal(machine.run())
        shutil.rmtree(venv)
        machine.start()


class TestWhereItIs:
    def test_the_plugins_data_serves_commands_that_are_not_told_of_it(
        self, machine: Machine
    ) -> None:
        """Built by a hook in the plugin's data, it is the one that a tool's command and another
        tree find.
        """
        data = machine.home / "plugin data"
        told = machine.start(CLAUDE_PLUGIN_DATA=str(data))
        assert [Path(told["venv"])] == machine.venvs(data)
        assert machine.start()["venv"] == told["venv"]
        other = machine.add_tree(machine.tree.parent / "octet-too")
        assert machine.start(command=other / "bin" / "octet")["venv"] == told["venv"]
        assert (machine.builds, machine.venvs()) == (1, [])

    def test_one_that_is_in_the_cache_serves_hooks(self, machine: Machine) -> None:
        """Built by a command, it is not built again by a hook."""
        data = machine.home / "plugin data"
        told = machine.start()
        assert machine.start(CLAUDE_PLUGIN_DATA=str(data))["venv"] == told["venv"]
        assert machine.builds == 1

    def test_the_plugins_data_may_go(self, machine: Machine) -> None:
        """The client deletes the plugin's directory: a remaining command gets a new environment."""
        data = machine.home / "plugin data"
        machine.start(CLAUDE_PLUGIN_DATA=str(data))
        shutil.rmtree(data)
        assert [Path(machine.start()["venv"])] == machine.venvs()

    def test_the_cache_may_go(self, machine: Machine) -> None:
        """Caches are cleared; what is in the plugin's data is found again."""
        data = machine.home / "plugin data"
        machine.start(CLAUDE_PLUGIN_DATA=str(data))
        shutil.rmtree(machine.cache)
        assert [Path(machine.start(CLAUDE_PLUGIN_DATA=str(data))["venv"])] == machine.venvs(data)
        assert machine.builds == 0

    @pytest.mark.parametrize("variable", ["OCTET_HOME", "XDG_CACHE_HOME"])
    def test_settings_move_it(self, used_machine: Machine, used_cache: Path, variable: str) -> None:
        """sh and Python share the rule for directories: the second start is the short way."""
        base = used_machine.home / "else where"
        cache = base / ("cache" if variable == "OCTET_HOME" else "octet")
        cache.mkdir(parents=True)
        for venv in used_cache.glob("venv-*"):
            (cache / venv.name).symlink_to(venv)
        settings = {variable: str(base)}
        used_machine.start(**settings)
        assert used_machine.start(PATH="/nonexistent", **settings)["dependency"] == "2.0"

    def test_the_interpreter_is_gone(self, machine: Machine) -> None:
        """After an upgrade that took the interpreter away, the environment is built again."""
        python = Path(machine.start()["venv"]) / "bin" / "python"
        while (
            python.is_symlink()
            and python.parent.name == "bin"
            and python.is_relative_to(machine.cache)
        ):
            python, link = python.parent / python.readlink(), python
        link.unlink()
        link.symlink_to("/nonexistent/python3")
        assert machine.start()["dependency"] == "2.0"
        assert (machine.builds, len(machine.venvs()), machine.leftovers()) == (2, 1, [])

    def test_hooks_are_told(self, used_machine: Machine) -> None:
        """The file that hooks/launch goes by names a real interpreter, the package and the command,
        and is mended.
        """
        record = used_machine.state / "interpreter"
        python, source, command = record.read_text().splitlines()
        assert (
            subprocess.run(
                [python, "-I", "-S", "-c", "import sys; sys.exit(sys.prefix != sys.base_prefix)"],
                check=False,
            ).returncode
            == 0
        )
        assert (source, command) == (str(used_machine.tree / "src"), str(used_machine.command))
        before = record.stat().st_ino
        used_machine.run(OCTET_SETUP="build")
        assert record.stat().st_ino == before
        record.write_text("/nonexistent/python3\n")
        used_machine.run(OCTET_SETUP="build")
        assert record.read_text().splitlines() == [python, source, command]


class TestKilled:
    def test_in_the_middle(self, machine: Machine) -> None:
        """Killed with its installer half-way, it leaves nothing that is used, and the next start
        clears it away.
        """
        reached = machine.hang_installer()
        killed = machine.spawn()
        wait_for(reached.exists, "the installer is at work")
        os.killpg(killed.pid, signal.SIGKILL)
        finish(killed)
        assert (len(machine.leftovers()), machine.venvs()) == (1, [])
        machine.mend_installer()
        assert machine.start()["dependency"] == "2.0"
        assert (machine.builds, len(machine.venvs()), machine.leftovers()) == (2, 1, [])

    def test_the_installer_ends_with_its_parent(self, machine: Machine) -> None:
        """Where only the parent is killed, no installer goes on, and the next start clears away
        what it left.
        """
        reached = machine.hang_installer()
        killed = machine.spawn()
        wait_for(reached.exists, "the installer is at work")
        killed.kill()
        finish(killed)
        installer = int(reached.read_text())
        wait_for(lambda: identify(installer) is None, "the installer has ended")
        machine.mend_installer()
        assert machine.start()["dependency"] == "2.0"
        assert machine.leftovers() == []

    def test_an_installer_that_goes_on_alone(self, machine: Machine) -> None:
        """An orphaned installer keeps its directory until it ends, and no command waits for it."""
        machine.cache.mkdir(parents=True)
        (machine.cache / "venv-0.octet.tmp").mkdir()
        at_work = os.open(machine.cache / "venv-0.octet.tmp", os.O_RDONLY)
        fcntl.flock(at_work, fcntl.LOCK_SH)
        machine.start()
        assert len(machine.leftovers()) == 1
        os.close(at_work)
        depend(machine.tree, "octet-test-dependency<2")
        assert machine.start()["dependency"] == "1.0"
        assert machine.leftovers() == []

    @pytest.mark.chaos
    def test_at_any_moment(self, machine: Machine) -> None:
        """Killed again and again at random moments, it ends in one whole environment."""
        for _ in range(6):
            process = machine.spawn()
            try:
                process.communicate(timeout=random.uniform(0.05, 1.2))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        assert machine.start()["dependency"] == "2.0"
        depend(machine.tree, "octet-test-dependency<2")
        machine.start()
        assert machine.leftovers() == []

    def test_those_who_wait_take_over(self, machine: Machine) -> None:
        """When the builder is killed, a waiting process builds instead, and all of them run."""
        reached = machine.hang_installer()
        first = machine.spawn()
        wait_for(reached.exists, "the installer is at work")
        waiting = [machine.spawn() for _ in range(5)]
        machine.mend_installer()
        os.killpg(first.pid, signal.SIGKILL)
        finish(first)
        assert [finish(process).status for process in waiting] == [0] * 5
        assert (machine.builds, machine.leftovers()) == (2, [])

    def test_by_ctrl_c(self, machine: Machine) -> None:
        """Interrupted, it says nothing, clears up and ends as an interrupted program does."""
        reached = machine.hang_installer()
        process = machine.spawn()
        wait_for(reached.exists, "the installer is at work")
        os.killpg(process.pid, signal.SIGINT)
        ended = finish(process)
        assert (ended.status, ended.out) == (130, "")
        assert "Traceback" not in ended.err
        assert (machine.venvs(), machine.leftovers()) == ([], [])


class TestRefusals:
    def test_no_python_that_is_new_enough(self, machine: Machine) -> None:
        """With old Pythons only, the line says what was found and what is needed."""
        for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14", "uv"):
            machine.add_program(name, '[ "$1" = --version ] && echo Python 3.9.18 && exit\nexit 1')
        line = refusal(machine.run())
        assert "3.11" in line
        assert "3.9.18" in line

    def test_a_newer_python_under_another_name(self, machine: Machine) -> None:
        """Where python3 is too old and python3.N is not, that one is taken."""
        name = "python{}.{}".format(*sys.version_info)
        (machine.programs / "python3").rename(machine.programs / name)
        machine.add_program("python3", "exit 1")
        assert machine.start()["dependency"] == "2.0"

    def test_a_shim(self, machine: Machine) -> None:
        """A shim that changes its child's environment is asked for the interpreter, not used."""
        machine.add_program("python3", f'export PATH=/shim:$PATH SHIM=1\nexec "{PYTHON}" "$@"')
        assert "SHIM" not in machine.start()["environment"]

    def test_a_linked_python(self, machine: Machine) -> None:
        """A python3 that is a link from elsewhere, as uv makes them, can be built on."""
        (machine.programs / "python3").unlink()
        (machine.programs / "python3").symlink_to(PYTHON)
        assert machine.start()["dependency"] == "2.0"

    def test_no_network(self, machine: Machine) -> None:
        """Offline, the line speaks of the registry, and a later start with a network succeeds."""
        online = dict(machine.environment)
        del machine.environment["PIP_NO_INDEX"], machine.environment["PIP_FIND_LINKS"]
        assert "registry" in refusal(machine.run(PIP_INDEX_URL="http://127.0.0.1:9/simple"))
        assert (machine.venvs(), machine.leftovers()) == ([], [])
        machine.environment = online
        machine.start()

    def test_no_such_package(self, machine: Machine) -> None:
        """What the installers said is in the log that the line names."""
        depend(machine.tree, "octet-test-dependency>=3")
        line = refusal(machine.run())
        log = Path(line.split("log: ")[1].rstrip(")\n"))
        assert "octet-test-dependency>=3" in log.read_text()

    def test_no_pip(self, machine: Machine, tmp_path: Path) -> None:
        """A Python with neither pip nor ensurepip, as Debian's is without python3-venv: the line
        says what to install.
        """
        machine.use_python(make_python(tmp_path / "lame", "ensurepip"))
        line = refusal(machine.run(PATH=str(machine.programs)))
        assert "python3-venv" in line
        assert "uv" in line
        assert machine.leftovers() == []

    def test_no_pip_of_its_own(self, machine: Machine, tmp_path: Path) -> None:
        """Where ensurepip is there, pip is brought along for the build, and does not stay."""
        machine.use_python(make_python(tmp_path / "lame"))
        venv = Path(machine.start()["venv"])
        assert [path.name for path in venv.glob("lib/python*/site-packages/[!_]*.py")] == [
            "octet_test_dependency.py"
        ]
        assert not list(venv.glob("lib/python*/site-packages/*.pth"))

    def test_somebody_elses_pip(self, machine: Machine, tmp_path: Path) -> None:
        """Where Python has no way to pip, one on PATH that belongs to another Python will do."""
        if (
            subprocess.run(
                [PYTHON, "-m", "pip", "--version"], capture_output=True, check=False
            ).returncode
            != 0
        ):
            pytest.skip("the Python of the tests has no pip to lend")
        machine.add_program("pip3", f'exec "{PYTHON}" -m pip "$@"')
        machine.use_python(make_python(tmp_path / "lame", "ensurepip"))
        assert machine.start()["dependency"] == "2.0"

    def test_full_disk(self, machine: Machine) -> None:
        """A full disk is named as such, and no other installer goes on filling it."""
        machine.add_program("uv", "echo 'error: No space left on device (os error 28)' >&2; exit 1")
        assert "disk is full" in refusal(machine.run())

    @pytest.mark.parametrize("variable", ["OCTET_HOME", "XDG_CACHE_HOME"])
    def test_no_place_to_write(self, machine: Machine, variable: str) -> None:
        """A cache that cannot be made is named, and so is the way out."""
        (machine.home / "file").touch()
        settings: dict[str, Any] = {variable: str(machine.home / "file" / "below")}
        line = refusal(machine.run(**settings))
        assert str(machine.home / "file") in line
        assert "OCTET_HOME" in line

    def test_unwritable_plugin_data(self, machine: Machine) -> None:
        """Where the plugin's data cannot be written, the cache does."""
        (machine.home / "file").touch()
        assert [
            Path(machine.start(CLAUDE_PLUGIN_DATA=str(machine.home / "file" / "below"))["venv"])
        ] == machine.venvs()

    def test_half_a_source_tree(self, machine: Machine) -> None:
        """Without its pyproject.toml the tree cannot be used, whether or not it could before."""
        machine.start()
        (machine.tree / "pyproject.toml").unlink()
        assert "pyproject.toml" in refusal(machine.run())


class TestWithoutWaiting:
    def test_fail(self, machine: Machine) -> None:
        """OCTET_SETUP=fail: not ready, and nothing is begun."""
        ended = machine.run(OCTET_SETUP="fail")
        assert (ended.status, ended.out, ended.err.count("\n")) == (NOT_READY, "", 1)
        assert not machine.cache.exists()

    def test_fail_after_a_change(self, machine: Machine) -> None:
        """The same where there is an environment, but not for the dependencies of today."""
        machine.start()
        depend(machine.tree, "octet-test-dependency<2")
        assert machine.run(OCTET_SETUP="fail").status == NOT_READY
        assert machine.builds == 1

    def test_build(self, machine: Machine) -> None:
        """OCTET_SETUP=build: builds and runs nothing, the first time and the second."""
        for _ in range(2):
            ended = machine.run("exit", "5", OCTET_SETUP="build")
            assert (ended.status, ended.out) == (0, "")
        assert machine.builds == 1

    def test_background(self, machine: Machine) -> None:
        """OCTET_SETUP=background: no command waits or holds the caller's descriptors; one builds,
        and then commands run.
        """
        reached = machine.hang_installer()
        ended = [
            finish(process)
            for process in [machine.spawn(OCTET_SETUP="background") for _ in range(10)]
        ]
        assert [(each.status, each.out, each.err.count("\n")) for each in ended] == [
            (NOT_READY, "", 1)
        ] * 10, ended
        wait_for(reached.exists, "the installer is at work")
        installer = int(reached.read_text())
        machine.mend_installer()
        os.kill(installer, signal.SIGKILL)  # pip goes on from there
        wait_for(lambda: machine.run("x", OCTET_SETUP="background").status == 0, "it is ready")
        assert machine.builds == 1

    def test_a_background_build_keeps_nothing_open(self, machine: Machine) -> None:
        """A descriptor that a build kept from its hook would block the tool."""
        reached = machine.hang_installer()
        reading, writing = os.pipe()
        subprocess.run(
            [machine.command],
            env=machine.environment | {"OCTET_SETUP": "background"},
            pass_fds=[writing],
            capture_output=True,
            check=False,
        )
        os.close(writing)
        wait_for(reached.exists, "the installer is at work")
        assert os.read(reading, 1) == b""  # the end: no other process has the other side
        os.close(reading)
        installer = int(reached.read_text())
        os.kill(ancestors(installer)[0], signal.SIGKILL)
        wait_for(lambda: identify(installer) is None, "the installer has ended with its parent")

    def test_what_the_system_refuses_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The same for a disk that fills up under the build."""

        def fill_up(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(environment, "build", fill_up)
        cache = dirs.make_private(dirs.cache_dir())
        with pytest.raises(SetupFailed, match="OCTET_HOME"):
            bootstrap.build(cache, str(PROJECT), ["octet-test-dependency"])
        assert bootstrap.recent_failure(cache)

    def test_a_background_build_that_fails_is_told(self, machine: Machine) -> None:
        """The next hook has the reason; the one that has it does not try again at once, a person's
        command does.
        """
        depend(machine.tree, "octet-test-dependency>=3")
        assert machine.run(OCTET_SETUP="background").status == NOT_READY
        wait_for((machine.cache / "setup.failed").exists, "it has failed")
        assert "cannot set up" in refusal(machine.run(OCTET_SETUP="background"))
        assert machine.builds == 1
        depend(machine.tree, "octet-test-dependency")
        machine.start()
        assert not (machine.cache / "setup.failed").exists()


class TestSweep:
    def test_old_environments_go(self, machine: Machine) -> None:
        """A build removes environments long unused, but none that a process runs from."""
        idle, running, recent = (
            self.start_at(machine, f"octet-test-dependency<{limit}") for limit in (2, 3, 4)
        )
        depend(machine.tree, "octet-test-dependency<3")
        process = machine.spawn("stay")
        assert process.stdout
        assert process.stdout.readline()
        for venv in (idle, running):
            self.age(venv, days=8)
        self.start_at(machine, "octet-test-dependency")
        assert (idle.exists(), running.exists(), recent.exists()) == (False, True, True)
        finish(process)
        self.age(running, days=8)
        self.start_at(machine, "octet-test-dependency>0")
        assert (running.exists(), recent.exists()) == (False, True)

    def test_use_is_recorded(self, machine: Machine) -> None:
        """One in daily use does not grow old."""
        venv = self.start_at(machine, "octet-test-dependency")
        self.age(venv, days=6)
        machine.start()
        assert time.time() - venv.stat().st_mtime < 3600

    def test_pointers_of_lost_trees_go(self, machine: Machine) -> None:
        """A source tree that was deleted leaves nothing behind."""
        other = machine.add_tree(machine.tree.parent / "venv" / "deep")
        machine.start(command=other / "bin" / "octet")
        shutil.rmtree(other)
        self.start_at(machine, "octet-test-dependency<2")
        assert [path for path in (machine.cache / "ready").rglob("*") if path.is_file()] == [
            machine.pointer
        ]

    @staticmethod
    def start_at(machine: Machine, requirement: str) -> Path:
        depend(machine.tree, requirement)
        return Path(machine.start()["venv"])

    @staticmethod
    def age(venv: Path, days: int) -> None:
        then = time.time() - days * 24 * 3600
        os.utime(venv, (then, then))


def test_the_whole_of_octet_starts(
    clean_env: dict[str, str], registry_env: dict[str, str], missing: Callable[[str], NoReturn]
) -> None:
    """The real source tree with its real dependencies, from the registry."""
    home = Path(clean_env["HOME"])
    command = [str(PROJECT / "bin" / "octet"), "--version"]
    ended = subprocess.run(
        command, env=clean_env | registry_env, cwd=home, capture_output=True, text=True, check=False
    )
    if "registry does not answer" in ended.stderr:
        missing(ended.stderr)
    assert ended.returncode == 0, ended.stderr
    shown = subprocess.run(
        command, env=clean_env, cwd=home, capture_output=True, text=True, check=True
    )
    assert (shown.stdout, shown.stderr) == (ended.stdout, "")


def test_the_version_is_told_without_the_store() -> None:
    """The shortest command loads neither the client of the store nor what draws tables."""
    command = [sys.executable, "-X", "importtime", str(PROJECT / "src" / "octet"), "--version"]
    traced = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in traced.splitlines()}
    assert "click" in loaded
    assert (
        loaded & {"redis", "rich", "git", "filelock", "tomllib", "subprocess", "asyncio"} == set()
    )
