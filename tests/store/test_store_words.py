"""The index of words: what it finds, that it is never apart from the documents, and what is said of a damaged one."""

import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from retrievers.errors import CorruptStoreError, InvalidInputError, NoWordsError, UnsupportedError
from retrievers.filters import parse
from retrievers.store import Entry, Store, words
from retrievers.types import Document
from tests.store.rows import FINGERPRINT, entry, matrix

TEXTS = {
    "a": "Die Straße nach Zürich – café, re\u0301sume\u0301.",
    "b": "हिन्दी भाषा और العربية والنص",
    "c": "東京都の人口は多い。 Ελλάδα Москва",
    "d": 'He said "OR" AND NOT (near) col:umn* ^x -y',
    "e": "zero\x00byte ends",
    "f": "running runners ran",
}
QUESTIONS = [
    *(
        "",
        " ",
        "\x00",
        '"',
        '""',
        "'",
        "*",
        "^",
        "(",
        ")",
        "OR",
        "AND OR NOT",
        "NEAR(a b)",
        "text:a",
        "words MATCH",
    ),
    *(
        "a* b*",
        "{a b}:c",
        "-x",
        "+x",
        "\\",
        "%",
        ";--",
        "\u200d",
        "\u0301",
        "🥖",
        "\ud83e\udd56",
        "\ufeff",
        "١٢٣",
    ),
    *(
        '"a" "b',
        'x"y',
        "a OR",
        "rowid",
        "'; DROP TABLE words; --",
        "text : ^ a",
        "\u202ea",
        "ﬁ",
        "ǅ",
        "İ",
        "ẞ",
    ),
]


def windows(name, text, context=""):
    """A document whose windows are its words, each with one row."""
    whole, spans, at = context + text, [], 0
    for word in whole.split(" "):
        spans.append((at, at + len(word)))
        at += len(word) + 1
    parts = [matrix(f"{name}{n}", 1) for n in range(len(spans))]
    return Entry(
        Document(text, name, {"first": name == "a"}, context), text.encode()[:16].ljust(16), spans, parts
    )


def whole(name, text):
    return Entry(Document(text, name), text.encode()[:16].ljust(16), [(0, len(text))], [matrix(name, 1)])


def found(store, question):
    """Ids of the documents with words of a question, best first."""
    with store.read() as view:
        positions, scores = view.word_scores(question)
        ids = {key: document.id for key, document in view.fetch(view.documents[positions]).items()}
        keys = view.documents[positions]
        best_first = keys[np.argsort(-scores, kind="stable")].tolist()
        return list(dict.fromkeys(ids[key] for key in best_first))


def sums(store):
    """The score of each window by its document's id and its number, for a question of many words."""
    with store.read() as view:
        positions, scores = view.word_scores("quick fox lazy dog hello world text other")
        names = {key: one.id for key, one in view.fetch(view.documents).items()}
        numbers = positions - np.searchsorted(view.documents, view.documents[positions])
        keys = view.documents[positions].tolist()
        return {
            (names[key], number): round(float(score), 4)
            for key, number, score in zip(keys, numbers.tolist(), scores, strict=True)
        }


def edit(path, statement, *values):
    with closing(sqlite3.connect(path / "catalog.sqlite", isolation_level=None)) as connection:
        connection.execute(statement, values)


@pytest.fixture(params=["disk", "memory"])
def texts(request, tmp_path):
    path = tmp_path / "texts" if request.param == "disk" else None
    store = Store(path, fingerprint=FINGERPRINT, words=("unicode61", None))
    store.append([whole(name, text) for name, text in TEXTS.items()])
    yield store
    store.close()


def test_every_script_is_found_by_its_words(texts):
    for question, expected in {
        "strasse STRAßE": ["a"],
        "zurich": ["a"],
        "café": ["a"],
        "cafe resume": ["a"],
        "résumé": ["a"],
        "हिन्दी": ["b"],
        "العربية": ["b"],
        "ΕΛΛΆΔΑ": ["c"],
        "МОСКВА?": ["c"],
        "byte": ["e"],
        "near column umn": ["d"],
        "run": [],
    }.items():
        assert found(texts, question) == expected, question


def test_a_question_is_data(texts):
    before = texts.verify()
    for question in QUESTIONS:
        found(texts, question)
    assert found(texts, "OR") == ["d"]
    assert found(texts, 'col:umn* AND "near') == ["d"]
    assert found(texts, "x" + " nothing" * 10_000 + " near") == ["d"]
    many = " ".join(f"w{number}" for number in range(10_000))
    assert found(texts, f"Zürich {many}") == ["a"]
    assert before == texts.verify() == []


