"""Reading a user's files: which are taken, what an HTML page says, what is skipped aloud."""

from __future__ import annotations

import pytest

from retrievers.cli import files
from retrievers.errors import InvalidInputError


def test_files_are_found_recursively_and_known_by_their_path(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a.md").write_text("# Title\n\nText.")
    (tmp_path / "deep" / "b.txt").write_text("B")
    (tmp_path / "deep" / "er" / "c.HTML").write_text("<p>C</p>")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    (tmp_path / ".hidden" / "d.txt").write_text("D")
    documents, skipped = files.read(tmp_path)
    assert [(d.id, d.text, d.metadata["kind"]) for d in documents] == [
        ("a.md", "# Title\n\nText.", "markdown"),
        ("deep/b.txt", "B", "text"),
        ("deep/er/c.HTML", "C", "html"),
    ]
    assert skipped == []


def test_one_file_can_be_read(tmp_path):
    (tmp_path / "a.txt").write_text("A", encoding="utf-8-sig")
    [document] = files.read(tmp_path / "a.txt")[0]
    assert (document.id, document.text) == ("a.txt", "A")


def test_a_file_that_is_not_utf8_is_skipped_aloud(tmp_path):
    (tmp_path / "old.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "new.txt").write_text("naïve", encoding="utf-8")
    documents, skipped = files.read(tmp_path)
    assert [document.id for document in documents] == ["new.txt"]
    assert skipped == ["old.txt: not UTF-8 at byte 2"]


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(InvalidInputError, match="no file below"):
        files.read(tmp_path)
    with pytest.raises(InvalidInputError, match="nothing lies at"):
        files.read(tmp_path / "absent")


def test_a_link_that_leads_back_is_not_followed(tmp_path):
    (tmp_path / "a.txt").write_text("A")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [document.id for document in files.read(tmp_path)[0]] == ["a.txt"]


def test_html_gives_the_text_that_a_browser_shows():
    page = """<!doctype html><html><head><title>T</title><style>p {}</style><script>var a = "<p>";</script></head>
    <body><h1>Caf&eacute;</h1><p>One <b>bold</b>
    line.<br>Next</p><script>hidden()</script><ul><li>first<li>second</ul></body></html>"""
    assert files.html_text(page) == "Café\nOne bold line.\nNext\nfirst\nsecond"


def test_html_without_a_closed_head_still_has_a_body():
    assert files.html_text("<head><title>T</title><body><p>text") == "text"
