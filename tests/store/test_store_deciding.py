"""What is decided on something that was read is compared again under the writer's lock."""

import multiprocessing
from dataclasses import replace

import pytest

from retrievers import Collection
from retrievers.errors import InvalidInputError
from retrievers.filters import parse
from retrievers.store import Unchanged
from retrievers.testing import HashingEncoder
from retrievers.types import Document
from tests.store.rows import entry, unchanged


def part(name, source, *tokens, **options):
    """An entry that was cut from a source."""
    made = entry(name, *tokens, **options)
    return replace(made, document=replace(made.document, source=source, attachment={"of": source}))


def once(store, call):
    """Let another writer in before the next change takes the lock."""

    def pause(name):
        store.pause = lambda name: None
        call()

    store.pause = pause


def names(store):
    with store.read() as view:
        return [one.id for one in view.matching(None)]


def test_metadata_are_not_written_beside_a_text_that_another_writer_has_put_there(make):
    store = make()
    store.append([entry("a", 2, text="for all", access="all"), entry("b", 1, text="second")])
    once(store, lambda: store.append([entry("a", 3, text="secret", access="few")]))
    given = [
        unchanged(Document("for all", "a", {"access": "all", "seen": 1})),
        unchanged(Document("second", "b", {"n": 2})),
    ]
    assert store.append([entry("c", 1)], given) == ["a"]
    assert store.get(["a", "b", "c"]) == [
        Document("secret", "a", {"access": "few"}),
        Document("second", "b", {"n": 2}),
        Document("some text", "c"),
    ]


def test_a_document_that_was_removed_meanwhile_is_said_to_be_lost(make):
    store = make()
    store.append([entry("a", 2)])
    once(store, lambda: store.delete(["a"]))
    assert store.append([], [unchanged(entry("a", n=1).document)]) == ["a"]
    assert names(store) == []


def test_a_function_removes_only_what_it_has_seen(make):
    store = make()
    store.append([entry(name, 1, keep=False) for name in "abcd"])
    seen = []

    def change():
        store.append([entry("a", 1, text="another", keep=True)])  # another text and other metadata
        store.append([], [unchanged(entry("b", keep=True).document)])  # other metadata alone
        store.append([entry("c", 2, text="another", keep=False)])  # still to be removed
        store.append([entry("e", 1, keep=False)])  # was not there

    once(store, change)

    def choose(document):
        seen.append((document.id, document.text))
        return not document.metadata["keep"]

    assert store.delete_matching(choose) == 2
    assert names(store) == ["a", "b", "e"]
    assert seen[4:] == [("a", "another"), ("b", "some text"), ("c", "another")]


def test_a_filter_and_ids_are_decided_under_the_lock(make):
    store = make()
    store.append([entry(name, 1, n=n) for n, name in enumerate("abcd")])
    once(store, lambda: store.append([], [unchanged(entry("b", n=9).document)]))
    assert store.delete_matching(parse({"n": {"$lte": 2}}), ["b", "c", "unknown"]) == 1
    assert names(store) == ["a", "b", "d"]


def test_the_last_append_of_a_source_removes_its_other_parts(make):
    store = make()
    store.append([part("a1", "A", 1), part("a2", "A", 2), part("b1", "B", 1)])
    store.append([part("a3", "A", 1)], [unchanged(part("a2", "A").document)], replaces={"A"})
    assert names(store) == ["a2", "b1", "a3"]
    assert [one.id for one in store.get_sources(["A"])] == ["a2", "a3"]
    assert store.get_sources(["A", "B", "none"])[1].attachment == {"of": "B"}
    assert store.verify() == []


def test_an_append_that_replaces_commits_nothing_if_an_earlier_batch_was_lost(make):
    store = make()
    first, second = part("a1", "A", 1), part("a2", "A", 2)
    store.append([first])
    once(store, lambda: store.delete(["a1"]))
    needed = {"a1": first.content_hash}
    assert store.append([second], replaces={"A"}, requires=needed) == ["a1"]
    assert names(store) == []
    store.append([first])
    store.append([part("old", "A", 1)])
    assert store.append([second], replaces={"A"}, requires=needed) == []
    assert names(store) == ["a1", "a2"]


