"""Files replaced at once: what a reader sees, what a failure leaves, which links are followed."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from octet.base.errors import UsageError
from octet.base.files import (
    move_file,
    read_file,
    read_text,
    remove_empty,
    remove_file,
    remove_unfinished,
    replace_file,
    write_file,
    write_if_changed,
)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestWriting:
    def test_a_new_file(self, tmp_path: Path) -> None:
        """It has the mode that was asked for, and nothing else is left."""
        write_file(tmp_path / "a", b"one", 0o600)
        assert (names(tmp_path), read_file(tmp_path / "a")) == (["a"], b"one")
        assert mode_of(tmp_path / "a") == 0o600

    def test_an_existing_file_keeps_its_mode(self, tmp_path: Path) -> None:
        """A person may have made it private, or executable."""
        (tmp_path / "a").write_bytes(b"one")
        (tmp_path / "a").chmod(0o751)
        write_file(tmp_path / "a", b"two")
        assert (read_file(tmp_path / "a"), mode_of(tmp_path / "a")) == (b"two", 0o751)

    @pytest.mark.parametrize("durable", [False, True])
    def test_a_reader_has_the_old_one_or_the_new_one(self, tmp_path: Path, durable: bool) -> None:
        """The file is another one, so that who has the old one open reads it to its end."""
        (tmp_path / "a").write_bytes(b"old")
        with (tmp_path / "a").open("rb") as old:
            write_file(tmp_path / "a", b"new", durable=durable)
            assert old.read() == b"old"
        assert read_file(tmp_path / "a") == b"new"

    def test_many_writers_of_one_file(self, tmp_path: Path) -> None:
        """Each has a place of its own for what is unfinished: none puts half of another's there."""
        contents = [bytes([65 + number]) * 200_000 for number in range(8)]
        start = threading.Barrier(len(contents))

        def write(content: bytes) -> None:
            start.wait()
            for _ in range(5):
                write_file(tmp_path / "a", content)

        threads = [threading.Thread(target=write, args=(content,)) for content in contents]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (tmp_path / "a").read_bytes() in contents
        assert names(tmp_path) == ["a"]

    def test_a_failure_changes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The old content stays, and nothing unfinished."""
        (tmp_path / "a").write_bytes(b"old")

        def fail(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            write_file(tmp_path / "a", b"new", durable=True)
        with pytest.raises(UsageError, match=r"cannot write .*a: No space left on device: run"):
            replace_file(tmp_path / "a", b"new", 0o666)
        assert (names(tmp_path), read_file(tmp_path / "a")) == (["a"], b"old")

    def test_a_planted_link_is_not_followed(self, tmp_path: Path) -> None:
        """A repository may hold one by the very name under which the file is unfinished."""
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        writer = f"{os.getpid()}-{threading.get_native_id()}"
        (tmp_path / f".a.{writer}.octet-tmp").symlink_to(victim)
        write_file(tmp_path / "a", b"new")
        assert (read_file(victim), read_file(tmp_path / "a")) == (b"precious", b"new")
        assert names(tmp_path) == ["a", "victim"]

    def test_only_where_it_differs(self, tmp_path: Path) -> None:
        """What is the same stays the same file; a directory that is missing is made."""
        path = tmp_path / "deep" / "er" / "a"
        write_if_changed(path, "one\udcff")
        before = path.stat().st_ino
        write_if_changed(path, "one\udcff")
        assert (path.stat().st_ino, path.read_bytes()) == (before, b"one\xff")
        write_if_changed(path, "two")
        assert path.read_text() == "two"

    def test_in_a_repository(self, tmp_path: Path) -> None:
        """The directories are made; what is in the way is told in a line."""
        replace_file(tmp_path / "a" / "b", b"one", 0o644)
        assert read_file(tmp_path / "a" / "b") == b"one"
        with pytest.raises(UsageError, match="cannot write"):
            replace_file(tmp_path / "a" / "b" / "c", b"one", 0o644)


class TestUnfinished:
    def test_what_killed_writers_left_is_removed(self, tmp_path: Path) -> None:
        """Of this file, by whatever process, also of 0.1.0's; nothing of another file."""
        for name in (".a[1].7-8.octet-tmp", ".a[1].octet-tmp", ".b.7-8.octet-tmp", "a[1]"):
            (tmp_path / name).touch()
        remove_unfinished(tmp_path / "a[1]")
        assert names(tmp_path) == [".b.7-8.octet-tmp", "a[1]"]
        remove_unfinished(tmp_path / "missing" / "a")


class TestReading:
    def test_bytes(self, tmp_path: Path) -> None:
        """None where there is none; what cannot be read is an error."""
        (tmp_path / "a").write_bytes(b"one")
        assert read_file(tmp_path / "a") == b"one"
        assert read_file(tmp_path / "b") is None
        assert read_file(tmp_path / "a" / "b") is None
        with pytest.raises(UsageError, match="cannot read"):
            read_file(tmp_path)

    def test_text(self, tmp_path: Path) -> None:
        """With a mark of its order or without; not longer than said."""
        (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone")
        assert read_text(tmp_path / "a", 6) == "one"
        with pytest.raises(UsageError, match=r"more than 5 bytes: split it"):
            read_text(tmp_path / "a", 5, ": split it")
        (tmp_path / "a").write_bytes(b"\xff")
        for path in (tmp_path / "a", tmp_path / "b"):
            with pytest.raises(UsageError, match="cannot be read"):
                read_text(path, 5)


class TestMoving:
    def test_a_link_stays_one(self, tmp_path: Path) -> None:
        """The directory is made, and what lies there is replaced."""
        (tmp_path / "link").symlink_to("nowhere")
        (tmp_path / "to").mkdir()
        (tmp_path / "to" / "b").touch()
        move_file(tmp_path / "link", tmp_path / "to" / "b")
        assert str((tmp_path / "to" / "b").readlink()) == "nowhere"
        move_file(tmp_path / "link", tmp_path / "to" / "c")  # gone: a run that was killed moved it
        assert names(tmp_path / "to") == ["b"]
        with pytest.raises(UsageError, match="cannot move"):
            move_file(tmp_path / "to" / "b", tmp_path / "to" / "b" / "c")

    def test_removing(self, tmp_path: Path) -> None:
        """What is gone is no error; a directory goes only when it is empty."""
        (tmp_path / "a").touch()
        for path in (tmp_path / "a", tmp_path / "a", tmp_path / "a" / "b"):
            remove_file(path)
        (tmp_path / "full" / "empty").mkdir(parents=True)
        remove_empty(tmp_path / "full")
        assert (tmp_path / "full").exists()
        remove_empty(tmp_path / "full" / "empty")
        assert names(tmp_path / "full") == []
        with pytest.raises(UsageError, match="cannot remove"):
            remove_file(tmp_path)
