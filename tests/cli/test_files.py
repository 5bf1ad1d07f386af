"""Reading a user's files: which are taken, which are left out and why, and that no link or pipe catches us."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from retrievers import arguments
from retrievers.cli import files
from retrievers.errors import InvalidInputError


def names(found: files.Scan) -> list[str]:
    return [file.name for file in found.files]


def reasons(found: files.Scan) -> dict[str, str]:
    return {one.name: one.reason for one in found.left_out}


def link(place: Path, target: Path) -> None:
    try:
        place.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("this user may make no links")


def test_files_are_found_recursively_and_known_by_their_path(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a.md").write_text("# Title\n\nText.")
    (tmp_path / "deep" / "b.txt").write_text("B")
    (tmp_path / "deep" / "er" / "c.HTML").write_text("<p>C</p>")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    (tmp_path / "LICENSE").write_text("L")
    (tmp_path / ".hidden" / "d.txt").write_text("D")
    found = files.scan(tmp_path)
    assert [(file.name, file.kind, files.text_of(file)) for file in found.files] == [
        ("a.md", "markdown", "# Title\n\nText."),
        ("deep/b.txt", "text", "B"),
        ("deep/er/c.HTML", "html", "C"),
    ]
    assert found.root == tmp_path.resolve().as_posix()
    assert reasons(found) == {".hidden": "hidden", "LICENSE": "no ending", "photo.png": ".png"}
    assert all(one.expected for one in found.left_out)


def test_one_file_can_be_read(tmp_path):
    (tmp_path / "a.txt").write_text("A", encoding="utf-8-sig")
    found = files.scan(tmp_path / "a.txt")
    assert (found.root, names(found), files.text_of(found.files[0])) == (
        tmp_path.resolve().as_posix(),
        ["a.txt"],
        "A",
    )


def test_a_file_that_is_not_utf8_says_so(tmp_path):
    (tmp_path / "old.txt").write_bytes("naïve".encode("latin-1"))
    [file] = files.scan(tmp_path).files
    with pytest.raises(files.UnreadableFileError, match=r"^not UTF-8$"):
        files.text_of(file)


def test_a_file_that_is_larger_than_a_document_may_be_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("12345")
    [file] = files.scan(tmp_path).files
    monkeypatch.setattr(arguments, "TEXT_BYTES", 5)
    assert files.text_of(file) == "12345"
    monkeypatch.setattr(arguments, "TEXT_BYTES", 4)
    with pytest.raises(files.UnreadableFileError, match="larger than 4 bytes"):
        files.text_of(file)


def test_what_cannot_be_indexed_at_all_is_an_error(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(InvalidInputError, match=r"a\.pdf' is no folder and no file that ends in"):
        files.scan(tmp_path / "a.pdf")
    with pytest.raises(InvalidInputError, match="nothing lies there"):
        files.scan(tmp_path / "absent")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may read every folder")
def test_a_folder_that_may_not_be_read_is_left_out(tmp_path):
    (tmp_path / "a.txt").write_text("A")
    (tmp_path / "closed").mkdir(mode=0)
    found = files.scan(tmp_path)
    assert (names(found), found.unread) == (["a.txt"], ["closed"])


def test_a_folder_that_the_system_refuses_to_list_is_left_out_and_named(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.txt").write_text("A")
    listing = os.scandir

    def refuse(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = files.scan(tmp_path)
    assert (names(found), found.unread) == (["a.txt"], ["closed"])
    assert reasons(found) == {"closed": "folder: Permission denied"}
    assert not found.left_out[0].expected


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 here")
def test_names_that_are_not_utf8_are_left_out(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("C")
    except OSError:
        pytest.skip("this file system takes no such name")
    found = files.scan(tmp_path)
    assert names(found) == []
    assert reasons(found) == {"caf\udce9.txt": "a name that is not UTF-8"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_left_out_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    assert reasons(files.scan(tmp_path)) == {"pipe.txt": "not a regular file"}
    with pytest.raises(files.UnreadableFileError, match="not a regular file"):
        files.text_of(files.File("pipe.txt", tmp_path / "pipe.txt", "text"))


def test_links_are_not_followed(tmp_path):
    folder, secret = tmp_path / "folder", tmp_path / "secret.txt"
    folder.mkdir()
    secret.write_text("S")
    link(folder / "out.txt", secret)
    link(folder / "up", tmp_path)
    found = files.scan(folder)
    assert names(found) == []
    assert reasons(found) == {"out.txt": "link", "up": "link"}


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="the system cannot refuse a link")
def test_a_file_that_became_a_link_after_the_listing_is_not_read(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret.txt").write_text("S")
    (tmp_path / "folder" / "a.txt").write_text("A")
    [file] = files.scan(tmp_path / "folder").files
    file.path.unlink()
    link(file.path, tmp_path / "secret.txt")
    with pytest.raises(files.UnreadableFileError):
        files.text_of(file)


def test_links_that_are_followed_lead_to_each_file_once_and_loops_end(tmp_path):
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / "z.txt").write_text("Z")
    (other / "b.txt").write_text("B")
    link(folder / "a-link.txt", folder / "z.txt")
    link(folder / "loop", folder)
    link(folder / "one", other)
    link(folder / "two", other)
    link(other / "back", folder)
    link(folder / "lost", tmp_path / "absent")
    found = files.scan(folder, follow_links=True)
    assert names(found) == ["one/b.txt", "z.txt"]
    assert [files.text_of(file) for file in found.files] == ["B", "Z"]
    assert {name for name, reason in reasons(found).items() if reason.startswith("link to")} == {
        "a-link.txt",
        "loop",
        "two",
        "one/back",
    }
    assert not next(one for one in found.left_out if one.name == "lost").expected


def test_a_folder_that_becomes_a_link_after_the_listing_is_not_read_through(tmp_path):
    (tmp_path / "named" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "named" / "deep" / "er" / "a.txt").write_text("A")
    (tmp_path / "secret" / "er").mkdir(parents=True)
    (tmp_path / "secret" / "er" / "a.txt").write_text("not for you")
    [file] = files.scan(tmp_path / "named").files
    assert files.text_of(file) == "A"
    (tmp_path / "named" / "deep").rename(tmp_path / "away")
    link(tmp_path / "named" / "deep", tmp_path / "secret")
    with pytest.raises(files.UnreadableFileError):
        files.text_of(file)


def test_a_folder_that_becomes_a_link_while_its_parent_is_listed_is_not_walked(tmp_path, monkeypatch):
    (tmp_path / "named" / "deep").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.txt").write_text("not for you")
    take = files._take

    def swap(name, path, *rest):
        take(name, path, *rest)
        path.rmdir()
        link(path, tmp_path / "secret")

    monkeypatch.setattr(files, "_take", swap)
    found = files.scan(tmp_path / "named")
    assert (found.files, found.unread) == ([], ["deep"])
    assert not found.left_out[0].expected