def test_of_two_calls_that_replace_a_source_the_later_wins_whole(make):
    store = make()
    mine = [part(f"mine{n}", "A", 1) for n in range(3)]
    theirs = [part(f"theirs{n}", "A", 1) for n in range(3)]
    once(store, lambda: store.append(theirs, replaces={"A"}))
    assert store.append(mine, replaces={"A"}) == []
    assert names(store) == ["mine0", "mine1", "mine2"]


def test_nothing_is_replaced_when_something_is_lost(make):
    store = make()
    store.append([part("a1", "A", 1), part("a2", "A", 1)])
    lost = store.append(
        [part("a3", "A", 1)], [Unchanged(part("a1", "A").document, b"another")], replaces={"A"}
    )
    assert lost == ["a1"]
    assert names(store) == ["a1", "a2"]


def test_a_document_without_source_and_attachment_keeps_what_is_stored_beside_it(make):
    store = make()
    store.append([part("a", "A", 1)])
    store.append([entry("a", 2, text="another")])
    assert store.get(["a"]) == [Document("another", "a", {}, "", "A", {"of": "A"})]
    store.append([], [Unchanged(Document("another", "a", {}, attachment={}), b"another")])
    assert store.get(["a"]) == [Document("another", "a", attachment={})]
    assert store.get_sources(["A"]) == []
    store.delete(["a"])
    store.append([entry("a", 1)])
    assert store.get(["a"]) == [Document("some text", "a")]


def test_an_attachment_that_is_not_json_changes_nothing(make):
    store = make()
    with pytest.raises(InvalidInputError, match="attachment of document 'a'"):
        store.append([with_attachment({"x": {1}})])
    assert names(store) == []


def with_attachment(attachment):
    made = entry("a", 1)
    return replace(made, document=replace(made.document, attachment=attachment))


# Two processes


def write_in_turn(path, orders, answers):
    """Do what the other process says, at the moments that it says it."""
    collection = Collection(path, HashingEncoder(dim=8))
    for call, arguments in iter(orders.get, None):
        answers.put(getattr(collection, call)(*arguments[0], **arguments[1]))
    collection.close()


@pytest.fixture
def other(path):
    """Another process that changes the same collection: called, it has answered when it returns."""
    context = multiprocessing.get_context("spawn")
    orders, answers = context.Queue(), context.Queue()
    Collection(path, HashingEncoder(dim=8)).close()
    process = context.Process(target=write_in_turn, args=(path, orders, answers))
    process.start()

    def call(name, *arguments, **options):
        orders.put((name, (arguments, options)))
        return answers.get(timeout=120)

    yield call
    orders.put(None)
    process.join(60)


def test_two_processes_interleave_at_every_decision(path, other):
    collection = Collection(path, HashingEncoder(dim=8))
    store = collection.store
    add = {"show_progress": False}
    collection.add(["for all"], ids=["a"], metadatas=[{"access": "all"}], **add)

    # The same text with other metadata here, another text there.
    once(store, lambda: other("add", ["secret"], ids=["a"], metadatas=[{"access": "few"}], **add))
    collection.add(["for all"], ids=["a"], metadatas=[{"access": "all", "n": 1}], **add)
    [found] = collection.get(["a"])
    assert (found.text, found.metadata) == ("for all", {"access": "all", "n": 1})
    assert collection.search("for all", k=1)[0].normalized_score == pytest.approx(1, abs=0.02)

    # An unchanged document here, removed there: what add acknowledges is there.
    once(store, lambda: other("delete", ["a"]))
    assert collection.add(["for all"], ids=["a"], **add) == ["a"]
    assert "a" in collection

    # A function decides here, the document changes there.
    collection.add(["one", "two"], ids=["b", "c"], metadatas=[{"old": True}] * 2, **add)
    once(store, lambda: other("add", ["new"], ids=["b"], metadatas=[{"old": False}], **add))
    assert collection.delete(filter=lambda document: document.metadata.get("old", False)) == 1
    assert [(one.id, one.text) for one in collection.get()] == [("a", "for all"), ("b", "new")]
    assert collection.verify() == []
    collection.close()