def test_of_a_long_question_the_first_words_are_looked_for():
    assert words.TABLES.keys() == {"unicode61", "porter", "trigram"}
    from retrievers.store.bm25 import MOST_WORDS, quoted

    question = " ".join(f"w{number} W{number}" for number in range(10_000))
    assert quoted(question, "porter") == [f'"w{number}"' for number in range(MOST_WORDS)]
    assert quoted('東京都の "人口', "trigram") == ['"東京都"', '"京都の"']


def test_a_stemmer_and_trigrams_find_what_they_are_for(tmp_path):
    for tokenizer, question, expected in (
        ("porter", "run", ["f"]),
        ("trigram", "東京都に", ["c"]),
        ("trigram", "東京", []),
    ):
        store = Store(None, fingerprint=FINGERPRINT, words=(tokenizer, None))
        store.append([whole(name, text) for name, text in TEXTS.items()])
        assert found(store, question) == expected
        assert store.info().words == tokenizer
        store.close()


def test_scores_are_those_of_fts5(texts):
    """By a table of SQLite's own with the same windows, that has its content and is asked as its page says."""
    with closing(sqlite3.connect(":memory:")) as plain:
        plain.execute("CREATE VIRTUAL TABLE t USING fts5(text, tokenize='unicode61 remove_diacritics 2')")
        plain.executemany("INSERT INTO t (text) VALUES (?)", [(text,) for text in TEXTS.values()])
        expected = plain.execute(
            "SELECT rowid - 1, -bm25(t) FROM t WHERE t MATCH 'zurich OR and OR near OR ends OR runners' ORDER BY rowid"
        ).fetchall()
    with texts.read() as view:
        positions, scores = view.word_scores("Zürich AND near; ends, runners")
    assert positions.tolist() == [row for row, _ in expected]
    assert scores == pytest.approx([score for _, score in expected], abs=1e-6)


def test_a_word_that_most_windows_have_weighs_a_millionth(make):
    store = make(words=("unicode61", None))
    store.append([whole("a", "the sun"), whole("b", "the moon"), whole("c", "the sun and the sun")])
    assert found(store, "the moon") == ["b", "a", "c"]
    with store.read() as view:
        assert view.word_scores("the moon")[1].tolist() == pytest.approx([1e-6, 0.51, 1e-6], rel=0.2)
        assert (view.word_scores("the")[1] < 1e-5).all()


def test_words_follow_every_change(make, monkeypatch):
    monkeypatch.setattr("retrievers.store.bm25.GROUP", 2)  # words of a question are asked in groups
    store = make(words=("unicode61", 0.25))
    store.append([windows("a", "quick fox"), windows("b", "lazy dog", "hello "), windows("c", "")])
    model = {"a": ("quick fox", ""), "b": ("lazy dog", "hello "), "c": ("", "")}

    def same_as_new():
        fresh = Store(None, fingerprint=FINGERPRINT, words=("unicode61", 0.25))
        fresh.append([windows(name, *text) for name, text in model.items()])
        expected = sums(fresh)
        fresh.close()
        assert store.verify() == []
        return sums(store) == expected

    assert same_as_new()
    store.append([windows("a", "world of the fox text"), windows("d", "other text")])
    model |= {"a": ("world of the fox text", ""), "d": ("other text", "")}
    assert same_as_new()
    store.update({"a": {"n": 1}})
    assert same_as_new()
    store.delete(["b", "nowhere"])
    del model["b"]
    assert same_as_new()
    store.append([windows("e", "hello hello"), entry("empty", text="")])
    model |= {"e": ("hello hello", "")}
    store.delete_matching(parse({"first": True}))
    store.delete(["empty"])
    store.compact()
    assert same_as_new()
    store.append([windows("d", "dog"), windows("a", "fox")])
    model = {"c": model["c"], "d": ("dog", ""), "e": model["e"], "a": ("fox", "")}
    assert same_as_new()
    store.index_words()
    assert store.info().words_weight == 0.25
    assert same_as_new()
    store.delete_matching(None)
    assert sums(store) == {}
    assert store.verify() == []


