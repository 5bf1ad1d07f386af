"""retrievers index and delete: which document is which file, what is removed, and what is said about it."""

from __future__ import annotations

import shutil

import pytest

from retrievers import Collection, Document
from retrievers.cli import index, opening
from retrievers.cli.main import main
from retrievers.encoder import LateInteractionEncoder
from retrievers.testing import HashingEncoder


@pytest.fixture
def encoder(monkeypatch) -> HashingEncoder:
    """The model of every collection that the command line opens or creates here."""
    encoder = HashingEncoder()
    monkeypatch.setattr(LateInteractionEncoder, "from_fingerprint", lambda fingerprint, **_: encoder)
    for module in (index, opening):
        monkeypatch.setattr(
            module, "created", lambda directory, options, bits: Collection(directory, encoder, bits=bits)
        )
    return encoder


@pytest.fixture
def call(encoder, tmp_path, capsys, monkeypatch):
    """Run `retrievers …` in a folder; returns what it printed on standard output and on standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, code: int = 0) -> tuple[str, str]:
        assert main(arguments) == code
        written = capsys.readouterr()
        return written.out, written.err

    return call


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path.resolve() / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("apples")
    (folder / "deep" / "b.txt").write_text("bananas")
    return folder


def stored() -> dict[str, str]:
    with Collection.open("index") as collection:
        return {str(document.id): document.text for document in collection.get()}


def test_files_of_equal_names_in_two_folders_are_two_documents(call, notes, tmp_path):
    other = tmp_path.resolve() / "other"
    other.mkdir()
    (other / "a.txt").write_text("apricots")
    call("index", "notes", "--into", "index")
    out, _ = call("index", "other", "--into", "index")
    assert out == "1 new, 0 changed, 0 unchanged, 0 removed; 3 in index\n"
    assert stored() == {
        f"{notes}/a.txt": "apples",
        f"{notes}/deep/b.txt": "bananas",
        f"{other}/a.txt": "apricots",
    }


def test_a_folder_a_folder_in_it_and_a_file_of_it_name_the_same_documents(call, notes, encoder):
    call("index", "notes", "--into", "index")
    assert call("index", "notes/deep", "--into", "index")[0].startswith("0 new, 0 changed, 1 unchanged")
    assert call("index", "notes/a.txt", "--into", "index")[0].startswith("0 new, 0 changed, 1 unchanged")
    assert encoder.encoded_documents == 2


def test_a_new_collection_has_the_bits_that_are_asked_for_and_keeps_them(call, notes, monkeypatch):
    call("index", "notes", "--into", "index", "--bits", "4")
    for more in ((), ("--bits", "4")):
        assert call("index", "notes", "--into", "index", *more)[0].startswith("0 new, 0 changed, 2 unchanged")
    _, said = call("index", "notes", "--into", "index", "--bits", "8", code=1)
    assert "rows of 4 bits a number where 8 are asked for" in said
    with Collection.open("index") as collection:
        assert (collection.bits, len(collection)) == (4, 2)


def test_the_summary_counts_new_changed_unchanged_removed_and_left_out_by_reason(call, notes):
    call("index", "notes", "--into", "index")
    (notes / "a.txt").write_text("almonds")
    (notes / "deep" / "b.txt").unlink()
    (notes / "c.txt").write_text("cherries")
    (notes / "d.txt").write_bytes(b"\xff")
    for name in ("e.pdf", "f.pdf", "g.docx", "h.csv", ".i"):
        (notes / name).write_bytes(b"")
    out, err = call("index", "notes", "--into", "index", "--prune")
    summary, left_out = out.splitlines()
    assert summary == "1 new, 1 changed, 0 unchanged, 1 removed; 2 in index"
    assert set(left_out.removeprefix("left out: ").split(", ")) == {
        "2 .pdf",
        "1 .docx",
        "1 .csv",
        "1 hidden",
        "1 not UTF-8",
    }
    assert err == "left out d.txt: not UTF-8\n"
    assert stored() == {f"{notes}/a.txt": "almonds", f"{notes}/c.txt": "cherries"}


def test_without_prune_a_document_outlives_its_file(call, notes):
    call("index", "notes", "--into", "index")
    (notes / "a.txt").unlink()
    assert call("index", "notes", "--into", "index")[0].startswith("0 new, 0 changed, 1 unchanged, 0 removed")
    assert len(stored()) == 2


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(call, notes):
    out, _ = call("index", "notes", "--into", "index", "--dry-run")
    assert f"new      {notes}/a.txt" in out
    assert not (notes.parent / "index").exists()
    call("index", "notes", "--into", "index")
    (notes / "a.txt").unlink()
    out, _ = call("index", "notes", "--into", "index", "--prune", "--dry-run")
    assert f"removed  {notes}/a.txt" in out
    assert "0 new, 0 changed, 1 unchanged, 1 removed; 2 in index" in out
    assert len(stored()) == 2


def test_prune_removes_nothing_of_another_folder_and_nothing_that_may_still_be_there(call, notes, tmp_path):
    other = tmp_path.resolve() / "notes-2"
    other.mkdir()
    (other / "a.txt").write_text("apricots")
    for folder in ("notes", "notes-2"):
        call("index", folder, "--into", "index")
    shutil.rmtree(other)
    deep = notes / "deep"
    deep.rename(tmp_path / "moved")
    deep.symlink_to(tmp_path / "moved")
    (notes / "a.txt").write_bytes(b"\xff")
    (notes / "c.txt").write_text("cherries")
    out, _ = call("index", "notes", "--into", "index", "--prune")
    assert out.startswith("1 new, 0 changed, 0 unchanged, 0 removed; 4 in index")


def test_an_empty_folder_removes_nothing_because_a_disk_may_not_be_mounted(call, notes):
    call("index", "notes", "--into", "index")
    shutil.rmtree(notes)
    notes.mkdir()
    _, err = call("index", "notes", "--into", "index", "--prune", code=1)
    assert "no file below 'notes' ends in one of" in err
    assert len(stored()) == 2


def test_a_folder_that_was_moved_goes_on_under_its_former_place(call, notes, encoder):
    call("index", "notes", "--into", "index")
    notes.rename(notes.parent / "moved")
    (notes.parent / "moved" / "a.txt").unlink()
    out, _ = call("index", "moved", "--into", "index", "--root", str(notes), "--prune")
    assert out.startswith("0 new, 0 changed, 1 unchanged, 1 removed")
    assert encoder.encoded_documents == 2
    assert list(stored()) == [f"{notes}/deep/b.txt"]


def earlier(folder, encoder) -> None:
    """What an earlier version wrote: ids are paths below a folder that nobody recorded."""
    with Collection("index", encoder) as collection:
        for path in sorted(folder.rglob("*.txt")):
            name = path.relative_to(folder).as_posix()
            collection.add([Document(path.read_text(), name, {"path": name, "kind": "text"})])


def test_documents_of_an_earlier_version_keep_their_ids_and_get_their_folder(call, notes, encoder):
    earlier(notes, encoder)
    (notes / "a.txt").write_text("almonds")
    out, _ = call("index", "notes", "--into", "index")
    assert out.startswith("0 new, 1 changed, 1 unchanged, 0 removed; 2 in index")
    assert stored() == {"a.txt": "almonds", "deep/b.txt": "bananas"}
    assert encoder.encoded_documents == 3
    with Collection.open("index") as collection:
        assert collection.get(["a.txt"])[0].metadata == {"path": "a.txt", "kind": "text", "root": str(notes)}
    assert call("index", "notes", "--into", "index")[0].startswith("0 new, 0 changed, 2 unchanged")
    assert call("index", "notes/deep", "--into", "index")[0].startswith("0 new, 0 changed, 1 unchanged")
    (notes / "deep" / "b.txt").unlink()
    call("index", "notes", "--into", "index", "--prune")
    assert stored() == {"a.txt": "almonds"}


def test_another_folder_with_names_of_an_earlier_version_asks_whose_they_are(call, notes, encoder, tmp_path):
    earlier(notes, encoder)
    other = tmp_path.resolve() / "other"
    other.mkdir()
    (other / "a.txt").write_text("apricots")
    _, err = call("index", "other", "--into", "index", code=1)
    assert "--adopt" in err
    assert stored()["a.txt"] == "apples"
    call("index", "other", "--into", "index", "--no-adopt")
    assert stored()["a.txt"] == "apples"
    assert stored()[f"{other}/a.txt"] == "apricots"


def test_adopt_takes_documents_of_an_earlier_version_whatever_their_texts(call, notes, encoder):
    earlier(notes, encoder)
    (notes / "a.txt").write_text("almonds")
    (notes / "deep" / "b.txt").write_text("blueberries")
    call("index", "notes", "--into", "index", "--adopt")
    assert stored() == {"a.txt": "almonds", "deep/b.txt": "blueberries"}


def test_metadata_that_others_added_stay(call, notes, encoder):
    call("index", "notes", "--into", "index")
    with Collection("index", encoder) as collection:
        [document] = collection.get([f"{notes}/a.txt"])
        collection.add([document.text], ids=[document.id], metadatas=[{**document.metadata, "tag": "fruit"}])
    (notes / "a.txt").write_text("almonds")
    call("index", "notes", "--into", "index")
    with Collection.open("index") as collection:
        assert collection.get([f"{notes}/a.txt"])[0].metadata["tag"] == "fruit"


def test_if_nothing_can_be_read_the_command_fails(call, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.txt").write_bytes(b"\xff")
    out, err = call("index", "bad", "--into", "index", code=1)
    assert out.splitlines() == ["0 new, 0 changed, 0 unchanged, 0 removed", "left out: 1 not UTF-8"]
    assert err == "left out a.txt: not UTF-8\n"
    assert not (tmp_path / "index").exists()


def test_prune_needs_a_folder(call, notes):
    assert "--prune needs a folder" in call("index", "notes/a.txt", "--into", "index", "--prune", code=1)[1]


def test_documents_are_deleted_by_id_by_folder_and_by_filter(call, notes):
    call("index", "notes", "--into", "index")
    assert call("delete", "index", "--below", "notes/deep", "--dry-run")[0].splitlines()[0] == (
        f"{notes}/deep/b.txt"
    )
    assert call("delete", "index", "--below", "notes/deep")[0] == "removed 1; 1 in index\n"
    assert call("delete", "index", "absent")[0] == "removed 0; 1 in index\n"
    assert call("delete", "index", f"{notes}/a.txt")[0] == "removed 1; 0 in index\n"
    call("index", "notes", "--into", "index")
    assert call("delete", "index", "--filter", '{"kind": "text"}')[0] == "removed 2; 0 in index\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of the three"),
        (["x", "--below", "y"], "one of the three"),
        (["--filter", "{}"], "every document"),
    ],
)
def test_delete_is_told_what_to_remove(call, notes, arguments, message):
    call("index", "notes", "--into", "index")
    assert message in call("delete", "index", *arguments, code=1)[1]
    assert len(stored()) == 2
