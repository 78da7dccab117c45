"""Files that a shell command is seen to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from octet.guard.shell import script
from octet.guard.shell.words import UNKNOWN
from octet.guard.shell.writes import shell_writes


def writes(command: str, directory: str = "/w") -> set[str]:
    return {
        write.path.replace(UNKNOWN, "…")
        for write in shell_writes(script.parse(command, directory, home="/h"))
    }


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("echo x > a", {"/w/a"}),
        ("echo x >> 'a b'", {"/w/a b"}),
        ("echo x >| a 2>&1", {"/w/a"}),
        ("a &> log", {"/w/log"}),
        ("a 2> err > out", {"/w/err", "/w/out"}),
        ("a < in <<< x", set()),
        ("> empty", {"/w/empty"}),
        ("cat > /x/y <<'E'\nz\nE", {"/x/y"}),
        ("cat <<E > y && echo > z\n> no\nE", {"/w/y", "/w/z"}),
        ("(cd sub && echo > a); echo > b", {"/w/sub/a", "/w/b"}),
        ("cd sub && echo > ../a", {"/w/sub/../a"}),
        ("if x; then cd sub; fi; echo > a", {"/w/sub/a", "/w/a"}),
        ("cd nosuch; echo > a", {"/w/nosuch/a", "/w/a"}),
        ("cd nosuch && echo > a", {"/w/nosuch/a"}),
        ("{ a; b; } > out", {"/w/out"}),
        ("for f in 1; do a; done >> out", {"/w/out"}),
        ("echo > $X; echo > a$X; echo > *.py", {"/w/a…", "/w/*.py"}),
        ("X=a.py; echo > $X", {"/w/a.py"}),
        ("bash -c 'echo > a'", {"/w/a"}),
        ("echo '> a'", set()),
        ("a | tee b -a c", {"/w/b", "/w/c"}),
        ("a | sudo tee /etc/x > /dev/null", {"/etc/x", "/dev/null"}),
        ("sed -i 's/a/b/' f g", {"/w/f", "/w/g"}),
        ("sed -i.bak -e 's/a/b/' f", {"/w/f"}),
        ("sed -i '' 's/a/b/' f", {"/w/s/a/b/", "/w/f"}),
        ("sed --in-place=.bak 's/a/b/' f", {"/w/f"}),
        ("sed -ni '/x/p' f", {"/w/f"}),
        ("sed 's/a/b/' f", set()),
        ("perl -pi -e 's/a/b/' f", {"/w/f"}),
        ("perl -e 'print' f", set()),
        ("mv a b", {"/w/a", "/w/b"}),
        ("mv -f a b c/", {"/w/a", "/w/b", "/w/c/"}),
        ("mv -t d a b", {"/w/a", "/w/b", "/w/d"}),
        ("cp a b", {"/w/b"}),
        ("cp -r --target-directory=d a", {"/w/d"}),
        ("cp $X b", {"/w/b"}),
        ("cp a $X", set()),
        ("ln -sf a b", {"/w/b"}),
        ("install -m 644 a b", {"/w/b"}),
        ("rm -rf a b", {"/w/a", "/w/b"}),
        ("rm -- -a", {"/w/-a"}),
        ("rmdir a", {"/w/a"}),
        ("unlink a", {"/w/a"}),
        ("touch -d yesterday a", {"/w/a"}),
        ("truncate -s 0 a", {"/w/a"}),
        ("dd if=a of=b bs=1", {"/w/b"}),
        ("find . -name x -exec rm a {} \\;", {"/w/a", "/w/.…x"}),
        ("xargs rm a", {"/w/a"}),
        ("env A=1 cp a b", {"/w/b"}),
        ("cat a; ls b; grep c d", set()),
        ("cd $X; echo > a; echo > /b", {"/b"}),
        ("mv", set()),
        ("cp a", set()),
        ("dd", set()),
    ],
)
def test_writes(command: str, expected: set[str]) -> None:
    """Each path that is written out is found, seen from where the command runs."""
    assert writes(command) == expected


def test_a_directory_as_target_takes_the_sources_name(tmp_path: Path) -> None:
    """`cp a b` writes b, and b/a where b is a directory."""
    (tmp_path / "d").mkdir()
    assert writes("cp x/a.py d; mv b d/", str(tmp_path)) == {
        f"{tmp_path}/d/a.py",
        f"{tmp_path}/b",
        f"{tmp_path}/d//b",
    }


def test_what_goes_away_is_marked() -> None:
    """Removing is told from writing."""
    found = {
        write.path: write.removes
        for write in shell_writes(script.parse("rm a; mv b c; echo > d", "/w"))
    }
    assert found == {"/w/a": True, "/w/b": True, "/w/c": False, "/w/d": False}