def test_a_reader_follows_another_handle(path):
    writer = Store(path, fingerprint=FINGERPRINT, words=("unicode61", None))
    writer.append([windows("a", "sun moon"), windows("b", "sea")])
    reader = Store(path, fingerprint=None)
    assert found(reader, "sea moon") == ["a", "b"]
    with reader.read() as view:
        before = view.word_scores("sea moon")
        writer.append([windows("a", "sea"), windows("c", "moon moon")])
        writer.delete(["b"])
        for now, then in zip(view.word_scores("sea moon"), before, strict=True):
            assert np.array_equal(now, then)  # of its commit
    assert found(reader, "sea moon") == ["a", "c"]
    writer.index_words("porter")
    writer.delete(["c"])
    assert found(reader, "seas") == ["a"]
    writer.close()
    reader.close()


def test_words_can_be_indexed_later(make):
    store = make()
    store.append([windows("a", "sun moon"), windows("b", "sea")])
    with pytest.raises(NoWordsError, match="index_words"):
        found(store, "sea")
    assert (store.info().words, store.info().words_bytes) == (None, 0)
    store.index_words("porter", 0.5)
    assert found(store, "seas") == ["b"]
    info = store.info()
    assert (info.words, info.words_weight) == ("porter", 0.5)
    assert info.words_bytes > 0
    with store.read() as view:
        assert view.word_weight == 0.5


def test_opening_indexes_what_is_not_indexed_and_refuses_another_tokenizer(path):
    Store(path, fingerprint=FINGERPRINT).append([windows("a", "suns")])
    store = Store(path, fingerprint=FINGERPRINT, words=("porter", None))
    assert found(store, "sun") == ["a"]
    Store(path, fingerprint=FINGERPRINT, words=("porter", 0.3)).close()
    assert store.info().words_weight == 0.3
    Store(path, fingerprint=FINGERPRINT, words=("porter", None)).close()
    assert store.info().words_weight == 0.3
    with pytest.raises(InvalidInputError, match=r"index_words\('trigram'\)"):
        Store(path, fingerprint=FINGERPRINT, words=("trigram", None))
    store.close()


def test_a_copy_and_a_directory_that_cannot_be_written_have_the_words(path, tmp_path):
    store = Store(path, fingerprint=FINGERPRINT, words=("unicode61", None))
    store.append([windows("a", "sun moon"), windows("b", "sea")])
    store.backup(tmp_path / "copy")
    store.close()
    for file in (tmp_path / "copy").iterdir():
        file.chmod(0o444)
    (tmp_path / "copy").chmod(0o555)
    copy = Store(tmp_path / "copy", fingerprint=None)
    assert found(copy, "moon") == ["a"]
    assert copy.verify() == []
    copy.close()
    (tmp_path / "copy").chmod(0o755)


def test_without_fts5_everything_but_words_goes_on(path, monkeypatch):
    store = Store(path, fingerprint=FINGERPRINT, words=("unicode61", None))
    store.append([windows("a", "sun")])
    monkeypatch.setattr("retrievers.store.words.has_fts5", lambda connection: False)
    for call in (
        lambda: found(store, "sun"),
        lambda: store.append([windows("b", "moon")]),
        lambda: store.delete(["a"]),
        lambda: store.index_words(),
        lambda: Store(None, fingerprint=FINGERPRINT, words=("unicode61", None)),
    ):
        with pytest.raises(UnsupportedError, match="FTS5"):
            call()
    assert [one.id for one in store.get(["a", "b"])] == ["a"]
    assert "no FTS5" in store.verify()[0].problem
    store.close()


# Damage

