"""Which of two copies of the code is newer."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from octet import __version__
from octet.daemon.process.build import Build, read_build


def write_package(directory: Path, version: str = "1.2.3", time_ns: int = 10**18) -> Path:
    directory.mkdir()
    (directory / "__init__.py").write_text(f'"""A package."""\n\n__version__ = "{version}"\n')
    (directory / "step.lua").write_text("return 1\n")
    for path in directory.iterdir():
        os.utime(path, ns=(time_ns, time_ns))
    return directory


def test_our_own_build_has_our_version() -> None:
    """The installed package can be read like any other."""
    build = read_build()
    assert build
    assert build.version == __version__


def test_two_copies_of_the_same_code_are_the_same_build(tmp_path: Path) -> None:
    """Wherever they lie and whenever they were written: neither is newer."""
    one, other = (
        read_build(write_package(tmp_path / name, time_ns=time))
        for name, time in (("a", 10**18), ("b", 2 * 10**18))
    )
    assert one
    assert other
    assert one.fingerprint == other.fingerprint
    assert not one.is_newer_than(other)
    assert not other.is_newer_than(one)


def test_any_change_is_another_build(tmp_path: Path) -> None:
    """A line of Lua, too."""
    package = write_package(tmp_path / "a")
    before = read_build(package)
    (package / "step.lua").write_text("return 2\n")
    after = read_build(package)
    assert before
    assert after
    assert after.is_newer_than(before)
    assert not before.is_newer_than(after)


def test_newer_is_a_total_order() -> None:
    """Version before time, numbers as numbers; of any two different builds exactly one is newer."""
    builds = [
        Build(version, f"{version}{ns}", ns)
        for version in ("0.9.0", "0.10.0", "1.0.0")
        for ns in (1, 2)
    ]
    for one, other in itertools.combinations(range(len(builds)), 2):
        assert builds[other].is_newer_than(builds[one])
        assert not builds[one].is_newer_than(builds[other])


def test_what_is_no_package_is_no_build(tmp_path: Path) -> None:
    """Nothing there, or nothing that says its version."""
    assert read_build(tmp_path / "missing") is None
    (tmp_path / "__init__.py").write_text("")
    assert read_build(tmp_path) is None