BROKEN = {  # what was done to the tables of FTS5 or to ours: whether a search with words sees it
    "UPDATE words_config SET v = 9": True,
    "DELETE FROM words_config": True,
    "DELETE FROM words_data": True,
    "DELETE FROM words_data WHERE id = 1": True,
    "UPDATE words_data SET block = x'' WHERE id = 10": False,
    "UPDATE words_data SET block = randomblob(300)": True,
    "DELETE FROM words_idx": False,
    "DELETE FROM words_docsize": True,
    "UPDATE words_docsize SET sz = x'05'": False,
    "UPDATE words_docsize SET id = id + 1000": True,
    "UPDATE word_rows SET spans = x''": True,
    "UPDATE word_rows SET first = first + 1000": False,
    "UPDATE word_rows SET first = 'x' WHERE key = 2": True,
    "DELETE FROM word_rows WHERE key = 2": False,
    "UPDATE word_index SET tokenizer = 'porter'": False,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "collection"
    store = Store(path, fingerprint=FINGERPRINT, words=("unicode61", None))
    for batch in range(3):
        store.append(
            [
                whole(f"d{batch}{n}", f"suns shine {n} " + " ".join(f"w{batch}x{k}" for k in range(900)))
                for n in range(4)
            ]
        )
    store.close()
    return path


@pytest.mark.parametrize("statement", BROKEN)
def test_a_damaged_index_is_named_and_can_be_built_anew(sound, path, statement):
    shutil.copytree(sound, path)
    edit(path, statement)
    store = Store(path, fingerprint=FINGERPRINT)
    with store.read() as view:
        assert len(view.fetch(view.documents)) == 12
    if BROKEN[statement]:
        with pytest.raises(CorruptStoreError, match="index_words"):
            found(store, "suns")
    else:
        found(store, "suns")
    assert [one for one in store.verify() if "index_words" in one.problem]
    store.index_words("unicode61")
    assert store.verify() == []
    assert len(found(store, "suns")) == 12
    store.close()


def test_damage_of_the_settings_of_words_is_named_and_cured(sound, path):
    for statement in ("UPDATE word_index SET weight = 3.0", "DELETE FROM word_index"):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(sound, path)
        edit(path, statement)
        store = Store(path, fingerprint=FINGERPRINT)
        with pytest.raises(CorruptStoreError, match="index_words"), store.read():
            pass
        store.index_words()
        assert store.verify() == []
        store.append([whole("new", "suns")])
        assert store.verify() == []
        assert len(found(store, "suns")) == 13
        store.close()


def test_a_document_with_a_damaged_text_can_be_removed_and_is_found_no_more(sound, path):
    shutil.copytree(sound, path)
    edit(path, "UPDATE texts SET text = 'suns' WHERE key = 3")
    edit(path, "UPDATE word_rows SET spans = x'0000000001000000' WHERE key = 4")
    store = Store(path, fingerprint=FINGERPRINT)
    assert store.delete(["d02", "d03"]) == 2
    store.append([whole("d02", "suns shine again")])
    assert "d03" not in found(store, "suns again")
    assert len(found(store, "suns")) == 11
    assert [one.problem for one in store.verify()] == [
        "the index of words has other words than the texts: build the index anew: collection.index_words()"
    ]
    store.index_words()
    assert store.verify() == []
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON word_rows BEGIN DELETE FROM documents; END",
        "DROP TABLE word_rows",
        "DROP TABLE words_idx",
        "CREATE TABLE words_content (id INTEGER PRIMARY KEY, c0)",
        "ALTER TABLE words_docsize ADD COLUMN more",
        "ALTER TABLE words_config RENAME TO words_data2",
    ],
)
def test_other_tables_beside_the_index_are_refused(sound, path, statement):
    shutil.copytree(sound, path)
    edit(path, statement)
    with pytest.raises(CorruptStoreError, match="other tables"):
        Store(path, fingerprint=FINGERPRINT)


def test_a_shadow_table_that_could_run_something_is_refused(sound, path):
    for hostile in (
        "CREATE TABLE 'words_docsize'(id INTEGER PRIMARY KEY, sz BLOB CHECK (sz <> randomblob(1)))",
        "CREATE TABLE 'words_docsize'(id INTEGER PRIMARY KEY, sz BLOB DEFAULT (zeroblob(1000)))",
        "CREATE TABLE 'words_docsize'(id INTEGER PRIMARY KEY, sz BLOB COLLATE other)",
        "CREATE TABLE 'words_docsize'(id INTEGER PRIMARY KEY, sz AS (random()))",
        "CREATE TABLE 'words_docsize'(id INTEGER PRIMARY KEY, size BLOB)",
    ):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(sound, path)
        with closing(sqlite3.connect(path / "catalog.sqlite", isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'words_docsize'", [hostile])
        with pytest.raises(CorruptStoreError):
            Store(path, fingerprint=FINGERPRINT)
    shutil.rmtree(path)
    shutil.copytree(sound, path)
    with closing(sqlite3.connect(path / "catalog.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")  # as another version of SQLite writes it
        other = 'CREATE TABLE "words_docsize" ( id INTEGER PRIMARY KEY,\n sz BLOB )'
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'words_docsize'", [other])
    Store(path, fingerprint=FINGERPRINT).close()
